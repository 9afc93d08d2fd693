"""hammerflow: the store is PostgreSQL, Redis is its doorbell."""

from __future__ import annotations

import sys
import uuid

import psycopg

from hammerflow import Hammerflow
from tests.proof.chaos.peers import body

app = Hammerflow("peers", database=body.DATABASE, redis=body.REDIS, lease=body.LEASE)

_keys: dict[uuid.UUID, str] = {}
_UNFINISHED = """
SELECT id FROM hammerflow_jobs
WHERE NOT EXISTS (SELECT FROM hammerflow_done WHERE job_id = id)
"""


@app.task
def work(key: str, seconds: float) -> None:
    """The body."""
    body.work(key, seconds)


def prepare() -> None:
    """The tables."""
    app.migrate()


def commands() -> list[list[str]]:
    """A supervisor with four children."""
    return [[sys.executable, "-m", "hammerflow", "-A", f"{__name__}:app", "worker", "-c", "4"]]


def enqueue(key: str, seconds: float) -> None:
    """One job."""
    _keys[work.delay(key, seconds).id] = key


def unfinished() -> set[str]:
    """Whatever has no final state, parked jobs included."""
    with psycopg.connect(body.DATABASE) as connection:
        return {_keys.get(row[0], str(row[0])) for row in connection.execute(_UNFINISHED)}
