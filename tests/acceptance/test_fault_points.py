"""Fault points: a process ends or freezes exactly where it was armed, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hammerflow import Result
from hammerflow.worker.faults import POINTS
from tests.acceptance.kit import Shop, Worker, until

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


def _hit(points: Path, count: int) -> tuple[str, int]:
    """The point and the pid of the ``count``-th hit."""
    path = points / "hits"
    until(f"hit {count}", lambda: path.exists() and path.read_text().count("\n") >= count, 60)
    point, pid, _ = path.read_text().splitlines()[count - 1].split()
    return point, int(pid)


def test_a_process_ends_or_freezes_at_each_point_and_no_job_is_lost(
    shop: Shop, points: Path
) -> None:
    jobs: list[Result[int]] = []
    worker = shop.worker(faults=points, poison_limit=1000)
    for count, point in enumerate(POINTS, 1):
        _arm(points, point, "kill")
        jobs += shop.send_all("note", ((i, 0.03) for i in range(10)))
        assert _hit(points, count)[0] == point
        if point in _OF_CHILDREN:
            assert worker.process.poll() is None
        else:
            assert worker.process.wait(10) == -9
            worker = shop.worker(faults=points, poison_limit=1000)

    _arm(points, "ended", "freeze")
    jobs += shop.send_all("note", ((i, 0.03) for i in range(10)))
    assert os.getpgid(_hit(points, len(POINTS) + 1)[1]) == worker.pid
    until("all stopped", lambda: not _states(worker) - {"T"}, 60)
    worker.thaw()
    shop.wait_until_quiet(60)
    assert [job.get(timeout=5) for job in jobs] == list(range(10)) * (len(POINTS) + 1)
    shop.check(jobs)


def _states(worker: Worker) -> set[str]:
    """Of the processes of the worker, as the kernel tells them."""
    stats = (Path(f"/proc/{pid}/stat") for pid in worker.family())
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in stats}


def test_without_the_variable_there_is_no_point(shop: Shop, points: Path) -> None:
    with shop.worker() as worker:
        (points / "body").write_text("kill")
        assert shop.send("note", 1, 0.1).get(timeout=10) == 1
        assert _is_unarmed(worker) and (points / "body").exists()
    said = "import sys, hammerflow.worker.supervisor as s; print('faults' in str(sys.modules))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _is_unarmed(worker: Worker) -> bool:
    environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
    return b"HAMMERFLOW_FAULTS" not in environment
