"""What ``/metrics`` of a worker answers: its counters, its pool, and the cluster's figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from hammerflow.notifiers import Notifier
from hammerflow.services.cluster_reader import ClusterReader
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.diagnosis.cluster_metrics import ClusterMetrics
from hammerflow.stores.store import Store
from hammerflow.telemetry.exposition import OPENMETRICS, PLAIN, write
from hammerflow.telemetry.families import OTHER, Readings, merged
from hammerflow.telemetry.labels import largest
from hammerflow.worker.supervisor.counters import WorkerCounters
from hammerflow.worker.supervisor.http_server import Answer, HttpRequest, Route
from hammerflow.worker.supervisor.pool import Pool

__all__ = ["WorkerMetrics"]

#: Seconds for which an answer serves further requests, so that many of them cost little.
_FRESH = 1.0


class WorkerMetrics:
    """Asks its sources at each request; none of them waits for the database.

    Args:
        app: as the worker was given it.

    Attributes:
        counters: what the parts of the worker count.
    """

    def __init__(self, app: str) -> None:
        self._app = app
        self._pool: Pool | None = None  # until the worker has started
        self.counters = WorkerCounters(
            task_of=lambda job: self._pool.task_name(job) if self._pool else str(job.task_id),
            queue_of=lambda id_: self._pool.queue_name(id_) if self._pool else str(id_),
        )
        self._cluster: ClusterReader | None = None
        self._sources: list[Callable[[], Readings]] = [self.counters.readings]
        self._answers: dict[str, tuple[float, Answer]] = {}

    def read_cluster(self, store: Store, lease: float) -> ClusterReader:
        """The service that reads the metrics of the whole database."""
        self._cluster = ClusterReader(ClusterMetrics(store, lease=lease))
        self._sources.append(self._cluster.readings)
        return self._cluster

    def start(
        self, pool: Pool, notifier: Notifier, status: DatabaseStatus,
        complaints: Callable[[], list[str]],
    ) -> None:  # fmt: skip
        """The worker has started: there is more to tell."""
        from hammerflow import __version__

        def readings() -> Readings:
            found = _readings_of(pool)
            found.set("hammerflow_worker_info", 1, __version__, self._app)
            found.set("hammerflow_worker_ready", int(not complaints()))
            found.set("hammerflow_database_up", int(status.is_up))
            if (is_heard := notifier.is_heard) is not None:
                found.set("hammerflow_doorbell_up", int(is_heard))
            return found

        self._pool = pool
        self._sources.append(readings)

    def leave(self) -> None:
        """Let another worker read the metrics of the whole database."""
        if self._cluster is not None:
            self._cluster.leave()

    @property
    def routes(self) -> Mapping[str, Route]:
        """For an HTTP server."""
        return {"/metrics": self._answer}

    def _answer(self, request: HttpRequest) -> Answer:
        accepts = request.header("accept") or ""
        kind = OPENMETRICS if "application/openmetrics-text" in accepts else PLAIN
        now = time.monotonic()
        made_at, answer = self._answers.get(kind, (0.0, None))
        if answer is None or now - made_at > _FRESH:
            text = write(merged([source() for source in [*self._sources]]), kind)
            answer = Answer(HTTPStatus.OK, text.encode(), kind)
            self._answers[kind] = now, answer
        return answer


def _readings_of(pool: Pool) -> Readings:
    """What the children of a worker do now."""
    found = Readings()
    busy, idle, running = pool.occupation()
    found.set("hammerflow_worker_children", busy, "busy")
    found.set("hammerflow_worker_children", idle, "idle")
    found.set("hammerflow_worker_busy_ratio", busy / max(1, busy + idle))
    own = largest(running)
    for queue, jobs in running.items():
        found.set("hammerflow_jobs_running", jobs, queue if queue in own else OTHER)
    return found
