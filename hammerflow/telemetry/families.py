"""Every metric of hammerflow: its name, type, labels and meaning, and its samples at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hammerflow.jobs.histogram import BOUNDS

__all__ = [
    "CLUSTER",
    "DURATIONS",
    "FAMILIES",
    "OTHER",
    "WORKER",
    "BucketCounts",
    "Family",
    "Readings",
    "merged",
]  # fmt: skip

#: Upper bounds in seconds, 5 ms doubled up to 1 h 27 min; one more bucket holds what is above.
DURATIONS: Sequence[float] = BOUNDS[16::4]
#: The label of all that have none of their own.
OTHER = "_other"


class Family(NamedTuple):
    """One metric: all its series have these labels."""

    name: str
    type: str  # counter, gauge or histogram
    help: str
    labels: Sequence[str] = ()
    bounds: Sequence[float] = ()  # of a histogram


@dataclass(slots=True)
class BucketCounts:
    """One series of a histogram.

    Attributes:
        counts: by bucket, not cumulated; one more than there are bounds.
        total: the sum of the values.
    """

    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class Readings:
    """The values of metrics at one moment, by family and by the values of its labels."""

    numbers: dict[str, dict[tuple[str, ...], float]] = field(default_factory=dict)
    tallies: dict[str, dict[tuple[str, ...], BucketCounts]] = field(default_factory=dict)

    def set(self, name: str, value: float, *labels: str) -> None:
        """One value; those of equal labels are added up."""
        series = self.numbers.setdefault(name, {})
        series[labels] = series.get(labels, 0) + value

    def declare(self, *names: str) -> None:
        """Counters without labels begin with 0; others only get their heads."""
        for name in names:
            family = FAMILIES[name]
            if family.type == "histogram":
                found = self.tallies.setdefault(name, {})
                if not family.labels:
                    found.setdefault((), BucketCounts([0] * (len(family.bounds) + 1)))
            elif not family.labels and family.type == "counter":
                self.numbers.setdefault(name, {}).setdefault((), 0)
            else:
                self.numbers.setdefault(name, {})


_JOB = ("task", "queue")

#: What each worker counts and measures itself, since it started.
WORKER: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "hammerflow_jobs_ended_total", "counter",
            "Jobs that ended after this worker ran them, by the state in which they ended.",
            (*_JOB, "state"),
        ),
        Family(
            "hammerflow_attempts_total", "counter",
            "Attempts of jobs that this worker ran, by their outcome.", (*_JOB, "outcome"),
        ),
        Family(
            "hammerflow_job_run_seconds", "histogram",
            "Duration of the attempts of jobs.", _JOB, DURATIONS,
        ),
        Family(
            "hammerflow_job_wait_seconds", "histogram",
            "Time from enqueueing to the first start, of jobs that were ready at once.",
            _JOB, DURATIONS,
        ),
        Family("hammerflow_jobs_running", "gauge", "Jobs that this worker runs now.", ("queue",)),
        Family(
            "hammerflow_worker_info", "gauge", "1, with the version and the app of the worker.",
            ("version", "app"),
        ),
        Family(
            "hammerflow_worker_children", "gauge", "Child processes, by what they do.", ("state",)
        ),
        Family("hammerflow_worker_busy_ratio", "gauge", "Share of children that run a job."),
        Family("hammerflow_worker_ready", "gauge", "1 while the worker is ready to run jobs."),
        Family(
            "hammerflow_claim_seconds", "histogram", "Duration of claims.",
            bounds=DURATIONS[:12],
        ),
        Family("hammerflow_claimed_jobs_total", "counter", "Jobs that were claimed."),
        Family(
            "hammerflow_poll_fallbacks_total", "counter",
            "Claims that found jobs of which no ring had told.",
        ),
        Family(
            "hammerflow_settle_seconds", "histogram",
            "Duration of the transactions that write outcomes.", bounds=DURATIONS[:12],
        ),
        Family(
            "hammerflow_settle_batch", "histogram", "Outcomes that are written together.",
            bounds=(1, 3, 10, 30, 100, 300, 1_000),
        ),
        Family(
            "hammerflow_stale_settles_total", "counter",
            "Outcomes that were dropped, as another worker had taken over the job.",
        ),
        Family(
            "hammerflow_rescued_total", "counter",
            "Jobs that this worker took over from silent workers.",
        ),
        Family("hammerflow_doorbell_up", "gauge", "1 while rings are heard. Absent without one."),
        Family("hammerflow_database_up", "gauge", "1 while the database answers."),
    )
}  # fmt: skip

#: What is read from the database, by one process at a time.
CLUSTER: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "hammerflow_queue_jobs", "gauge",
            "Jobs by queue and state, counted up to 10 001.", ("queue", "state"),
        ),
        Family(
            "hammerflow_queue_oldest_ready_seconds", "gauge",
            "Time since the oldest ready job was enqueued; 0 if none is ready.", ("queue",),
        ),
        Family("hammerflow_queue_paused", "gauge", "1 while the queue is paused.", ("queue",)),
        Family(
            "hammerflow_jobs_enqueued_total", "counter",
            "Jobs that were enqueued, up to the last minute that was counted.", _JOB,
        ),
        Family("hammerflow_workers", "gauge", "Workers whose last heartbeat is within the lease."),
        Family(
            "hammerflow_cron_late_seconds", "gauge",
            "Time by which the schedule that is most overdue is late.",
        ),
        Family(
            "hammerflow_sink_lag_events", "gauge", "Events that a sink has not got yet.",
            ("sink",),
        ),
        Family(
            "hammerflow_sink_lag_seconds", "gauge",
            "Age of the oldest event that a sink has not got yet.", ("sink",),
        ),
        Family(
            "hammerflow_sink_parked_events", "gauge", "Events that a sink has refused.", ("sink",)
        ),
        Family(
            "hammerflow_webhook_deliveries_total", "counter",
            "Requests to a webhook's endpoint, since it was added: `delivered` or `failed`.",
            ("endpoint", "result"),
        ),
        Family(
            "hammerflow_webhook_disabled", "gauge",
            "1 while the endpoint of a webhook is disabled.", ("endpoint",),
        ),
        Family(
            "hammerflow_alerts_firing", "gauge", "Alerts that fire, by rule and severity.",
            ("rule", "severity"),
        ),
        Family(
            "hammerflow_cluster_read_age_seconds", "gauge",
            "Time since the metrics of the whole database were read.",
        ),
    )
}  # fmt: skip

FAMILIES: Mapping[str, Family] = {**WORKER, **CLUSTER}


def merged(parts: Iterable[Readings]) -> Readings:
    """The readings of several sources, whose families differ."""
    found = Readings()
    for part in parts:
        found.numbers.update(part.numbers)
        found.tallies.update(part.tallies)
    return found
