"""Procrastinate on PostgreSQL: four processes, and the task that retries stalled jobs."""

from __future__ import annotations

import sys
from typing import Any

import procrastinate
import psycopg

from tests.proof.chaos.peers import body

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=body.DATABASE),
    worker_defaults={
        "update_heartbeat_interval": body.LEASE / 5,
        "stalled_worker_timeout": body.LEASE,
    },
)
_UNFINISHED = """
SELECT args->>'key' FROM procrastinate_jobs
WHERE task_name = 'work' AND status IN ('todo', 'doing')
"""


@app.task(name="work")
def work(key: str, seconds: float) -> None:
    body.work(key, seconds)


@app.periodic(cron=f"* * * * * */{max(1, round(body.LEASE / 2))}")
@app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context: Any, timestamp: int) -> None:
    """As its documentation has it."""
    stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=body.LEASE)
    for job in stalled:
        await app.job_manager.retry_job(job)


def prepare() -> None:
    """The tables."""
    app.open()
    app.schema_manager.apply_schema()


def commands() -> list[list[str]]:
    command = [sys.executable, "-m", "procrastinate", "--app", f"{__name__}.app"]
    return [[*command, "worker", "--concurrency", "1"]] * 4


def enqueue(key: str, seconds: float) -> None:
    work.defer(key=key, seconds=seconds)


def unfinished() -> set[str]:
    """To do, or being done."""
    with psycopg.connect(body.DATABASE) as connection:
        return {row[0] for row in connection.execute(_UNFINISHED)}
