"""A worker whose output nobody reads, or that cannot be written, works on and hears signals."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Result
from tests.acceptance.kit import POLL, Shop
from tests.support.waiting import until

_ROOT = Path(__file__).parents[2]
_CODE = """
import logging, os, sys
from hammerflow import Hammerflow

app = Hammerflow("output")
log = logging.getLogger("shop")
print("imported", flush=True)
log.warning("imported")

@app.task
def talks(word):
    print(word * 50, flush=True)
    print(word, file=sys.stderr)
    log.warning("said %s", word)
    return word

@app.task
async def talks_async(word):
    return talks(word)

@app.task(max_attempts=1)
def fails(number):
    raise ValueError(f"no {number}" + 100 * "!")
"""


@contextlib.contextmanager
def _worker(shop: Shop, folder: Path, *options: str, **streams: Any) -> Iterator[Any]:
    (folder / "output_app.py").write_text(_CODE)
    env = {**os.environ, "PYTHONPATH": str(_ROOT), "HAMMERFLOW_DATABASE_URL": shop.url}
    env["HAMMERFLOW_POLL"] = str(POLL)
    command = [sys.executable, "-m", "hammerflow", "-A", "output_app:app", "worker", *options]
    process = subprocess.Popen(
        [*command, "-c", "2"], cwd=folder, env=env, stdin=subprocess.DEVNULL, **streams
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _send(shop: Shop, task: str, *args: Any) -> Result[Any]:
    return shop.client.enqueue(shop.client.signature(f"output_app.{task}", args))


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    return writer, reader


def _closed_pipe() -> tuple[int, int]:
    writer, reader = _pipe()
    os.close(reader)
    return writer, -1


def _full() -> tuple[int, int]:
    return os.open("/dev/full", os.O_WRONLY), -1


def _terminal() -> tuple[int, int]:
    reader, writer = pty.openpty()
    return writer, reader


@pytest.mark.parametrize(
    ("ends", "count"), [(_pipe, 300), (_terminal, 300), (_full, 20), (_closed_pipe, 20)]
)
def test_jobs_run_and_a_stop_is_heard_though_nothing_can_be_written(
    sqlite_shop: Shop, tmp_path: Path, ends: Callable[[], tuple[int, int]], count: int
) -> None:
    shop = sqlite_shop
    writer, reader = ends()
    with _worker(shop, tmp_path, stdout=writer, stderr=writer) as worker:
        talks = [_send(shop, name, f"w{i}") for i in range(8) for name in ("talks", "talks_async")]
        failures = [_send(shop, "fails", i) for i in range(count)]  # the pipe takes 200 lines

        assert [str(job.wait(timeout=60)) for job in failures] == ["failed"] * count
        assert {job.get(timeout=30) for job in talks} == {f"w{i}" for i in range(8)}
        assert all(shop.job(job).attempt == 1 for job in talks)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    if reader >= 0:
        assert b"worker started" in _rest(reader)
        os.close(reader)
    os.close(writer)  # a terminal without a writer may drop what nobody has read


def _rest(reader: int) -> bytes:
    """All that was written; a terminal gives 4 KiB at a time."""
    found = b""
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(reader, 1 << 20):
            found += piece
    return found


def test_what_bodies_could_not_write_is_counted_once_somebody_reads(
    sqlite_shop: Shop, tmp_path: Path
) -> None:
    shop = sqlite_shop
    writer, reader = _pipe()
    with _worker(shop, tmp_path, stdout=writer, stderr=writer) as worker:
        os.close(writer)
        calls = [shop.client.signature("output_app.talks", ["word"]) for _ in range(300)]
        for job in shop.client.enqueue_many(calls):
            job.get(timeout=60)
        os.set_blocking(reader, False)
        text = ""

        def has_told() -> bool:
            nonlocal text
            with contextlib.suppress(BlockingIOError):
                text += os.read(reader, 1 << 20).decode()
            _send(shop, "talks", "again")
            return " lines of output" in text

        until("a child tells of its losses", has_told)
        worker.terminate()
        assert worker.wait(20) == 0
    os.close(reader)


_LOGS = """
import logging
from hammerflow.worker.logs import configure, writer_thread
configure("json", "info")
with writer_thread():
    for number in range(12_000):
        logging.info("line %d", number)
    print("logged", flush=True)
    input()
    logging.info("last")
"""


@pytest.mark.parametrize("is_read", [True, False])
def test_the_queue_of_the_supervisors_log_is_bounded_and_counts(is_read: bool) -> None:
    env = {**os.environ, "PYTHONPATH": str(_ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", _LOGS], env=env, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        assert process.stdout.readline() == b"logged\n"
        if not is_read:  # it ends all the same
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.wait(10) == 0
            return
        *_, errors = process.communicate(b"\n", timeout=20)

    lines = [json.loads(line) for line in errors.splitlines()]
    lost = [line["lines"] for line in lines if line["message"].startswith("dropped")]
    assert len(lines) - len(lost) + sum(lost) == 12_001
    assert sum(lost) > 1_000
