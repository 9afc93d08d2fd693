"""Bodies in real workers keep what they log: all ways in which attempts end, on each database."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hammerflow import Hammerflow, Result
from hammerflow.jobs.log_lines import AttemptLog
from hammerflow.testing import drain

_ROOT = Path(__file__).parents[2]
_CODE = """
import asyncio, logging, os, signal, subprocess, sys, threading, time
import hammerflow
from hammerflow import Hammerflow, Retry, Snooze, constant, current_job

app = Hammerflow("keeps")
log = logging.getLogger("shop")
keep = app.task(keep_logs="always", backoff=constant(0))

@keep
def talks(count):
    for number in range(count):
        log.info("line %d", number)
    log.debug("below")

@keep
def nasty():
    log.warning("a\\0b \\ud800 \\x1b[2J")
    log.info("x" * 10_000_000 + "the end")
    log.info("ü" * 12_000)
    log.info("no %d", "number")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("it broke")

@keep
def elsewhere():
    thread = threading.Thread(target=log.info, args=["in a thread"])
    thread.start()
    thread.join()
    print("printed")
    subprocess.run(["echo", "of a program"])
    pid = os.fork()
    if pid == 0:
        log.info("of a fork")
        os._exit(0)
    os.waitpid(pid, 0)
    log.info("back")

@keep
async def together(name):
    for number in range(3):
        log.info("%s %d", name, number)
        await asyncio.sleep(0.001)
    await asyncio.to_thread(log.info, "%s in a thread", name)

@app.task(keep_logs="always", max_attempts=2, backoff=constant(0))
def flaky():
    log.info("attempt %d", current_job().attempt)
    if current_job().attempt == 1:
        raise Retry("again")

@app.task(keep_logs="on_failure", max_attempts=2, backoff=constant(0))
def mostly():
    log.info("attempt %d", current_job().attempt)
    if current_job().attempt == 1:
        raise ValueError("once")

@app.task(keep_logs="always", max_attempts=1, timeout=2)
def hangs():
    for word in ("one", "two", "three"):
        log.info(word)
    time.sleep(60)

@app.task(keep_logs="on_failure", max_attempts=1)
def dies():
    log.info("last words")
    os.kill(os.getpid(), signal.SIGKILL)

@app.task(keep_logs="on_failure", max_attempts=1)
async def dies_async():
    log.info("last words")
    os._exit(3)

@app.task(keep_logs="always", in_transaction=True)
def joined():
    log.info("in a transaction")

@app.spawner(keep_logs="always")
def parent():
    log.info("spawning")
    yield talks.s(1)

@app.spawner(keep_logs="always", on_spawn_complete=lambda context: log.info("too late"))
def hooked():
    log.info("spawning")
    yield talks.s(1)

@app.task
def quiet():
    log.info("kept by nobody")
"""


@pytest.fixture
def client(migrated_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("client", database=migrated_url, doorbell="none")
    yield app
    app.close()


def _run(folder: Path, url: str) -> str:
    (folder / "kept_app.py").write_text(_CODE)
    env = {**os.environ, "PYTHONPATH": str(_ROOT), "HAMMERFLOW_DATABASE_URL": url}
    command = [sys.executable, "-m", "hammerflow", "-A", "kept_app:app", "worker", "--burst"]
    done = subprocess.run(
        [*command, "-c", "2", "--async-slots", "2"], cwd=folder, env=env, capture_output=True,
        text=True, timeout=100, check=True,
    )  # fmt: skip
    return done.stderr


def _texts(logs: list[AttemptLog]) -> list[list[str]]:
    return [[line.message for line in log.lines] for log in logs]


def test_bodies_keep_what_they_log_however_they_end(
    client: Hammerflow, migrated_url: str, tmp_path: Path
) -> None:
    names = (
        "nasty", "elsewhere", "flaky", "mostly", "hangs", "dies", "dies_async", "joined", "parent",
        "hooked", "quiet",
    )  # fmt: skip
    sent: dict[str, Result[None]] = {
        name: client.enqueue(client.signature(f"kept_app.{name}", args))
        for name, args in [("talks", [2_000]), *((name, []) for name in names)]
    }
    pair = [client.enqueue(client.signature("kept_app.together", [name])) for name in "ab"]
    stderr = _run(tmp_path, migrated_url)

    kept = {name: _texts(result.logs()) for name, result in sent.items()}
    (many,) = sent["talks"].logs()
    assert (len(many.lines), many.dropped, many.dropped_at) == (1_000, 1_000, 250)
    numbers = [*range(250), *range(1_250, 2_000)]
    assert kept.pop("talks") == [[f"line {number}" for number in numbers]]
    ((odd, long, wide, broken, failed),) = kept.pop("nasty")
    assert odd == "a\\0b \\ud800 \x1b[2J" and long.endswith("xthe end") and len(long) <= 16_000
    assert wide == "ü" * 12_000 and broken == "no %d ('number',)"
    assert failed.startswith("it broke\nTraceback") and "ZeroDivisionError" in failed
    assert kept == {
        "elsewhere": [["in a thread", "back"]],
        "flaky": [["attempt 1"], ["attempt 2"]],
        "mostly": [["attempt 1"]],
        "hangs": [["one", "two", "three"]],
        "dies": [["last words"]], "dies_async": [["last words"]],
        "joined": [["in a transaction"]],
        "parent": [["spawning"]], "hooked": [["spawning"]], "quiet": [],
    }  # fmt: skip
    assert [_texts(result.logs()) for result in pair] == [
        [[f"{name} 0", f"{name} 1", f"{name} 2", f"{name} in a thread"]] for name in "ab"
    ]
    assert [len(child.logs()) for child in sent["parent"].children()] == [1]
    assert [log.attempt for log in sent["flaky"].logs(2)] == [2]
    assert "kept by nobody" in stderr and "too late" in stderr


def test_the_setting_holds_for_tasks_that_do_not_say_otherwise(sqlite_url: str) -> None:
    app = Hammerflow(
        "kept", database=sqlite_url, doorbell="none", keep_logs="always", keep_logs_lines=2,
        keep_logs_level="warning",
    )  # fmt: skip
    app.migrate()

    @app.task
    def talks() -> None:
        for level in (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            logging.getLogger("shop").log(level, "said")

    silent = app.task(keep_logs="never", name="silent")(talks.fn)
    loud, mute = talks.delay(), silent.delay()
    handlers = [*logging.getLogger().handlers]
    drain(app)
    (log,) = loud.logs()
    assert ([line.level for line in log.lines], log.dropped) == (["warning", "critical"], 1)
    assert mute.logs() == [] and logging.getLogger().handlers == handlers
    app.close()
