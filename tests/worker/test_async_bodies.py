"""Async bodies in a worker: they enqueue in transactions and wait for other jobs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import hammerflow
from hammerflow import JobState

APP = """
import asyncio, os
from hammerflow import Hammerflow

app = Hammerflow("shop", database=os.environ["URL"])

@app.task(name="note")
def note(x: int) -> int:
    return x

@app.task(name="order", max_attempts=1)
async def order(number: int) -> int:
    async with app.transaction() as tx:
        await tx.execute(f"INSERT INTO marker VALUES ({number})")
        result = await note.adelay(number)
        await asyncio.sleep(0.01)
        await note.options(unique_key="one for all", delay=3600).adelay(7)
    return await result.aget(timeout=60)

@app.task(name="late", max_attempts=1, soft_timeout=0.2)
async def late() -> None:
    async with app.transaction() as tx:
        await tx.execute("INSERT INTO marker VALUES (99)")
        await note.adelay(99)
        await asyncio.sleep(60)
"""


def test_bodies_commit_together_with_what_they_enqueue(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "desk.py").write_text(APP)
    monkeypatch.setenv("URL", migrated_url)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(hammerflow.__file__).parents[1]}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "desk", raising=False)
    desk = importlib.import_module("desk")
    app = desk.app
    with app.transaction() as tx:
        tx.execute("CREATE TABLE marker (x INTEGER)")
    late, *orders = app.enqueue_many([desk.late.s(), *(desk.order.s(i) for i in range(20))])

    command = [sys.executable, "-m", "hammerflow", "-A", "desk:app", "worker", "-c", "2"]
    with subprocess.Popen(command, cwd=tmp_path) as worker:
        try:
            assert [result.get(timeout=60) for result in orders] == list(range(20))
            assert late.wait(timeout=60) is JobState.FAILED
        finally:
            worker.terminate()

    assert late.job().errors[-1].type.endswith("SoftTimeout")
    with app.transaction() as tx:
        rows = tx.execute("SELECT x FROM marker ORDER BY x").fetchall()
    assert [row[0] for row in rows] == list(range(20))
    assert len(app.jobs(task="note")) == 21
    app.close()
