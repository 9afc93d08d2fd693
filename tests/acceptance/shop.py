"""The app whose workers the tests break; its database, doorbell and ledger are in the environment.

Bodies are plain on purpose: what they did is told by the ledger, not by the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import enum
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from hammerflow import (
    Cancel,
    Hammerflow,
    Retry,
    Signature,
    Snooze,
    SoftTimeout,
    constant,
    current_job,
    linear,
)
from tests.acceptance.ledger import Ledger
from tests.acceptance.rules import BURST, PACE, TURNS

app = Hammerflow("shop")
FOLDER = Path(os.environ.get("SHOP_FOLDER", "."))
LEDGER = Ledger(FOLDER / "ledger")


@contextlib.contextmanager
def entered(*args: Any) -> Iterator[None]:
    """Note the run of a body; its end only if it came there."""
    job = current_job()
    run = uuid.uuid4().hex
    LEDGER.write(
        "start",
        run=run,
        job=job.id.hex,
        lease=job._job.lease,
        attempt=job.attempt,
        task=job.task.rpartition(".")[2],
        args=args,
    )
    yield
    LEDGER.write("end", run=run)


def is_open(gate: str) -> bool:
    """Gates are files: a test opens one by making it."""
    return (FOLDER / gate).exists()


class Color(enum.Enum):
    """A type of the app's own."""

    RED = "r"


@dataclasses.dataclass(frozen=True)
class Order:
    """Another one."""

    number: int
    paid_at: datetime | None
    colors: tuple[Color, ...]


for kind in (Color, Order):
    app.codec.register(kind)


# -- plain bodies


@app.task(max_attempts=100, backoff=constant(0))
def note(x: Any = None, seconds: float = 0.0) -> Any:
    """A short one."""
    with entered(x):
        if seconds:
            time.sleep(seconds)
    return x


@app.task(max_attempts=100, backoff=constant(0))
def hold(gate: str, x: Any = None) -> Any:
    """Runs until a test opens the gate."""
    with entered(gate, x):
        while not is_open(gate):
            time.sleep(0.01)
    return x


def _sharer(key: str, x: Any = None, seconds: float = 0.0) -> str:
    return str(x)


@app.task(
    max_attempts=100, backoff=constant(0), max_concurrency=TURNS, limit_key="{key}", fair_by=_sharer
)
def turn(key: str, x: Any = None, seconds: float = 0.0) -> Any:
    """At most two of a key at a time, in turns by x."""
    with entered(key, x):
        if seconds:
            time.sleep(seconds)
    return x


@app.spawner(max_attempts=100, backoff=constant(0))
def turns(count: int, seconds: float) -> Iterator[Signature]:
    """Calls of turn from a process that knows its limit_key; a client does not."""
    with entered(count):
        for n in range(count):
            for key in "ab":
                yield turn.s(key, n, seconds)


@app.task(max_attempts=100, backoff=constant(0), rate_limit=f"{PACE}/s burst {BURST}")
def paced(x: Any = None) -> Any:
    """Twenty a second."""
    with entered(x):
        return x


@app.task
async def note_async(x: Any = None) -> Any:
    """As note, on an event loop."""
    with entered(x):
        return x


@app.task(max_attempts=100, backoff=constant(0))
async def hold_async(gate: str, x: Any = None) -> Any:
    """The same on an event loop."""
    with entered(gate, x):
        while not is_open(gate):
            await asyncio.sleep(0.01)
    return x


@app.task(max_attempts=100, backoff=constant(0))
def total(results: list[Any]) -> list[Any]:
    """A fan-in: how many results, and whether they came in order."""
    with entered(len(results)):
        pass
    return [len(results), results == list(range(len(results)))]


@app.task(max_attempts=100, backoff=constant(0))
def gather() -> dict[str, Any]:
    """What the nodes that it depends on have returned."""
    with entered():
        pass
    return dict(current_job().inputs)


# -- bodies that end their process


