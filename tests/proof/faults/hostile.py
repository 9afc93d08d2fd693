"""The shop with bodies that harm the process, the group or the machine that they run in."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

from hammerflow import constant, current_job
from tests.acceptance.shop import app, entered, is_open

__all__ = ["app"]


@app.task(max_attempts=10, backoff=constant(0))
def eats_memory(times: int = 1000) -> str:
    """Takes memory until it is killed, in each of the first ``times`` attempts."""
    with entered(times):
        hoard = []
        while current_job().attempt <= times:
            hoard.append(b"x" * (4 << 20))
    return "survived"


@app.task(max_attempts=1)
def forks_without_end(gate: str) -> list[int]:
    """All copies fork until the gate is open; how often this one did, and could not."""
    with entered(gate):
        me, end = os.getpid(), time.monotonic() + 60
        forked = refused = 0
        while not is_open(gate) and time.monotonic() < end:
            try:
                forked += bool(os.fork())
            except OSError:
                refused += 1
                time.sleep(0.5)  # a fork that is refused costs the machine as much as another
        if os.getpid() != me:
            os._exit(0)
        for _ in range(forked):
            os.wait()
    return [forked, refused]


@app.task(timeout=0.5, max_attempts=2, backoff=constant(0))
def keeps_the_gil(seconds: float) -> None:
    """In C, without letting go of the interpreter's lock."""
    with entered(seconds):
        ctypes.PyDLL(None).sleep(int(seconds))


@app.task(timeout=0.5, max_attempts=2, backoff=constant(0))
def blocks_signals(seconds: float) -> None:
    """Hears no signal."""
    with entered(seconds):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(seconds)


@app.task(max_attempts=10, backoff=constant(0))
def closes_all() -> str:
    """Closes every descriptor of its process, in the first attempt."""
    with entered():
        if current_job().attempt == 1:
            os.closerange(0, 1000)
    return "survived"


@app.task(max_attempts=10, backoff=constant(0))
def forks_away(gate: str) -> str:
    """Leaves a daemon with all its descriptors behind and dies, in the first attempt."""
    with entered(gate):
        if current_job().attempt == 1:
            if os.fork() == 0:
                os.setsid()
                end = time.monotonic() + 60
                while not is_open(gate) and time.monotonic() < end:
                    time.sleep(0.05)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@app.task(max_attempts=1)
def leaves_threads(count: int) -> int:
    """Leaves threads behind that never end, and are no daemons."""
    with entered(count):
        for _ in range(count):
            threading.Thread(target=threading.Event().wait).start()
    return os.getpid()


@app.task(max_attempts=10, backoff=constant(0))
def returns_from_a_copy(count: int) -> str:
    """Copies of the process run on into what the framework does after the body."""
    with entered(count):
        for _ in range(count):
            if os.fork() == 0:
                sys.exit(0)
    return "survived"
