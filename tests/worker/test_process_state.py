"""What one body leaves in its process, and what the next one finds."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import faulthandler
import gc
import io
import os
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.jobs.outcome import Completed, Failed, Outcome
from hammerflow.worker.child.async_ import AsyncChild
from hammerflow.worker.child.base import ChildLimits
from hammerflow.worker.child.serial import SerialChild
from hammerflow.worker.processes import has_ended
from tests.acceptance.kit import Shop
from tests.support.waiting import until
from tests.worker.kit import Bench, claimed


def deleted_folder() -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").resolve().rmdir()


def socketpair_end() -> int:
    end, _ = socket.socketpair()
    end.setblocking(False)
    return end.detach()


def soft_limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, hard))


LIMITS = (
    resource.RLIMIT_CPU,
    resource.RLIMIT_AS,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_FSIZE,
)
#: What a body does and never undoes.
LEAVES: dict[str, Callable[[], Any]] = {
    "own alarm handler": lambda: signal.signal(signal.SIGALRM, lambda *_: sys.exit(9)),
    "default alarm": lambda: signal.signal(signal.SIGALRM, signal.SIG_DFL),
    "ignored cancel": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "default cancel": lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL),
    "default term": lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    "ignored children": lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals()),
    "running alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01),
    "CPU timer": lambda: (
        signal.signal(signal.SIGPROF, lambda *_: None),
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001),
    ),
    "wakeup": lambda: signal.set_wakeup_fd(socketpair_end()),
    "watchdog": lambda: faulthandler.dump_traceback_later(0.05, exit=True, file=sys.__stderr__),
    "folder": lambda: os.chdir("/"),
    "deleted folder": deleted_folder,
    "umask": lambda: os.umask(0),
    "closed stdout": lambda: sys.stdout.close(),  # noqa: PLW0108 - the stream of then
    "closed stderr": lambda: sys.stderr.close(),  # noqa: PLW0108 - as above
    "replaced stdout": lambda: setattr(sys, "stdout", open(os.devnull, "w")),  # noqa: SIM115
    "no stdout": lambda: setattr(sys, "stdout", None),
    "variables": lambda: os.environ.update(HF_LEFT="1", PATH="/nowhere"),
    "no variables": os.environ.clear,
    "other variables": lambda: setattr(os, "environ", {"HF_LEFT": "1"}),
    "time zone": lambda: (os.environ.update(TZ="Asia/Tokyo"), time.tzset()),
    "argv": lambda: sys.argv.append("--left"),
    "warnings as errors": lambda: warnings.simplefilter("error"),
    "recursion": lambda: sys.setrecursionlimit(200),
    "garbage": gc.disable,
    "socket timeout": lambda: socket.setdefaulttimeout(0.001),
    "CPU limit": lambda: soft_limit(resource.RLIMIT_CPU, 1),
    "file limit": lambda: soft_limit(resource.RLIMIT_NOFILE, 100),
    "size limit": lambda: soft_limit(resource.RLIMIT_FSIZE, 0),
    "no print": lambda: setattr(builtins, "print", None),
    "other open": lambda: setattr(builtins, "open", os.open),
    "no len": lambda: delattr(builtins, "len"),
    "no map": lambda: setattr(builtins, "map", None),
    "stopped clock": lambda: setattr(time, "time", lambda: 0.0),
    "stopped monotonic clock": lambda: setattr(time, "monotonic", lambda: 0.0),
    "no sleep": lambda: setattr(time, "sleep", lambda _: None),
    "hook of threads": lambda: setattr(threading, "excepthook", None),
    "memory limit": lambda: soft_limit(resource.RLIMIT_AS, 1 << 30),
}  # fmt: skip

#: What a body does that cannot be undone.
BREAKS: dict[str, Callable[[], Any]] = {
    "closed output": lambda: os.close(1),
    "replaced input": lambda: (os.close(0), os.open(os.devnull, os.O_RDONLY)),
}
if os.geteuid() == 0:
    BREAKS["user"] = lambda: os.seteuid(65534)
    BREAKS["root"] = lambda: (os.chroot("."), os.chdir("/"))

CHILDREN = pytest.mark.parametrize("kind", [SerialChild, AsyncChild], ids=["plain", "async"])


def seen() -> dict[str, Any]:
    """The state of this process, as a body finds it."""
    with contextlib.suppress(ValueError):  # of a closed stream: see below
        sys.stdout.write("printed\n")
    return {
        "handlers": [
            getattr(signal.getsignal(n), "__qualname__", str(signal.getsignal(n)))
            for n in (
                signal.SIGALRM,
                signal.SIGUSR1,
                signal.SIGTERM,
                signal.SIGCHLD,
                signal.SIGPROF,
            )
        ],
        "wakeup": signal.set_wakeup_fd(-1),
        "mask": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timers": [signal.getitimer(n)[0] for n in (signal.ITIMER_REAL, signal.ITIMER_PROF)],
        "folder": os.getcwd(),
        "umask": [os.umask(0o22), os.umask(0o22)][0],
        "streams": [sys.stdin.closed, sys.stdout.closed, sys.stderr.closed],
        "environ": [
            sorted(os.environ.items()) == sorted(_START.items()),
            type(os.environ).__name__,
        ],
        "zone": time.localtime(0).tm_hour,
        "argv": len(sys.argv),
        "filters": len(warnings.filters),
        "recursion": sys.getrecursionlimit(),
        "collects": gc.isenabled(),
        "timeout": socket.getdefaulttimeout(),
        "built in": [callable(vars(builtins).get(name)) for name in ("print", "len", "map")],
        "open": vars(builtins)["open"] is io.open,
        "clocks": [type(vars(time)[name]).__name__ for name in ("time", "monotonic", "sleep")],
        "hook": threading.excepthook is threading.__excepthook__,
        "limits": [resource.getrlimit(n)[0] for n in LIMITS],
    }


_START = dict(os.environ)


@pytest.fixture
def app(sqlite_url: str) -> Hammerflow:
    app = Hammerflow("left", database=sqlite_url, doorbell="none")
    _START.clear()
    _START.update(os.environ)

    @app.task(name="leave")
    def leave(what: str) -> None:
        LEAVES[what]()

    @app.task(name="see")
    def see() -> dict[str, Any]:
        return seen()

    @app.task(name="sleep", soft_timeout=0.02, max_attempts=1)
    def sleep() -> None:
        time.sleep(10)

    @app.task(name="break")
    def break_(what: str) -> None:
        BREAKS[what]()

    @app.task(name="aleave")
    async def aleave(what: str) -> None:
        LEAVES[what]()

    @app.task(name="asee")
    async def asee() -> dict[str, Any]:
        return seen()

    @app.task(name="asleep", soft_timeout=0.02, max_attempts=1)
    async def asleep() -> None:
        await asyncio.sleep(10)

    @app.task(name="abreak")
    async def abreak(what: str) -> None:
        BREAKS[what]()

    return app


@pytest.fixture
def bench(
    app: Hammerflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> Iterator[Callable[..., Bench]]:
    monkeypatch.chdir(tmp_path)
    benches: list[Bench] = []

    def make(kind: type[Any]) -> Bench:
        faulthandler.cancel_dump_traceback_later()  # pytest's, whose thread is not forked
        benches.append(Bench(app, ChildLimits(), kind, cancel_watchdog=True))
        return benches[-1]

    yield make
    for made in benches:
        made.close()


def value(app: Hammerflow, outcome: Outcome) -> Any:
    assert isinstance(outcome, Completed), outcome
    assert outcome.result is not None
    return app.codec.decode(outcome.result)


@CHILDREN
def test_a_body_finds_its_process_as_the_first_one_did(
    app: Hammerflow, bench: Callable[..., Bench], kind: type[Any]
) -> None:
    child, prefix = bench(kind), "a" if kind is AsyncChild else ""
    see, leave, sleep = prefix + "see", prefix + "leave", prefix + "sleep"
    [first] = child.run(claimed(see))

    for what in LEAVES:
        [left] = child.run(claimed(leave, what))
        assert isinstance(left, Completed), (what, left)
        found, slept = child.run(claimed(see)) + child.run(claimed(sleep))
        assert value(app, found) == value(app, first), what
        assert isinstance(slept, Failed), what
        assert slept.failure.type == "hammerflow.errors.SoftTimeout", what
    assert child.handle.quit_reason is None


def test_a_trusted_task_loses_its_trust_with_the_first_change(
    app: Hammerflow, bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEAVES, "nothing", lambda: None)
    monkeypatch.setitem(LEAVES, "time", lambda: time.sleep(0.002))
    child = bench(SerialChild)
    [first] = child.run(claimed("see"))

    def finds_after(*left: str) -> bool:
        outcomes = child.run(*(claimed("leave", what) for what in left), claimed("see"))
        return value(app, outcomes[-1]) == value(app, first)  # type: ignore[no-any-return]

    def trust() -> None:
        for _ in range(11):
            child.run(*(claimed("leave", "nothing") for _ in range(100)))

    assert finds_after("nothing", "umask"), "not trusted yet"
    trust()
    child.run(claimed("leave", "nothing"), claimed("leave", "umask"))
    assert finds_after(), "the last body before a wait"
    assert finds_after("umask"), "no trust after a change"
    trust()
    assert finds_after("nothing", "umask", "time"), "a millisecond has passed"
    assert finds_after("nothing", "umask"), "no trust after a change"


@CHILDREN
@pytest.mark.parametrize("what", BREAKS)
def test_a_child_whose_state_cannot_be_put_back_makes_way_for_another(
    bench: Callable[..., Bench], kind: type[Any], what: str
) -> None:
    child = bench(kind)

    [left] = child.run(claimed("abreak" if kind is AsyncChild else "break", what))
    child.listen_until(lambda: child.handle.quit_reason is not None)

    assert isinstance(left, Completed)
    assert "cannot be put back" in child.handle.quit_reason


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user of its process")
def test_a_body_under_another_user_ends_with_its_worker(sqlite_shop: Shop) -> None:
    worker = sqlite_shop.worker(children=1)
    run = sqlite_shop.wait_for_run(sqlite_shop.send("hold_as_nobody", "never"))

    worker.kill()

    until("the body has ended", lambda: has_ended(run.pid))
