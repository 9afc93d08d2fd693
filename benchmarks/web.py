"""Figures of the web: how long the API takes for each list, search, count and page, beside n jobs.

``cpu_ms`` is the mean CPU of a request, the server's of the database included; ``queries`` counts
the statements of the last one (the first reads the names of queues and tasks, too). A request is
the only one of its server; ``first_ms`` and ``first_cpu_ms`` are those of the first, for which
nothing is remembered but what a server reads before it says that it is there.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
from starlette.requests import Request

from benchmarks.measure import Figures
from benchmarks.tasks import app
from benchmarks.views import cpu_seconds, server_process
from hammerflow.cli.demo.day.seed import seed_day
from hammerflow.jobs.job import JobState
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from tests.web.conftest import served

_RUNS, _QUEUES = 5, 1_000
_MANY = 10_000  # jobs from which a figure is more than a trial
#: Milliseconds of CPU that a list may take, and the overview; and the queries of that.
_LIST, _OVERVIEW, _QUERIES = 100, 20, 6

#: What is read; names in braces are ids of the seeded day.
PATHS = (
    "/api/overview",
    "/api/queues",
    "/api/queues/mail",
    "/api/queues/merchant-001",
    "/api/queue-health",
    "/api/queue-stats",
    "/api/queue-stats?limit=50",
    "/api/queue-stats?hours=1",
    "/api/queue-stats?hours=23",
    "/api/tasks",
    "/api/tasks/mail.newsletter",
    "/api/task-stats",
    "/api/statistics?hours=1",
    "/api/statistics?hours=24",
    "/api/statistics?hours=24&task=payments.authorize",
    "/api/statistics?hours=6&queue=mail",
    "/api/failures",
    "/api/failures?since={yesterday}",
    "/api/failures?task=payments.authorize",
    "/api/jobs",
    "/api/jobs?limit=200",
    "/api/jobs?state=failed",
    "/api/jobs?state=failed&task=payments.authorize",
    "/api/jobs?state=failed&error=GatewayTimeout",
    "/api/jobs?state=cancelled",
    "/api/jobs?state=completed&task=reports.daily_sales",
    "/api/jobs?state=ready",
    "/api/jobs?state=ready&queue=mail",
    "/api/jobs?state=ready&queue=merchant-500",
    "/api/jobs?state=running",
    "/api/jobs?state=scheduled",
    "/api/jobs?state=waiting",
    "/api/jobs?state=parked",
    "/api/jobs?queue=merchant-900",
    "/api/jobs?task=feeds.export",
    "/api/jobs?task=suppliers.verify",
    "/api/jobs?task=nowhere",
    "/api/jobs?argument=480042",
    "/api/jobs?error=GatewayTimeout",
    "/api/jobs?since={yesterday}",
    "/api/jobs?until={morning}&queue=mail",
    "/api/jobs/{job}",
    "/api/jobs/{ready}",
    "/api/jobs/{ready}/explain",
    "/api/jobs/{job}/dependencies",
    "/api/counts",
    "/api/workers",
    "/api/workflows",
    "/api/workflows?status=failed",
    "/api/workflows?kind=batch",
    "/api/workflows/{workflow}",
    "/api/workflows/{workflow}/graph",
    "/api/workflows/{workflow}/timeline",
    "/api/workflow-shares?ids={shares}",
    "/api/workflow-stats",
    "/api/batches",
    "/api/batches/{batch}",
    "/api/batches/{batch}/calls",
    "/api/spawn/operations",
    "/api/spawn/stats?hours=24",
    "/api/spawn/pending",
    "/api/jobs/{spawner}/children",
    "/api/jobs/{spawner}/spawn-tree",
    "/api/schedules",
    "/api/limits",
    "/api/pauses",
    "/api/events",
    "/api/sinks",
    "/api/webhooks",
    "/api/webhooks/order-desk/deliveries",
    "/api/alerts",
    "/api/alert-rules",
    "/api/archive/jobs",
    "/api/archive/stats",
    "/api/retention",
    "/api/operations",
    "/api/tokens",
    "/api/audit",
)  # fmt: skip


def web(url: str, n: int) -> Iterator[Figures]:
    """Seed a day of n jobs in 1 000 queues if the database is empty, then measure each path."""
    if not app.store.jobs.list(limit=1):
        began = time.process_time()
        seed_day(app.store, jobs=n, queues=_QUEUES, seed=1)
        seconds = round(time.process_time() - began)
        yield {"figure": f"seed of {n:,} jobs, {_QUEUES:,} queues", "cpu_seconds": seconds}
    yield from measured(runs=_RUNS if n >= _MANY else 1)


def measured(paths: tuple[str, ...] = PATHS, *, runs: int = _RUNS) -> Iterator[Figures]:
    """Measure paths, each with a server of its own."""
    named, server, counted = _named(), server_process(), _count_statements()
    for path in paths:
        filled = path.format_map(named)
        site = create_application(app, authorize=_admit, title="bench")
        site.state.warm()  # as a server does before it says that it is there
        with served(site) as address:
            times, first, queries, failed = [], 0.0, 0, ""
            with httpx.Client(base_url=address, timeout=120) as client:
                client.get("/api/limits")  # connections are open
                before = cpu_seconds(server)
                for run in range(runs + 1):
                    if run == 1:
                        first, before = cpu_seconds(server) - before, cpu_seconds(server)
                    counted[0], start = 0, time.perf_counter()
                    answer = client.get(filled)
                    times.append((time.perf_counter() - start) * 1e3)
                    queries = counted[0]
                    if answer.status_code != 200:
                        failed = answer.text[:200]
                    if path == "/api/overview":
                        time.sleep(1.05)  # it is shared for a second
                cpu = (cpu_seconds(server) - before) / runs * 1e3
        most = _OVERVIEW if path == "/api/overview" else _LIST
        bar = f"cpu < {most}" + (f", queries <= {_QUERIES}" if most == _OVERVIEW else "")
        yield {"figure": path, "cpu_ms": round(cpu, 1), "queries": queries,
               "best_ms": round(min(times[1:]), 1), "first_ms": round(times[0]),
               "first_cpu_ms": round(first * 1e3),
               "median_ms": round(statistics.median(times[1:])), "bar": bar,
               "bytes": len(answer.content), **({"failed": failed} if failed else {})}  # fmt: skip


async def _admit(request: Request) -> Principal:
    return Principal("bench", Role.ADMIN, sees_values=True)


def _count_statements() -> list[int]:
    """A list whose one number counts the statements of this process from now on."""
    counted = [0]
    with app.store.database.transaction() as tx:
        kind: Any = type(tx)
    for name in ("rows", "run", "many"):
        original = getattr(kind, name)

        def counting(self: Any, *given: Any, _original: Any = original, **values: Any) -> Any:
            counted[0] += 1
            return _original(self, *given, **values)

        setattr(kind, name, counting)
    return counted


def _named() -> dict[str, str]:
    """Ids and times of the seeded day."""
    store = app.store
    jobs, ready = store.jobs.list(limit=50), store.jobs.list(limit=1, state=JobState.READY)
    flows = store.workflows.list(limit=1_000)
    batches = [one for one in flows if one.kind == "batch"]
    flow = next((one for one in flows if one.name == "nightly-catalogue"), flows[0])
    spawner = store.jobs.list(limit=1, task="imports.feed")[0]
    newest = jobs[0].created_at.timestamp()
    times = {"yesterday": newest - 80_000, "morning": newest - 20_000}
    found = {name: _iso(at) for name, at in times.items()}
    ids = {"job": jobs[-1].id, "ready": ready[0].id, "spawner": spawner.id}
    ids |= {"workflow": uuid.UUID(bytes=flow.id), "batch": uuid.UUID(bytes=batches[0].id)}
    shares = ",".join(str(uuid.UUID(bytes=one.id)) for one in flows[:50])
    return {**found, "shares": shares, **{name: str(id_) for name, id_ in ids.items()}}


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


ALL = {"web": web}
