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
from tests.support.waiting import until

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

@keep
def prints():
    print("one", 2, end="")
    print(" three")
    print()
    print("a\\nb", file=sys.stderr)
    sys.stdout.buffer.write(b"raw \\xff\\n")
    threads = [threading.Thread(target=print, args=[f"thread {n}"]) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if (pid := os.fork()) == 0:
        print("of a fork", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    sys.stdout.close()
    print("the end", end="", file=sys.stderr)

@keep
async def prints_async(name):
    print(name, 0)
    await asyncio.sleep(0.001)
    print(name, 1)
    await asyncio.to_thread(print, name, 2)

@app.task(keep_logs="on_failure", in_transaction=True)
def well():
    print("it went well")

@app.task(keep_logs="on_failure", max_attempts=1)
def badly():
    print("it went badly")
    raise ValueError("bad")

@keep
def waits(folder):
    print("begun")
    while not os.path.exists(folder + "/go"):
        time.sleep(0.01)
    print("over")

@app.task(keep_logs="on_failure")
def waits_well(folder):
    waits.fn(folder)

@app.task
def quiet():
    log.info("kept by nobody")
    print("kept by nobody")
"""


@pytest.fixture
def client(migrated_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("client", database=migrated_url, doorbell="none")
    yield app
    app.close()


def _run(folder: Path, url: str) -> tuple[str, str]:
    (folder / "kept_app.py").write_text(_CODE)
    env = {**os.environ, "PYTHONPATH": str(_ROOT), "HAMMERFLOW_DATABASE_URL": url}
    command = [sys.executable, "-m", "hammerflow", "-A", "kept_app:app", "worker", "--burst"]
    done = subprocess.run(
        [*command, "-c", "2", "--async-slots", "2"], cwd=folder, env=env, capture_output=True,
        text=True, errors="replace", timeout=100, check=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def _texts(logs: list[AttemptLog]) -> list[list[str]]:
    return [[line.message for line in log.lines] for log in logs]


def test_bodies_keep_what_they_log_however_they_end(
    client: Hammerflow, migrated_url: str, tmp_path: Path
) -> None:
    names = (
        "nasty", "elsewhere", "flaky", "mostly", "hangs", "dies", "dies_async", "joined", "parent",
        "hooked", "quiet", "prints", "well", "badly",
    )  # fmt: skip
    sent: dict[str, Result[None]] = {
        name: client.enqueue(client.signature(f"kept_app.{name}", args))
        for name, args in [("talks", [2_000]), *((name, []) for name in names)]
    }
    pair = [client.enqueue(client.signature("kept_app.together", [name])) for name in "ab"]
    prints = [client.enqueue(client.signature("kept_app.prints_async", [name])) for name in "ab"]
    stdout, stderr = _run(tmp_path, migrated_url)

    kept = {name: _texts(result.logs()) for name, result in sent.items()}
    (many,) = sent["talks"].logs()
    assert (len(many.lines), many.dropped, many.dropped_at) == (1_000, 1_000, 250)
    numbers = [*range(250), *range(1_250, 2_000)]
    assert kept.pop("talks") == [[f"line {number}" for number in numbers]]
    ((odd, long, wide, broken, failed),) = kept.pop("nasty")
    assert odd == "a\\0b \\ud800 \x1b[2J" and long.endswith("xthe end") and len(long) <= 16_000
    assert wide == "ü" * 12_000 and broken == "no %d ('number',)"
    assert failed.startswith("it broke\nTraceback") and "ZeroDivisionError" in failed
    (printed,) = kept.pop("prints")
    assert printed[:5] == ["one 2 three", "", "a", "b", "raw \\xff"] and printed[-1] == "the end"
    assert sorted(printed[5:-1]) == sorted(f"thread {n}" for n in range(20))
    (streams,) = sent["prints"].logs()
    assert {line.logger for line in streams.lines} == {"stdout", "stderr"}
    assert {line.level for line in streams.lines} == {"info"}
    assert kept == {
        "elsewhere": [["in a thread", "printed", "back"]],
        "flaky": [["attempt 1"], ["attempt 2"]],
        "mostly": [["attempt 1"]],
        "hangs": [["one", "two", "three"]],
        "dies": [["last words"]], "dies_async": [["last words"]],
        "joined": [["in a transaction"]],
        "parent": [["spawning"]], "hooked": [["spawning"]], "quiet": [],
        "well": [], "badly": [["it went badly"]],
    }  # fmt: skip
    assert [_texts(result.logs()) for result in prints] == [
        [[f"{name} 0", f"{name} 1", f"{name} 2"]] for name in "ab"
    ]
    for text in ("one 2 three\n", "of a fork\n", "it went well\n", "kept by nobody\n", "b 2\n"):
        assert text in stdout
    assert "a\nb\n" in stderr and "the end" in stderr
    assert [_texts(result.logs()) for result in pair] == [
        [[f"{name} 0", f"{name} 1", f"{name} 2", f"{name} in a thread"]] for name in "ab"
    ]
    assert [len(child.logs()) for child in sent["parent"].children()] == [1]
    assert [log.attempt for log in sent["flaky"].logs(2)] == [2]
    assert "kept by nobody" in stderr and "too late" in stderr


def _worker(folder: Path, url: str) -> subprocess.Popen[bytes]:
    (folder / "kept_app.py").write_text(_CODE)
    env = {**os.environ, "PYTHONPATH": str(_ROOT), "HAMMERFLOW_DATABASE_URL": url}
    command = [sys.executable, "-m", "hammerflow", "-A", "kept_app:app", "worker", "-c", "2"]
    return subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.DEVNULL)


def test_lines_are_there_while_a_body_runs_and_when_its_worker_is_killed(
    client: Hammerflow, migrated_url: str, tmp_path: Path
) -> None:
    names = ("waits", "waits_well")
    sent = [client.enqueue(client.signature(f"kept_app.{name}", [str(tmp_path)])) for name in names]
    worker = _worker(tmp_path, migrated_url)
    try:
        until(
            "the first lines", lambda: [_texts(one.logs()) for one in sent] == [[["begun"]]] * 2, 60
        )
        (tmp_path / "go").touch()
        until("their ends", lambda: all(one.state.is_final for one in sent))
        assert [_texts(one.logs()) for one in sent] == [[["begun", "over"]], []]
        (tmp_path / "go").unlink()
        killed = client.enqueue(client.signature("kept_app.waits", [str(tmp_path)]))
        until("its first line", lambda: _texts(killed.logs()) == [["begun"]])
    finally:
        worker.kill()
        worker.wait()
    assert _texts(killed.logs()) == [["begun"]]


def test_the_setting_holds_for_tasks_that_do_not_say_otherwise(sqlite_url: str) -> None:
    app = Hammerflow(
        "kept", database=sqlite_url, doorbell="none", keep_logs="always", keep_logs_lines=2,
        keep_logs_level="warning",
    )  # fmt: skip
    app.migrate()

    @app.task
    def talks() -> None:
        print("below")  # noqa: T201
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


def test_a_drained_body_keeps_what_it_prints(
    sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = Hammerflow("kept", database=sqlite_url, doorbell="none", keep_logs="always")
    app.migrate()

    @app.task
    def prints() -> None:
        print("größe")  # noqa: T201
        sys.stderr.write("wrong")

    result, before = prints.delay(), (sys.stdout, sys.stderr)
    drain(app)
    assert (sys.stdout, sys.stderr) == before
    assert _texts(result.logs()) == [["größe", "wrong"]]
    assert capsys.readouterr() == ("größe\n", "wrong")
    app.close()