@app.task(max_attempts=10, backoff=constant(0))
def die(how: str, times: int = 1) -> str:
    """Ends its process in each of the first ``times`` attempts."""
    with entered(how):
        if current_job().attempt <= times:
            _DEATHS[how]()
    return "survived"


def _segfault() -> None:
    ctypes.string_at(0)


def _leave_a_daemon() -> None:
    """A process with all our descriptors lives on."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(30)
        os._exit(0)
    os._exit(3)


def _kill_the_worker() -> None:
    """The supervisor, which leads the session; its children die with it."""
    os.kill(os.getsid(0), signal.SIGKILL)
    time.sleep(60)


_DEATHS: dict[str, Any] = {
    "its worker": _kill_the_worker,
    "beside a daemon": _leave_a_daemon,
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGSEGV": _segfault,
    "_exit(0)": lambda: os._exit(0),
    "_exit(3)": lambda: os._exit(3),
    "sys.exit": lambda: sys.exit(3),
    "SystemExit": lambda: exec("raise SystemExit"),
    "KeyboardInterrupt": lambda: exec("raise KeyboardInterrupt"),
    "closes all": lambda: os.closerange(0, 1000),
}


# -- spawners


@app.spawner(max_spawn_count=100_000, max_attempts=1000, backoff=constant(0), then=total.s())
def fan_out(n: int, pause: float = 0.0) -> Iterator[Signature]:
    """n children and a fan-in; ``pause`` seconds before every hundredth child."""
    with entered(n):
        for i in range(n):
            if pause and i % 100 == 0:
                time.sleep(pause)
            yield leaf.s(i)


@app.spawner(max_spawn_count=100_000, max_attempts=100, backoff=constant(0), then=total.s())
def fan_out_held(gate: str, n: int) -> Iterator[Signature]:
    """n children, of which the last is yielded when the gate is open."""
    with entered(gate, n):
        for i in range(n - 1):
            yield leaf.s(i)
        while not is_open(gate):
            time.sleep(0.01)
        yield leaf.s(n - 1)


@app.task(max_attempts=100, backoff=constant(0))
def leaf(i: int) -> int:
    """A child; it writes no ledger line, as there are thousands."""
    return i


@app.task
def nap(seconds: float) -> None:
    """So short that a child gets many at a time; without a ledger line, which would take longer."""
    if seconds:
        time.sleep(seconds)


# -- in the job's own transaction


@app.task(in_transaction=True, max_attempts=1000, backoff=constant(0))
def charge(mark: str, seconds: float = 0.0, gate: str | None = None) -> str:
    """Writes a marker row through the job's own connection."""
    with entered(mark):
        _mark(mark)
        time.sleep(seconds)
        while gate is not None and not is_open(gate):
            time.sleep(0.01)
    return mark


@app.task(in_transaction=True, max_attempts=2, backoff=constant(0))
def charge_and_fail(mark: str) -> None:
    """Writes a marker row, and fails."""
    _mark(mark)
    raise ValueError("declined")


def _mark(mark: str) -> None:
    connection = current_job().connection
    holder = "?" if type(connection).__module__.startswith("sqlite3") else "%s"
    cursor = connection.cursor()
    cursor.execute(f"INSERT INTO marks (mark) VALUES ({holder})", (mark,))
    cursor.close()


# -- limits


@app.task(timeout=0.4, max_attempts=2, backoff=constant(0.2))
def overlong(seconds: float) -> str:
    """Stopped by its hard timeout."""
    with entered(seconds):
        time.sleep(seconds)
    return "done"


@app.task(timeout=0.4, max_attempts=2, backoff=constant(0.2))
async def overlong_async(seconds: float) -> str:
    """The same on an event loop."""
    with entered(seconds):
        await asyncio.sleep(seconds)
    return "done"


@app.task(timeout=10**8, soft_timeout=10**8, max_attempts=3, backoff=lambda attempt: attempt / 100)
def patient(x: Any = None) -> None:
    """The longest timeouts that there are, and a backoff of its own."""
    with entered(x):
        raise ValueError(x)


