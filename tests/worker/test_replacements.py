"""Fork servers and children that die, hang or cannot be started beside jobs that run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hammerflow import JobState, Result
from tests.acceptance.kit import Shop, Worker
from tests.support.waiting import until

_ROOT = Path(__file__).parents[2]
_APP = (
    "import os, time\nfrom hammerflow import Hammerflow\napp = Hammerflow('shop')\n"
    "@app.task(max_attempts=10)\ndef hold(gate):\n"
    "    while not os.path.exists(gate): time.sleep(0.01)\n    return gate\n"
)


def _fork_servers(worker: Worker) -> list[int]:
    return [pid for pid, parent in worker.family().items() if parent == worker.pid]


def _hold(shop: Shop, gate: Path) -> Result[str]:
    call = shop.client.signature("plain.hold", (str(gate),))
    result: Result[str] = shop.client.enqueue(call)
    until("it runs", lambda: result.state is JobState.RUNNING)
    return result


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    (tmp_path / "plain.py").write_text(_APP)
    return tmp_path


def test_a_stopped_fork_server_is_replaced_and_its_children_work_on(
    sqlite_shop: Shop, plain: Path
) -> None:
    shop, gate, never = sqlite_shop, plain / "gate", plain / "never"
    with shop.worker(app="plain:app", folder=plain, preload="tests.worker.stopped") as worker:
        until("two children", lambda: len(worker.children()) == 2)
        (server,) = _fork_servers(worker)
        kept = _hold(shop, gate)
        before = worker.children()
        lost = _hold(shop, never)
        os.kill(server, signal.SIGSTOP)
        ran = [c for c in before if "plain" in Path(f"/proc/{c}/comm").read_text()]
        os.kill(max(ran), signal.SIGKILL)
        worker.wait_for_log("does not answer")
        gate.touch()
        never.touch()

        assert {lost.get(timeout=20), kept.get(timeout=20)} == {str(gate), str(never)}
        assert shop.job(kept).attempt + shop.job(lost).attempt == 3
        until("the stopped one has ended", lambda: server not in worker.family())


def test_a_stopped_child_does_not_keep_what_it_was_given(sqlite_shop: Shop) -> None:
    with sqlite_shop.worker(children=1) as worker:
        sqlite_shop.send("note").get(timeout=10)
        children = worker.children()
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        notes = [sqlite_shop.send("note", number) for number in range(3)]
        assert [note.get(timeout=30) for note in notes] == [0, 1, 2]
        worker.wait_for_log("did not begin its job")
        for pid in children & worker.children():  # the one of async jobs
            os.kill(pid, signal.SIGCONT)
        for note in notes:
            assert sqlite_shop.job(note).attempt == 1 and sqlite_shop.kinds(note) == []


def test_the_death_of_the_fork_server_is_charged_to_nobody(sqlite_shop: Shop, plain: Path) -> None:
    shop, gate = sqlite_shop, plain / "gate"
    with shop.worker(app="plain:app", folder=plain) as worker:
        jobs = [_hold(shop, gate), _hold(shop, gate)]
        for count in range(1, 4):
            until("both run", lambda: all(job.state is JobState.RUNNING for job in jobs))
            until("one serves", lambda: len(worker.children()) == 2)
            (server,) = _fork_servers(worker)
            os.kill(server, signal.SIGKILL)
            worker.wait_for_log("the fork server died: it was killed by SIGKILL", count)
        gate.touch()

        assert [job.get(timeout=30) for job in jobs] == [str(gate)] * 2
        assert [shop.job(job).attempt for job in jobs] == [1, 1]


def test_a_reload_while_the_interpreter_is_replaced_is_tried_again(
    sqlite_shop: Shop, plain: Path
) -> None:
    shop, python = sqlite_shop, plain / "swapped"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (plain / "swap.py").write_text(f"import sys\nsys.executable = {str(python)!r}\n")
    with shop.worker(app="plain:app", folder=plain, path=plain, preload="swap") as worker:
        job = _hold(shop, plain / "gate")
        python.rename(plain / "away")
        worker.signal(signal.SIGHUP)
        worker.wait_for_log("the next try is in")
        (plain / "away").rename(python)
        worker.wait_for_log("imported the app", 2)
        (plain / "gate").touch()

        assert job.get(timeout=20) == str(plain / "gate")
        assert shop.job(job).attempt == 1


@pytest.mark.parametrize("change", ["version", "settings"])
def test_a_fork_server_of_another_version_is_refused_and_named(
    sqlite_shop: Shop, plain: Path, change: str
) -> None:
    shop, site = sqlite_shop, plain / "site"
    shutil.copytree(_ROOT / "hammerflow", site / "hammerflow")
    with shop.worker(app="plain:app", folder=plain, path=site) as worker:
        job = _hold(shop, plain / "gate")
        if change == "version":
            with (site / "hammerflow/__init__.py").open("a") as file:
                file.write('\n__version__ = "99.0"\n')
        else:
            with (site / "hammerflow/settings.py").open("a") as file:
                file.write("\nSettings.to_dict = lambda self: {'new': 1}\n")
        worker.signal(signal.SIGHUP)
        worker.wait_for_log("restart the worker; the next try is in")
        (plain / "gate").touch()

        assert job.get(timeout=20) == str(plain / "gate")
        assert shop.job(job).attempt == 1


def test_hundreds_of_children_start_and_obey_signals(sqlite_shop: Shop, plain: Path) -> None:
    with sqlite_shop.worker(app="plain:app", folder=plain, children=320) as worker:
        until("they are there", lambda: len(worker.children()) == 320, 60)
        worker.signal(signal.SIGHUP)  # more than 1023 descriptors
        worker.wait_for_log("imported the app", 2, 60)


def test_a_limit_of_open_files_is_named(plain: Path) -> None:
    command = f"ulimit -n 64; exec {sys.executable} -m hammerflow -A plain:app worker -c 60"
    environ = {**os.environ, "PYTHONPATH": f"{_ROOT}:{plain}"}
    ended = subprocess.run(
        ["/bin/sh", "-c", command], cwd=plain, env=environ, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert ended.returncode != 0
    assert b"ulimit -n" in ended.stderr
    assert b"unexpected" not in ended.stderr


def test_reloads_beside_a_long_job_keep_few_fork_servers(sqlite_shop: Shop, plain: Path) -> None:
    shop, gate = sqlite_shop, plain / "gate"
    with shop.worker(app="plain:app", folder=plain, children=1) as worker:
        jobs = []
        for count in range(1, 5):  # each leaves a fork server behind that has a job
            jobs.append(_hold(shop, gate))
            worker.signal(signal.SIGHUP)
            worker.wait_for_log("imported the app", count + 1)
            until("it is used", lambda n=count: len(worker.children()) == n + 1)
        for _ in range(2):
            worker.signal(signal.SIGHUP)
        worker.wait_for_log("the reload waits: 4 fork servers")
        assert len(_fork_servers(worker)) == 5
        jobs.append(_hold(shop, gate))
        gate.touch()

        assert {job.get(timeout=20) for job in jobs} == {str(gate)}
        worker.wait_for_log("imported the app", 6)
        until("the retired ones have ended", lambda: len(_fork_servers(worker)) == 1)
        until("the new one has its child", lambda: len(worker.children()) == 1)
