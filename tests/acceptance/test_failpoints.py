"""Fault points: a process ends or freezes exactly where it was armed, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hammerflow import Result
from hammerflow.testing.failpoints import POINTS
from tests.acceptance.kit import LEASE, Shop, Worker
from tests.support.waiting import until

pytestmark = pytest.mark.slow

_OF_CHILDREN = ("received", "body", "ended")


@pytest.fixture
def points(tmp_path: Path) -> Path:
    folder = tmp_path / "points"
    folder.mkdir()
    return folder


def _arm(points: Path, point: str, action: str) -> None:
    """At once: a process must not see the file without its text."""
    (points / "next").write_text(action)
    (points / "next").rename(points / point)


def _hits(points: Path) -> list[list[str]]:
    """Point, pid and time of each hit."""
    path = points / "hits"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def _work_until_hit(shop: Shop, points: Path, point: str) -> tuple[int, list[Result[int]]]:
    """The pid that came to the point, and the jobs sent meanwhile: a commit may be over too soon
    to be hit, then the next one is tried."""
    count = len(_hits(points)) + 1
    jobs: list[Result[int]] = []
    deadline = time.monotonic() + 60
    while len(_hits(points)) < count:
        assert time.monotonic() < deadline, f"nobody came to {point}"
        jobs += shop.send_all("note", [(1, 0.03)] * 10)
        with contextlib.suppress(AssertionError):
            until("a hit", lambda: len(_hits(points)) >= count, 3)
    found, pid, _ = _hits(points)[-1]
    assert found == point
    return int(pid), jobs


def test_a_process_ends_or_freezes_at_each_point_and_no_job_is_lost(
    shop: Shop, points: Path
) -> None:
    jobs: list[Result[int]] = []
    worker = shop.worker(failpoints=points, poison_limit=1000)
    for point in POINTS:
        _arm(points, point, "kill")
        jobs += _work_until_hit(shop, points, point)[1]
        if point in _OF_CHILDREN:
            assert worker.process.poll() is None
        else:
            assert worker.process.wait(10) == -9
            worker = shop.worker(failpoints=points, poison_limit=1000)

    _arm(points, "ended", "freeze")
    pid, more = _work_until_hit(shop, points, "ended")
    assert os.getsid(pid) == worker.pid
    until("all stopped", lambda: worker.states() == {"T"}, 60)
    worker.thaw()
    shop.wait_until_quiet(60)
    assert {job.get(timeout=5) for job in jobs + more} == {1}
    shop.check(jobs + more)


@pytest.mark.parametrize("task", ["note", "note_async"])
def test_a_zombie_begins_nothing(shop: Shop, points: Path, task: str) -> None:
    """Frozen with a job in hand, it wakes up when another worker has done that job."""
    with shop.worker(failpoints=points) as zombie:
        _arm(points, "received", "freeze")
        job = shop.send(task, 5)
        until("all stopped", lambda: zombie.states() == {"T"}, 60)
        with shop.worker():
            assert job.get(timeout=LEASE + 20) == 5
            zombie.thaw()
            zombie.wait_for_log("no heartbeat for longer than the lease")
            jobs = shop.send_all(task, [(6,)] * 20)
            assert {later.get(timeout=20) for later in jobs} == {6}
    assert len(shop.ledger.runs(job.id.hex)) == 1
    shop.check([job, *jobs])


def test_without_the_variable_there_is_no_point(shop: Shop, points: Path) -> None:
    with shop.worker() as worker:
        (points / "body").write_text("kill")
        assert shop.send("note", 1, 0.1).get(timeout=10) == 1
        assert _is_unarmed(worker) and (points / "body").exists()
    said = (
        "import sys, hammerflow.worker.supervisor.supervisor\n"
        "print('failpoints' in str(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _is_unarmed(worker: Worker) -> bool:
    environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
    return b"HAMMERFLOW_FAILPOINTS" not in environment