@app.task(timeout=10**8, max_attempts=3, backoff=lambda attempt: "soon" if attempt > 1 else 0.01)
async def patient_async(x: Any = None) -> None:
    """The same on an event loop; exponential() replaces the second answer of its backoff."""
    with entered(x):
        raise ValueError(x)


@app.task(timeout=0.5, max_attempts=1)
async def spins(seconds: float) -> None:
    """Holds the event loop, so that nothing on it can stop it."""
    with entered(seconds):
        time.sleep(seconds)


@app.task(soft_timeout=0.3, timeout=30, max_attempts=1)
def softly(seconds: float, catch: bool) -> str:
    """Told by an exception that its time is over."""
    with entered(seconds):
        try:
            time.sleep(seconds)
        except SoftTimeout:
            if not catch:
                raise
            return "cleaned up"
    return "done"


@app.task(soft_timeout=0.3, timeout=30, max_attempts=1)
async def softly_async(seconds: float, catch: bool) -> str:
    """The same on an event loop."""
    with entered(seconds):
        try:
            await asyncio.sleep(seconds)
        except (SoftTimeout, asyncio.CancelledError):
            if not catch:
                raise
            return "cleaned up"
    return "done"


# -- ways to end an attempt


@app.task(max_attempts=4, backoff=linear(0.2, step=0.3))
def fails(times: int) -> str:
    """Fails in the first ``times`` attempts; 0.2, 0.5 and 0.8 s lie between them."""
    with entered(times):
        if current_job().attempt <= times:
            raise ValueError(f"attempt {current_job().attempt} is no good")
    return "well"


@app.task(max_attempts=2, backoff=constant(60))
def asks_retry(after: float) -> str:
    """Asks for a second attempt."""
    with entered(after):
        if current_job().attempt == 1:
            raise Retry(after=after)
    return "second"


@app.task(max_attempts=2, backoff=constant(60))
def snoozes(times: int, after: float) -> int:
    """Sleeps ``times`` times, which costs no attempt."""
    with entered(times):
        if len(LEDGER.runs(current_job().id.hex)) <= times:
            raise Snooze(after)
    return current_job().attempt


@app.task
def gives_up(why: str) -> None:
    """Ends as cancelled."""
    with entered(why):
        raise Cancel(why)


@app.task
def echo(value: Any) -> Any:
    """Its argument, once through the codec in each direction."""
    return value


@app.task
def unspeakable() -> object:
    """Returns what no codec takes."""
    return object()


@app.task
def deaf(seconds: float) -> None:
    """Does not hear of a cancel: the signal is blocked, as in a long call into C."""
    with entered(seconds):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        time.sleep(seconds)


@app.task(max_attempts=100, backoff=constant(0))
def answers(how: str) -> str:
    """Waits for a cancel, and answers it in its own way."""
    with entered(how):
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001 - as bodies do
            return _answer(how)
    return "nobody asked"


@app.task(max_attempts=100, backoff=constant(0))
async def answers_async(how: str) -> str:
    with entered(how):
        try:
            await asyncio.sleep(60)
        except BaseException:  # noqa: BLE001 - as bodies do
            return _answer(how)
    return "nobody asked"


@app.task(max_attempts=100, backoff=constant(0), in_transaction=True)
def charge_after_all(mark: str) -> str:
    """Swallows a cancel, writes its marker row, and completes."""
    with entered(mark):
        with contextlib.suppress(BaseException):
            time.sleep(60)
        _mark(mark)
    return mark


@app.spawner(max_attempts=100, backoff=constant(0), then=total.s())
def spawn_after_all() -> Iterator[Signature]:
    """Swallows a cancel, and yields children."""
    with entered():
        with contextlib.suppress(BaseException):
            time.sleep(60)
        yield from (leaf.s(i) for i in range(3))


