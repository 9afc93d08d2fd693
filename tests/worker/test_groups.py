"""What a body starts, signals and closes concerns its own process, and nothing else."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import JobState, Result
from hammerflow.worker.processes import has_ended
from tests.acceptance.kit import Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow

_APP = "tests.worker.rogue:app"
BOTH = pytest.mark.parametrize("kind", ["", "_async"], ids=["sync", "async"])


def send_rogue(shop: Shop, task: str, *args: Any, **options: Any) -> Result[Any]:
    """Enqueue a call of one of the rogue bodies."""
    return shop.client.enqueue(shop.client.signature(f"tests.worker.rogue.{task}", args, **options))


def _living(pids: Path) -> list[int]:
    return [pid for pid in map(int, pids.read_text().split()) if not has_ended(pid)]


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """A file of the pids of programs, which end with the test."""
    path = tmp_path / "pids"
    path.touch()
    yield path
    for pid in _living(path):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("kind", "end"),
    [("", "timeout"), ("", "crash"), ("", "exit"), ("_async", "timeout"), ("_async", "crash")],
)
def test_what_a_killed_body_has_started_dies_with_it(
    sqlite_shop: Shop, kind: str, end: str, pids: Path
) -> None:
    shop = sqlite_shop
    with shop.worker(app=_APP, children=1):
        result = send_rogue(shop, f"leaves_programs{kind}", str(pids), end)

        result.wait(timeout=20)

        assert len(pids.read_text().split()) == 8
        orphans = 0 if end == "timeout" else 2 * 2  # in sessions of their own, without a parent
        until("what it started has ended", lambda: len(_living(pids)) <= orphans)


@pytest.mark.parametrize("how", ["asyncio", "detached", "thread"])
def test_what_a_cancelled_async_body_has_started_dies_at_its_timeout(
    sqlite_shop: Shop, how: str, pids: Path, tmp_path: Path
) -> None:
    shop, gate = sqlite_shop, tmp_path / "gate"
    with shop.worker(app=_APP, children=1) as worker:
        neighbour = send_rogue(shop, "hold_async", str(gate))
        helper = send_rogue(shop, "starts_a_helper_async", str(tmp_path / "helper"))
        helper.get(timeout=10)
        send_rogue(shop, "waits_for_programs", str(pids), how).wait(timeout=20)

        assert len(pids.read_text().split()) == 2
        until("they have ended", lambda: not _living(pids))
        assert len(_living(tmp_path / "helper")) == 1, "another job has started it"
        gate.touch()
        assert neighbour.get(timeout=10) == "held"
        assert "child died" not in worker.log


def test_what_a_completed_body_has_started_lives_on(sqlite_shop: Shop, pids: Path) -> None:
    shop = sqlite_shop
    worker = shop.worker("--max-jobs-per-child", "1", app=_APP, children=1)
    for _ in range(2):
        send_rogue(shop, "starts_a_helper", str(pids)).get(timeout=10)
    until("both run", lambda: len(pids.read_text().split()) == 2)

    assert worker.stop() == 0

    assert len(_living(pids)) == 2


@pytest.mark.parametrize("victim", ["supervisor", "its group", "fork server"])
def test_what_bodies_have_started_dies_with_a_killed_worker(
    sqlite_shop: Shop, victim: str, pids: Path
) -> None:
    shop = sqlite_shop
    worker = shop.worker(app=_APP, children=1)
    send_rogue(shop, "leaves_programs", str(pids), "timeout", timeout=60.0)
    until("all run", lambda: len(pids.read_text().split()) == 4)
    (child,) = worker.children() & {os.getpgid(pid) for pid in _living(pids)}

    kill = os.killpg if victim == "its group" else os.kill
    kill(worker.family()[child] if victim == "fork server" else worker.pid, signal.SIGKILL)

    in_other_sessions = 2 if victim == "fork server" else 0
    until("they have ended", lambda: len(_living(pids)) <= in_other_sessions)


@BOTH
def test_a_body_that_signals_its_group_reaches_its_own_job_only(
    sqlite_shop: Shop, kind: str, tmp_path: Path
) -> None:
    shop, gate = sqlite_shop, tmp_path / "gate"
    with shop.worker(app=_APP, children=2) as worker:
        held = send_rogue(shop, "hold" if kind else "hold_async", str(gate))
        until("it runs", lambda: held.state is JobState.RUNNING)
        before = worker.family()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            assert (
                send_rogue(shop, f"signals_group{kind}", int(number)).get(timeout=10) == "survived"
            )
        assert worker.family() == before
        killed = send_rogue(shop, f"signals_group{kind}", int(signal.SIGKILL))
        assert killed.get(timeout=10) == "survived"
        assert shop.kinds(killed) == ["lost"]
        gate.touch()
        assert held.get(timeout=10) == "held"
        assert shop.kinds(held) == []
        assert worker.log.count("child died child=") == 1


@pytest.mark.parametrize(("lowest", "highest"), [(3, 256), (3, 4096), (0, 4096)])
def test_a_body_that_closes_descriptors_runs_once_at_a_time_and_keeps_its_files(
    sqlite_shop: Shop, lowest: int, highest: int, tmp_path: Path
) -> None:
    shop = sqlite_shop
    with shop.worker(app=_APP, children=2) as worker:
        result = send_rogue(shop, "closes", lowest, highest, str(tmp_path))

        assert result.get(timeout=20) == "done"
        assert [path.read_bytes() for path in tmp_path.glob("file-*")] == [b""] * 3
        if highest == 256:
            assert shop.kinds(result) == []
            worker.wait_for_log("a body has closed descriptors")
        else:
            (error,) = shop.job(result).errors
            assert "file descriptors had been closed" in error.message
            assert [path.name for path in tmp_path.glob("attempt-*")] in ([], ["attempt-1"])
        assert send_rogue(shop, "descriptors", "system").get(timeout=10)[:3] == ["0", "1", "2"]


def test_an_async_body_that_closes_descriptors_ends_its_child_only(
    sqlite_shop: Shop, tmp_path: Path
) -> None:
    shop = sqlite_shop
    with shop.worker(app=_APP, children=1):
        for highest in (256, 4096):
            result = send_rogue(shop, "closes_async", 3, highest, str(tmp_path))

            assert result.get(timeout=20) == "done"
            (error,) = shop.job(result).errors
            assert "file descriptors had been closed" in error.message
            assert [path.read_bytes() for path in tmp_path.glob("file-*")] == [b""] * 3


def test_programs_that_a_body_starts_inherit_three_descriptors(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker(app=_APP, children=1):
        for how in ("system", "spawn", "run"):
            found = send_rogue(shop, "descriptors", how).get(timeout=10)
            assert found == ["0", "1", "2", "3"], "3 is the list of descriptors"


def test_ctrl_c_in_a_terminal_drains_and_the_terminal_does_not_stop_children(
    sqlite_shop: Shop, tmp_path: Path
) -> None:
    shop, gate = sqlite_shop, tmp_path / "gate"
    command = [sys.executable, "-m", "hammerflow", "-A", _APP, "worker", "-c", "1"]
    env = {**os.environ, "HAMMERFLOW_DATABASE_URL": shop.url}
    result = send_rogue(shop, "uses_terminal", str(gate))
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(Path(__file__).parents[2])
        modes = termios.tcgetattr(0)
        modes[3] |= termios.TOSTOP  # stty tostop: writing in the background stops, too
        termios.tcsetattr(0, termios.TCSANOW, modes)
        os.execve(sys.executable, command, env)
    try:
        shown = b""
        while b"worker started" not in shown or b"said in a child" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, b"\x03")
        while b"draining: 1 job still runs" not in shown:
            shown += os.read(terminal, 4096)
        gate.touch()
        assert result.get(timeout=10) == "Input/output error, held"
        _, status = until("it ends", lambda: _waited(pid, terminal))
        assert status == 0
        assert shop.kinds(result) == []
    finally:
        os.close(terminal)


def _waited(pid: int, terminal: int) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        os.read(terminal, 4096)
    waited = os.waitpid(pid, os.WNOHANG)
    return waited if waited[0] else None
