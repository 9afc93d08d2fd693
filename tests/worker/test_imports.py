"""Whatever importing the app does to its process, the worker keeps its signals and streams."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hammerflow import JobState
from tests.acceptance.kit import Shop
from tests.support.waiting import until

#: What apps do at import, some of it by libraries that they use.
_HOSTILE = """
import asyncio, atexit, faulthandler, gc, multiprocessing, os, signal, sys, threading, time
import warnings
from pathlib import Path

def leave(number, frame):
    Path(HERE, f"handled-{os.getpid()}").touch()
    sys.exit(9)

HERE = os.getcwd()
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, leave)
signal.signal(signal.SIGALRM, leave)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM})
signal.set_wakeup_fd(os.open("/dev/null", os.O_WRONLY | os.O_NONBLOCK))
faulthandler.register(signal.SIGXCPU)
warnings.simplefilter("error")
multiprocessing.set_start_method("spawn")
asyncio.set_event_loop(asyncio.new_event_loop())
atexit.register(os._exit, 5)
gc.freeze()
os.setpgrp()
os.umask(0)
os.closerange(3, 256)
os.close(1)
sys.stdout = object()
sys.excepthook = None.__class__

from hammerflow import Hammerflow, SoftTimeout, constant
app = Hammerflow("shop")
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
os.chdir("/")

@app.task
def hold(gate):
    while not Path(gate).exists():
        time.sleep(0.01)
    return "held"

@app.task
async def hold_async(gate):
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
    return "held"

@app.task(max_attempts=3, backoff=constant(0))
def dies(mark):
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"

@app.task(max_attempts=1, soft_timeout=0.2)
def softly():
    try:
        time.sleep(30)
    except SoftTimeout:
        return "told"

@app.task
def forks():
    if (pid := os.fork()) == 0:
        Path(HERE, f"forked-{os.getpid()}").touch()
        time.sleep(60)
    while not Path(HERE, f"forked-{pid}").exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGTERM)
    while not Path(HERE, f"handled-{pid}").exists():
        time.sleep(0.01)
    return signal.getsignal(signal.SIGUSR2) is leave
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_app_that_takes_signals_and_descriptors_at_import_loses_no_job(
    sqlite_shop: Shop, number: signal.Signals, tmp_path: Path
) -> None:
    shop, gate = sqlite_shop, tmp_path / "gate"
    (tmp_path / "hostile.py").write_text(_HOSTILE)

    def send(task: str, *args: Any) -> Any:
        return shop.client.enqueue(shop.client.signature(f"hostile.{task}", args))

    worker = shop.worker(app="hostile:app", folder=tmp_path, children=1)
    assert send("softly").get(timeout=10) == "told"
    assert send("forks").get(timeout=10), "the app's own handlers are there in bodies' processes"
    assert send("dies", str(tmp_path / "died")).get(timeout=10) == "survived"
    held = [send("hold", str(gate)), send("hold_async", str(gate))]
    until("both run", lambda: all(result.state is JobState.RUNNING for result in held))
    cancelled = send("hold_async", str(tmp_path / "never"))
    until("it runs", lambda: cancelled.state is JobState.RUNNING)
    cancelled.cancel()
    until("it ends", lambda: cancelled.state is JobState.CANCELLED)

    for pid in worker.family():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    worker.wait_for_log("draining")
    gate.touch()

    assert worker.process.wait(20) == 0, worker.log
    assert [result.get(timeout=1) for result in held] == ["held", "held"]
    assert [(shop.job(result).attempt, shop.kinds(result)) for result in held] == [(1, []), (1, [])]
    assert "importing the app started threads" in worker.log
    assert "SIGINT" in worker.log
    assert "the fork server died" not in worker.log
    assert worker.complaints() == []


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_worker_without_standard_streams_runs(
    sqlite_shop: Shop, closed: str, tmp_path: Path
) -> None:
    shop = sqlite_shop
    (tmp_path / "plain.py").write_text(
        "import os, subprocess, sys\nfrom hammerflow import Hammerflow\napp = Hammerflow('shop')\n"
        "@app.task\ndef streams():\n"
        "    print('a'); print('b', file=sys.stderr)\n"
        "    run = subprocess.run('cat; echo c; echo d >&2', shell=True, check=True)\n"
        "    return [os.fstat(fd).st_ino > 0 for fd in range(3)]\n"
    )
    cli = f"{sys.executable} -m hammerflow -A plain:app"
    command = f"{cli} job enqueue plain.streams {closed} && exec {cli} worker --burst -c 1 {closed}"
    folder = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(folder), "HAMMERFLOW_DATABASE_URL": shop.url}

    with (tmp_path / "out").open("wb") as out:
        run = subprocess.run(
            ["/bin/sh", "-c", command], cwd=tmp_path, env=env, timeout=30, check=False,
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip

    text = (tmp_path / "out").read_text()
    assert run.returncode == 0, text
    [job] = shop.client.jobs()
    assert job.errors == ()
    assert shop.client.result(job.id).get(timeout=1) == [True] * 3
    assert "fork server" not in text


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        (("import os; os.closerange(3, 5000); from hammerflow import Hammerflow; "
         "app = Hammerflow('x'); app.task(name='t')(print)"), "closed"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("class Skip(BaseException): pass\nraise Skip('not here')", "Skip: not here"),
    ],
)  # fmt: skip
def test_an_import_that_ends_its_process_is_one_sentence(
    tmp_path: Path, code: str, said: str
) -> None:
    (tmp_path / "shop.py").write_text(code)
    run = subprocess.run(
        [sys.executable, "-m", "hammerflow", "-A", "shop:app", "worker"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert run.returncode in (1, 2)
    assert said in run.stderr
    assert "shop" in run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_a_worker_whose_parent_has_blocked_all_signals_drains(
    sqlite_shop: Shop, tmp_path: Path
) -> None:
    """As a launcher that waits for signals by ``sigwait`` leaves them."""
    shop, out = sqlite_shop, tmp_path / "out"
    starter = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals());"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    worker = [sys.executable, "-m", "hammerflow", "-A", "tests.worker.rogue:app", "worker", "-c1"]
    env = {**os.environ, "HAMMERFLOW_DATABASE_URL": shop.url}
    with out.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", starter, *worker], env=env, stdout=log, stderr=log,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
    try:
        until("it has started", lambda: b"worker started" in out.read_bytes())
        killed = shop.client.enqueue(
            shop.client.signature("tests.worker.rogue.signals_group", (int(signal.SIGKILL),))
        )
        assert killed.get(timeout=10) == "survived", "the exit of a child is reported"
        process.terminate()
        assert process.wait(15) == 0
    finally:
        process.kill()