def _answer(how: str) -> str:
    match how:
        case "error":
            raise ValueError("no")
        case "retry":
            raise Retry(after=0)
        case "snooze":
            raise Snooze(0)
        case "cancel":
            raise Cancel("its own reason")
        case "exit":
            os._exit(3)
        case "late":
            time.sleep(60)
    return "swallowed"


# -- bodies that spoil what they share


@app.task(max_attempts=100, backoff=constant(0))
def spoil(what: str) -> list[str]:
    """Leaves its process in disorder; what it found in disorder itself."""
    found = [name for name, is_spoiled in _SPOILED.items() if is_spoiled()]
    with entered(what):
        _SPOILS[what]()
    return found


_UMASK = os.umask(0o077)
os.umask(_UMASK)
_AT_HOME = os.getcwd()
_OPEN_MAX = os.sysconf("SC_OPEN_MAX")


def _lower_a_limit() -> None:
    import resource  # not before: the worker notices that a body loads it

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))


_SPOILS: dict[str, Any] = {
    "folder": lambda: os.chdir("/"),
    "umask": lambda: os.umask(0o777),
    "alarm": lambda: signal.signal(signal.SIGALRM, signal.SIG_DFL),
    "cancel": lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM}),
    "stdout": lambda: sys.stdout.close(),  # noqa: PLW0108 - the stream of then
    "variables": lambda: os.environ.update(SPOILED="1"),
    "limit": _lower_a_limit,
}
_SPOILED: dict[str, Any] = {
    "folder": lambda: os.getcwd() != _AT_HOME,
    "umask": lambda: [os.umask(_UMASK), os.umask(_UMASK)][0] != _UMASK,
    "alarm": lambda: signal.getsignal(signal.SIGALRM) is signal.SIG_DFL,
    "cancel": lambda: signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
    "mask": lambda: bool(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "stdout": lambda: sys.stdout.closed,
    "variables": lambda: "SPOILED" in os.environ,
    "limit": lambda: os.sysconf("SC_OPEN_MAX") != _OPEN_MAX,
}
SPOILS = tuple(_SPOILS)


class MuteRetry(Retry):
    """Lacks what Retry.__init__ sets."""

    def __init__(self) -> None: ...


class Unspeakable(Exception):
    """Cannot be turned into text."""

    def __str__(self) -> str:
        raise SystemExit(3)


@app.task(max_attempts=100, backoff=constant(0))
def raises(what: str) -> str:
    """Raises an exception that is hard to deal with, in its first attempt."""
    with entered(what):
        if current_job().attempt == 1:
            raise _RAISED[what]()
    return "well"


@app.task(max_attempts=100, backoff=constant(0))
async def raises_async(what: str) -> str:
    """The same on an event loop, or in a task or callback of it."""
    with entered(what):
        if current_job().attempt == 1:
            if what == "task":
                # Unless a neighbour cancels it first; then the wait ends as well.
                await asyncio.wait([asyncio.create_task(_leave())])
            elif what == "callback":
                asyncio.get_running_loop().call_soon(sys.exit, 3)
                await asyncio.sleep(30)
            elif what == "all":
                for task in asyncio.all_tasks():
                    task.cancel()
                await asyncio.sleep(30)
            raise _RAISED.get(what, ValueError)()
    return "well"


async def _leave() -> None:
    sys.exit(3)


_RAISED: dict[str, Any] = {
    "MuteRetry": MuteRetry,
    "Unspeakable": Unspeakable,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
}
RAISED = tuple(_RAISED)


@app.task(max_attempts=100, backoff=constant(0))
def hold_as_nobody(gate: str) -> None:
    """Changes its user, which cancels the wish to die with the worker."""
    with entered(gate):
        os.seteuid(65534)
        while not is_open(gate):
            time.sleep(0.01)


@app.task(max_attempts=100, backoff=constant(0))
async def neighbour(seconds: float) -> float:
    """Shares its loop, and does no harm."""
    with entered(seconds):
        await asyncio.sleep(seconds)
    return seconds
