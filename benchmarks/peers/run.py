"""python -m benchmarks.peers.run MODULE JOBS: one peer, by its own interpreter; prints JSON.

First the start latency on an idle system (and a chord, where the peer has one), then the enqueueing
one by one without a worker, then the drain by a fresh worker.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

#: Enqueueing, a drain or a series of starts that takes longer is cut here: the rate is known.
MOST_SECONDS = 20.0
#: The first job of a fresh worker must have begun after this many seconds.
PATIENCE = 30.0
STARTS = 200
CHORD = 1_000


def main(module: str, jobs: int) -> None:
    """Measure, and print one line; a SIGTERM ends the workers, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    name = module.rpartition("with_")[2].partition("_")[0]
    facts: dict[str, Any] = {"version": _version(name)}
    peer = importlib.import_module(module)
    client = redis.Redis.from_url(os.environ["BENCH_REDIS_URL"])
    getattr(peer, "prepare", lambda: None)()
    with _workers(peer.workers()):
        facts |= _latency(peer, client)
        if hasattr(peer, "chord"):
            size = min(CHORD, jobs)
            began = time.perf_counter()
            assert peer.chord(size) == size
            facts["chord"] = size
            facts["chord_s"] = round(time.perf_counter() - began, 2)
    began, sent = time.perf_counter(), 0
    while sent < jobs and time.perf_counter() - began < MOST_SECONDS:
        part = min(500, jobs - sent)
        peer.enqueue(part)
        sent += part
    facts["enqueue_jobs_s"] = round(sent / (time.perf_counter() - began))
    with _workers(peer.workers()):
        facts["drain_jobs_s"] = round(_drain(client, sent))
    print(json.dumps(facts), flush=True)
    os._exit(0)  # clients with threads and loops of their own need no farewell


def _version(name: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return str(getattr(importlib.import_module(name), "__version__", ""))


def _latency(peer: Any, client: redis.Redis) -> dict[str, float]:
    for _ in range(20):
        peer.send_start()
        _started(client, PATIENCE)
    time.sleep(0.5)
    late = []
    until = time.monotonic() + MOST_SECONDS
    while len(late) < STARTS and time.monotonic() < until:
        peer.send_start()
        late.append(_started(client, PATIENCE))
        time.sleep(0.01)
    late.sort()
    return {
        "p50_ms": round(late[len(late) // 2] * 1e3, 2),
        "p99_ms": round(late[int(len(late) * 0.99)] * 1e3, 2),
    }


def _started(client: redis.Redis, seconds: float) -> float:
    answer: Any = client.blpop(["bench:starts"], timeout=seconds)
    if answer is None:
        raise TimeoutError(f"no job began within {seconds:.0f} s")
    return float(answer[1])


def _drain(client: redis.Redis, jobs: int) -> float:
    """Jobs a second from the first tenth, when all processes are there, to the last job."""
    first = max(1, jobs // 10)
    until = time.monotonic() + PATIENCE
    while (begun := _done(client)) < first:
        if time.monotonic() > until:
            raise TimeoutError(f"{begun} of {jobs} jobs done after {PATIENCE:.0f} s")
        time.sleep(0.002)
    began = time.perf_counter()
    while (done := _done(client)) < jobs and time.perf_counter() - began < MOST_SECONDS:
        time.sleep(0.002)
    return (done - begun) / (time.perf_counter() - began)


def _done(client: redis.Redis) -> int:
    value: Any = client.get("bench:done")
    return int(value or 0)


@contextlib.contextmanager
def _workers(commands: list[list[str]]) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        processes = [
            subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            for command in commands
        ]
        try:
            yield
        except TimeoutError as error:
            log.seek(0)
            raise RuntimeError(f"{error}; its worker said: {_last_line(log.read())}") from None
        finally:
            _end(processes)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    until = time.monotonic() + 5
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, until - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(log: bytes) -> str:
    lines = log.decode(errors="replace").strip().splitlines() or ["nothing"]
    return lines[-1][:200]


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main(sys.argv[1], int(sys.argv[2]))
