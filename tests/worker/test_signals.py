"""Signals to a worker: before it handles them, later, to all its processes, and from a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.kit import Shop, Worker
from tests.support.waiting import until

_ROOT = Path(__file__).parents[2]
_TRIAL = ["unshare", "--pid", "--fork", "true"]
_CAN_UNSHARE = (
    os.getuid() == 0 and subprocess.run(_TRIAL, check=False, capture_output=True).returncode == 0
)
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
OTHERS = (
    signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGWINCH, signal.SIGCONT
)  # fmt: skip


def _blocked(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("SigBlk:")[2].split()[0], 16)


def _is_held(pid: int) -> bool:
    return bool(_blocked(pid) >> (signal.SIGUSR2 - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_in_the_first_moment_is_obeyed(sqlite_shop: Shop, number: signal.Signals) -> None:
    worker = sqlite_shop.worker(wait=False)
    until("signals are held", lambda: _is_held(worker.pid), step=0.002)
    worker.signal(number)

    assert worker.process.wait(20) == 0
    assert worker.complaints() == []


def test_other_signals_end_no_worker_neither_at_first_nor_later(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker(wait=False) as worker:
        until("signals are held", lambda: _is_held(worker.pid), step=0.002)
        for number in OTHERS:
            worker.signal(number)
        worker.wait_for_log("worker started")
        held = shop.send("hold", "gate")
        shop.wait_for_run(held)
        reports = worker.log.count("report, asked for by SIGUSR1")
        for number in OTHERS:
            for pid in worker.family():
                if number != signal.SIGUSR1 or pid == worker.pid:  # it cancels in children
                    with contextlib.suppress(ProcessLookupError):  # of before the reload
                        os.kill(pid, number)
        worker.wait_for_log("report, asked for by SIGUSR1", reports + 1)
        worker.wait_for_log(f"running=1 held=1 jobs={held.id}")
        worker.wait_for_log("thread MainThread:")
        worker.signal(signal.SIGTSTP)
        worker.signal(signal.SIGCONT)
        shop.open("gate")
        held.get(timeout=20)
        assert shop.job(held).attempt == 1
        assert "the fork server died" not in worker.log


def test_a_signal_to_all_processes_ends_only_the_bodies_by_themselves(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    worker = shop.worker(children=1)
    held = [shop.send("hold", "gate"), shop.send("hold_async", "gate")]
    for job in held:
        shop.wait_for_run(job)
    for pid in worker.family():
        os.kill(pid, signal.SIGQUIT)
    worker.wait_for_log("draining")
    shop.open("gate")

    assert worker.process.wait(20) == 0
    assert [(shop.job(job).attempt, job.state) for job in held] == [(1, "completed")] * 2


def _in_terminal(shop: Shop, *prefix: str) -> tuple[Worker, int]:
    """A worker that leads the session of a terminal; the terminal's other end."""
    reader, writer = pty.openpty()
    worker = Worker.__new__(Worker)
    worker.log_reader = None
    worker.log_path = shop.folder / "terminal.log"
    env = {**os.environ, "PYTHONPATH": str(_ROOT), "SHOP_FOLDER": str(shop.folder)}
    env |= {"HAMMERFLOW_DATABASE_URL": shop.url, "HAMMERFLOW_POLL": "0.2"}
    code = (
        "import fcntl, os, signal, sys, termios\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # the tests may run under nohup
        "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    command = [*prefix, sys.executable, "-m", "hammerflow", "-A", "tests.acceptance.shop:app"]
    worker.process = subprocess.Popen(
        [sys.executable, "-c", code, *command, "worker", "-c", "1"],
        cwd=_ROOT, env=env, stdin=writer, stdout=writer, stderr=writer,
    )  # fmt: skip
    os.close(writer)
    shop.workers.append(worker)
    return worker, reader


def _read_until(fd: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += os.read(fd, 1 << 16)


def test_a_worker_ends_with_its_terminal_but_reloads_by_a_signal_there(sqlite_shop: Shop) -> None:
    worker, terminal = _in_terminal(sqlite_shop)
    _read_until(terminal, b"worker started")
    worker.signal(signal.SIGHUP)
    _read_until(terminal, b"why=reload")
    job = sqlite_shop.send("note", 1)
    job.get(timeout=20)

    os.close(terminal)

    assert worker.process.wait(20) == 0


def test_under_nohup_it_outlives_its_terminal_and_bodies_print(
    sqlite_shop: Shop, tmp_path: Path
) -> None:
    shop = sqlite_shop
    worker, terminal = _in_terminal(
        shop, "/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh"
    )  # as nohup does, with the output still on the terminal
    _read_until(terminal, b"worker started")
    os.close(terminal)

    for number in range(3):
        shop.send("note", number).get(timeout=20)

    assert worker.process.poll() is None
    assert worker.stop() == 0


@pytest.mark.skipif(not _CAN_UNSHARE, reason="needs root and a namespace for processes")
class TestAsProcessOne:
    """As in a container, imitated by a namespace for processes."""

    def start(self, shop: Shop, folder: Path, code: str) -> Any:
        (folder / "one.py").write_text(code)
        env = {**os.environ, "PYTHONPATH": str(_ROOT), "HAMMERFLOW_DATABASE_URL": shop.url}
        env["HAMMERFLOW_POLL"] = "0.2"
        command = [sys.executable, "-m", "hammerflow", "-A", "one:app", "worker", "-c", "1"]
        return subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def inner(self, process: Any) -> int:
        """The pid, as seen from outside, of its process 1."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        return int(until("it has begun", lambda: children.read_text().split())[0])

    def test_orphans_are_reaped_and_stops_are_heard(
        self, sqlite_shop: Shop, tmp_path: Path
    ) -> None:
        code = (
            "import subprocess\nfrom hammerflow import Hammerflow\napp = Hammerflow('one')\n"
            "@app.task\ndef leaves_orphans():\n"
            "    for _ in range(10): subprocess.run('setsid sh -c \"sleep 0.1\" &', shell=True)\n"
        )
        shop = sqlite_shop
        with self.start(shop, tmp_path, code) as worker:
            job = shop.client.enqueue(shop.client.signature("one.leaves_orphans"))
            job.get(timeout=30)
            one = self.inner(worker)

            until("no zombie is left", lambda: _zombies(one) == 0)
            os.kill(one, signal.SIGTERM)
            assert worker.wait(20) == 0
            assert "worker stopped" in worker.stderr.read()

    def test_a_stop_while_it_imports_is_heard(self, sqlite_shop: Shop, tmp_path: Path) -> None:
        code = "from hammerflow import Hammerflow\napp = Hammerflow('one')\n"
        with self.start(sqlite_shop, tmp_path, code) as worker:
            one = self.inner(worker)
            until("signals are held", lambda: _is_held(one), step=0.002)
            os.kill(one, signal.SIGTERM)

            assert worker.wait(20) == 0


def _zombies(parent: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    states = [
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in children
    ]
    return states.count("Z") + (len(children) > 1)
