"""Limits of the host: a worker that cannot start or go on says in one sentence which one it met."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.kit import Shop
from tests.support.waiting import until

_ROOT = Path(__file__).parents[2]
_PYTHON = "exec $PYTHON -m hammerflow -A plain:app worker -c 2"
#: A user whose number of processes is limited: root's is not. It may read what root may.
_USER = "setpriv --reuid=54321 --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override"
_TOOLS = all(map(shutil.which, ("setpriv", "prlimit", "unshare")))
_ROOTS = pytest.mark.skipif(os.getuid() != 0 or not _TOOLS, reason="needs root and util-linux")
_APP = (
    "import os, time\nfrom hammerflow import Hammerflow\napp = Hammerflow('shop')\n"
    "while os.path.exists('slow'): time.sleep(0.01)\n"
    "def hook():\n    while os.path.exists('stuck'): time.sleep(0.01)\n"
    "os.register_at_fork(HOOK=hook)\n"
    "@app.task(max_attempts=10)\ndef ping(): return 'pong'\n"
    "@app.task(max_attempts=10)\ndef crash():\n"
    "    if not os.path.exists('crashed'): open('crashed', 'w'); os._exit(3)\n"
    "    return 'survived'\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plain.py").write_text(_APP.replace("HOOK", "before"))
    return tmp_path


@pytest.fixture
def refused(migrated_database: Callable[[str], str], folder: Path) -> Callable[[str], str]:
    """Runs a command line that starts a worker in vain; what it prints."""
    env = {**os.environ, "PYTHONPATH": f"{_ROOT}:{folder}", "PYTHON": sys.executable}
    env["HAMMERFLOW_DATABASE_URL"] = migrated_database("sqlite")

    def run(command: str) -> str:
        ran = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode not in (0, -signal.SIGTERM), ran.stderr
        assert "unexpected" not in ran.stderr and "Traceback" not in ran.stderr, ran.stderr
        (line,) = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        return line

    return run


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"ulimit -n 16; {_PYTHON}", "ulimit -n"),
        (f"ulimit -v 90000; {_PYTHON}", "ulimit -v"),
        (f"mkdir gone; cd gone; rmdir ../gone; {_PYTHON}", "directory is gone"),
        pytest.param(
            f"exec {_USER} prlimit --nproc=1 {_PYTHON.removeprefix('exec ')}", "is 1 (ulimit -u)",
            marks=_ROOTS,
        ),
        pytest.param(
            f"exec {_USER} prlimit --nproc=6 {_PYTHON.removeprefix('exec ')}", "is 6 (ulimit -u)",
            marks=_ROOTS,
        ),
        pytest.param(
            f"mkdir dev; unshare -m sh -c 'mount --bind dev /dev && {_PYTHON}'", "/dev/null",
            marks=_ROOTS,
        ),
    ],
    ids=["files", "memory", "folder", "one process", "few processes", "no null device"],
)  # fmt: skip
def test_a_limit_that_is_met_at_the_start_is_named(
    refused: Callable[[str], str], command: str, said: str
) -> None:
    assert said in refused(command)


def test_an_import_that_is_slower_than_allowed_is_named_with_the_option(
    refused: Callable[[str], str], folder: Path
) -> None:
    (folder / "slow").touch()
    line = refused(f"{_PYTHON} --import-timeout 1")
    assert "longer than 1 s: see --import-timeout" in line


def test_a_memory_limit_below_the_size_of_the_app_is_warned_of(
    sqlite_shop: Shop, folder: Path
) -> None:
    shop, options = sqlite_shop, ("--max-memory-per-child", "1")
    with shop.worker(*options, app="plain:app", folder=folder, children=1) as worker:
        assert shop.client.enqueue(shop.client.signature("plain.ping")).get(timeout=20) == "pong"
        worker.wait_for_log("each child is replaced after one job: the app alone takes")


@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_a_hook_that_hangs_in_a_fork_is_survived(
    sqlite_shop: Shop, folder: Path, hook: str
) -> None:
    """The fork server hangs in the first two, the child before its hello in the last."""
    (folder / "plain.py").write_text(_APP.replace("HOOK", hook))
    shop = sqlite_shop
    worker = shop.worker(app="plain:app", folder=folder, children=1, preload="tests.worker.stopped")
    with worker:
        (folder / "stuck").touch()
        job = shop.client.enqueue(shop.client.signature("plain.crash"))
        worker.wait_for_log("hook of os.register_at_fork" if "child" in hook else "does not answer")
        (folder / "stuck").unlink()
        assert job.get(timeout=30) == "survived"
        until("one child", lambda: len(worker.children()) == 1)


def test_doctor_counts_the_children_that_do_not_start(sqlite_shop: Shop, folder: Path) -> None:
    shop = sqlite_shop
    (folder / "plain.py").write_text(_APP.replace("HOOK", "before"))

    def doctor() -> str:
        command = [sys.executable, "-m", "hammerflow", "-A", "plain:app", "doctor"]
        env = {**os.environ, "HAMMERFLOW_DATABASE_URL": shop.url, "PYTHONPATH": f"{_ROOT}:{folder}"}
        ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)
        return ran.stdout.decode()

    with shop.worker(app="plain:app", folder=folder, children=3) as worker:
        assert "lacks" not in doctor()
        (folder / "stuck").touch()
        os.kill(min(worker.children()), signal.SIGKILL)
        until("it is said", lambda: "lacks 1 child" in doctor(), 30, step=0.5)
        (folder / "stuck").unlink()
        until("it is complete", lambda: "lacks" not in doctor(), 30, step=0.5)
