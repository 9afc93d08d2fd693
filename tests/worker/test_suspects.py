"""Where a process dies with several jobs, the one at fault is found, and only it is charged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import JobFailed, JobState, Result
from hammerflow.worker.supervisor.round_results import HeldJob
from hammerflow.worker.supervisor.suspects import SuspectTurns
from tests.acceptance.kit import Shop
from tests.support.waiting import until

_APP = """
import asyncio, os, signal
from pathlib import Path
from hammerflow import Hammerflow, constant, current_job

app = Hammerflow("shop")
runs = set()

@app.task(max_attempts=10, backoff=constant(0))
async def hold(gate, mark=""):
    me = current_job()
    runs.add(me.id)
    if mark:
        with open(mark, "a") as file:
            file.write(f"{os.getpid()}\\n")
    neighbours = len(runs) - 1
    while not os.path.exists(gate):
        await asyncio.sleep(0.01)
    runs.discard(me.id)
    return [me.attempt, neighbours]

@app.task(max_attempts=10, backoff=constant(0))
async def crash(gate, number):
    while not os.path.exists(gate):
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), number)
    await asyncio.sleep(60)

@app.task
def plain():
    return "ran"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crowd.py").write_text(_APP)
    return tmp_path


def _send(shop: Shop, task: str, *args: Any, **options: Any) -> Result[Any]:
    return shop.client.enqueue(shop.client.signature(f"crowd.{task}", args, **options))


def test_one_that_kills_its_child_is_parked_and_its_30_neighbours_complete(
    shop: Shop, folder: Path
) -> None:
    gate, mark = folder / "gate", folder / "mark"
    with shop.worker(app="crowd:app", folder=folder, children=1) as worker:
        neighbours = [_send(shop, "hold", str(gate), str(mark)) for _ in range(30)]
        until("all run", lambda: mark.exists() and len(mark.read_text().split()) == 30)
        guilty = _send(shop, "crash", str(mark), 11)
        worker.wait_for_log("child died child=")
        gate.touch()

        until("parked", lambda: shop.job(guilty).state is JobState.PARKED, 30)
        assert [result.get(timeout=30) for result in neighbours] == [[1, 0]] * 30, "each alone"
        assert shop.kinds(guilty) == ["suspected", "lost", "lost", "lost"]
        assert {(*shop.kinds(result),) for result in neighbours} == {("suspected",)}
        assert worker.log.count("child died child=") == 4
        assert "30 other jobs, too" in shop.job(guilty).errors[0].message
        until("as many as usual", lambda: len(worker.children()) == 2)


def test_suspects_stop_nothing_else(sqlite_shop: Shop, folder: Path) -> None:
    shop, never, mark = sqlite_shop, folder / "never", folder / "mark"
    with shop.worker(app="crowd:app", folder=folder, children=1) as worker:
        held = [_send(shop, "hold", str(never), str(mark)) for _ in range(12)]
        once = _send(shop, "hold", str(never), str(mark), max_attempts=1)
        until("all run", lambda: mark.exists() and len(mark.read_text().split()) == 13)
        _send(shop, "crash", str(mark), 9, max_attempts=1)

        with pytest.raises(JobFailed, match="SIGKILL"):  # it must not run twice
            once.get(timeout=20)
        until("eight run again", lambda: len(mark.read_text().split()) == 21)
        more = [_send(shop, "hold", str(mark)) for _ in range(20)]
        assert {result.get(timeout=20)[0] for result in more} == {1}
        assert _send(shop, "plain").get(timeout=20) == "ran"
        assert len(worker.children()) == 10
        assert len(mark.read_text().split()) == 21, "the others wait for their turn"
        never.touch()
        assert [result.get(timeout=30) for result in held] == [[1, 0]] * 12


def test_none_begins_before_the_outcome_of_the_one_before_is_written() -> None:
    """Else a worker that dies meanwhile still holds both, and the first is charged."""
    written: set[bytes] = set()
    turns = SuspectTurns(lambda worker_id, job_id: job_id in written)
    child: Any = object()
    job: Any = SimpleNamespace(id=b"first")

    assert turns.is_free
    turns.begin(child, HeldJob(1, job))
    assert not turns.is_free
    turns.end(child)
    written.add(job.id)
    assert not turns.is_free, "its answer is not delivered yet"
    written.clear()
    turns.note_delivery()
    assert not turns.is_free
    written.add(job.id)
    assert turns.is_free
