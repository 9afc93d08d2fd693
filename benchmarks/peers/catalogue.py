"""Which peers there are, what each needs installed, and what it promises; imports none of them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PEERS", "Peer"]


class Peer(NamedTuple):
    """One competitor: ``benchmarks.peers.with_NAME`` holds its tasks and commands."""

    name: str
    title: str  # as the table shows it, without the version
    database: str
    durable: str
    requirements: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Its tasks, its worker's commands and how it is called."""
        return f"benchmarks.peers.with_{self.name}"


PEERS = (
    Peer("hammerflow", "hammerflow, PostgreSQL + Redis", "postgres", "yes"),
    Peer("hammerflow", "hammerflow, SQLite + Redis", "sqlite", "yes"),
    Peer("hammerflow_async", "hammerflow, PostgreSQL, async", "postgres", "yes"),
    Peer("celery", "Celery + Redis, prefetch 64", "redis", "no", ("celery~=5.7.0", "redis")),
    Peer("dramatiq", "Dramatiq + Redis", "redis", "no", ("dramatiq[redis]~=2.2.0",)),
    Peer("rq", "RQ, SimpleWorker", "redis", "no", ("rq~=2.12.0",)),
    Peer("huey", "Huey + Redis", "redis", "no, at most once", ("huey~=3.5.0", "redis")),
    Peer("taskiq", "taskiq + Redis streams", "redis", "no",
         ("taskiq~=0.13.0", "taskiq-redis>=1.2.4")),
    Peer("saq", "SAQ + Redis", "redis", "no", ("saq[redis]~=0.26.0",)),
    Peer("procrastinate", "Procrastinate, PostgreSQL", "postgres", "yes",
         ("procrastinate~=3.10.0", "psycopg[binary]", "redis")),
    Peer("pgqueuer", "PgQueuer, PostgreSQL, batch 100", "postgres", "yes, no results",
         ("pgqueuer~=1.6.0", "asyncpg", "redis")),
)  # fmt: skip
