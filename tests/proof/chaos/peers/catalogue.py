"""Which contenders there are, what each needs, and how it is set up; imports none of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["CONTENDERS", "Contender"]


class Contender(NamedTuple):
    """One job queue: ``tests.proof.chaos.peers.with_MODULE`` holds its task, client and command."""

    name: str
    title: str
    module: str
    servers: tuple[str, ...]  # all of them are killed at once
    setup: str  # what is not its default; LEASE stands for --lease
    package: str = ""  # "": our own, run by our own interpreter
    environment: Mapping[str, str] = MappingProxyType({})


_RESTARTED = "each started again by the harness, as by a service manager"

CONTENDERS = (
    Contender(
        "hammerflow", "hammerflow, PostgreSQL + Redis doorbell", "hammerflow",
        ("postgres", "redis"), "`worker -c 4`, lease=LEASE; else its defaults",
    ),
    Contender(
        "celery", "Celery + Redis, early acknowledgement (default)", "celery", ("redis",),
        "`worker -c 4`, visibility_timeout=LEASE, unacked_restore_interval=LEASE/2, "
        "unacked_restore_throttle=1; else its defaults",
        "celery",
    ),
    Contender(
        "celery_late", "Celery + Redis, acks_late", "celery", ("redis",),
        "as above, and task_acks_late, task_reject_on_worker_lost, worker_prefetch_multiplier=1",
        "celery", {"CHAOS_ACKS_LATE": "1"},
    ),
    Contender(
        "rq", "RQ", "rq", ("redis",),
        "four `rq worker --worker-ttl 20 --maintenance-interval LEASE/2 --job-monitoring-interval "
        f"LEASE/2`, {_RESTARTED}; Retry(max=3); an abandoned job counts as such only 60 s after "
        "its last heartbeat, which is fixed in RQ",
        "rq",
    ),
    Contender(
        "dramatiq", "Dramatiq + Redis", "dramatiq", ("redis",),
        "`dramatiq -p 4 -t 1`, heartbeat_timeout=LEASE, maintenance_chance=100 000 (of a million)",
        "dramatiq",
    ),
    Contender(
        "huey", "Huey + Redis", "huey", ("redis",),
        "`huey_consumer -k process -w 4 -c 1`, retries=3; it pops a task before it runs it, there "
        "is no setting for it",
        "huey",
    ),
    Contender(
        "procrastinate", "Procrastinate, PostgreSQL", "procrastinate", ("postgres",),
        f"four `procrastinate worker -c 1`, {_RESTARTED}; update_heartbeat_interval=LEASE/5, "
        "stalled_worker_timeout=LEASE, and the documented periodic task that retries stalled jobs, "
        "each LEASE/2",
        "procrastinate",
    ),
    Contender(
        "pgqueuer", "PgQueuer, PostgreSQL", "pgqueuer", ("postgres",),
        "four processes of `pgqueuer.run` (what `pgq run` calls) with heartbeat_timeout=LEASE, "
        "dequeue_timeout=LEASE/2, batch_size=1, max_concurrent_tasks=2 (its least), "
        "shutdown_on_listener_failure, restart_on_failure, restart_delay=1, a pool of asyncpg; "
        f"{_RESTARTED}",
        "pgqueuer",
    ),
)  # fmt: skip
