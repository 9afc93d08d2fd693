"""Procrastinate on PostgreSQL: two processes of ten coroutines."""

from __future__ import annotations

import sys
import time

import procrastinate

from benchmarks.peers import shared

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=shared.DATABASE))


@app.task
async def count(x: int) -> None:
    await shared.acount()


@app.task
async def start(sent: float) -> None:
    await shared.astart(sent)


def prepare() -> None:
    app.open()
    app.schema_manager.apply_schema()


def workers() -> list[list[str]]:
    command = [sys.executable, "-m", "procrastinate", "--app", f"{__name__}.app"]
    return [[*command, "worker", "--concurrency", "10"]] * 2


def enqueue(n: int) -> None:
    for i in range(n):
        count.defer(x=i)


def send_start() -> None:
    start.defer(sent=time.time())
