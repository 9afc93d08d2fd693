"""RelayRunner: moves events to the log and delivers them to the sinks, a thread for each sink."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial

from hammerflow.errors import ConfigError, StoreUnavailable
from hammerflow.ids import worker_number
from hammerflow.notifiers import RELAYS, Listener, Notifier
from hammerflow.options.variables import CLOSED, Bounds
from hammerflow.sinks.delivery import Delivery
from hammerflow.sinks.registry import code_of
from hammerflow.stores.events.log import MOVED
from hammerflow.stores.events.sinks import SinkRow
from hammerflow.stores.store import Store

__all__ = ["LogKeeping", "RelayRunner", "listen_for_events"]

log = logging.getLogger("hammerflow.sinks")

#: Seconds for which a relay holds its turn, and between two readings of the table of sinks.
_HOLD, _READ = 10.0, 2.0
#: Seconds between two checks of the outbox: at least, so that many small transactions are moved
#: together; at most after a move, in proportion to the time that it took; and at most while idle,
#: if nobody wakes the relay before, where each pause is longer than the one before it.
_LEAST, _MOST, _IDLE = 0.02, 0.1, 0.5
_PAUSES, _LONGER = 3.0, 2.0
#: Events of one move that are a crowd, as sinks send them by the batch; and the pause after it, as
#: each move costs the database a commit, and the sinks have enough to do.
_CROWD, _CROWDED = 500, 0.2
_AFTER_ERROR = 2.0
_PRUNE = 60.0
_WEEK = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class LogKeeping:
    """How long the log keeps its events.

    Attributes:
        age: seconds; older events go, but none that a sink has not got.
        most: events that stay, whatever their age; likewise.
        hard_age: seconds after which events go even if a sink has not got them: it is told the gap.
    """

    age: float = 3 * 86_400.0
    most: int = 10_000_000
    hard_age: float = _WEEK

    @classmethod
    def of(cls, age: float) -> LogKeeping:
        """For an age in seconds; a sink that is behind has a week at least."""
        return cls(age=age, hard_age=max(age, _WEEK))


@dataclass(eq=False)
class RelayRunner:
    """One process that relays; any number may run, and share the sinks.

    Args:
        source: the app's namespace, in the ids of events.
        keeping: retention of the log.
        code: classes and functions (``module:name``) that the app's code names for its sinks.
            Others are never imported, whatever a row says, and such sinks are left to a relay that
            knows them.
        ring: called with the queues that got jobs from sinks.
        bounds: what sinks may read and reach that no code declares.
    """

    store: Store
    _: KW_ONLY
    source: str
    keeping: LogKeeping = field(default_factory=LogKeeping)
    code: frozenset[str] = frozenset()
    ring: Callable[[Iterable[str]], None] = lambda _: None
    bounds: Bounds = CLOSED
    number: int = field(default_factory=worker_number)
    _is_stopping: bool = field(init=False, default=False)
    # Not an Event: a handler of a signal may not set one that its thread waits for.
    _wakes: queue.SimpleQueue[None] = field(init=False, default_factory=queue.SimpleQueue)
    _unknown: set[str] = field(init=False, default_factory=set)
    _threads: dict[str, _SinkThread] = field(init=False, default_factory=dict)
    _head: int = field(init=False, default=-1)
    _moved: int = field(init=False, default=0)  # events of the last move
    _has_more: bool = field(init=False, default=False)
    _read_at: float = field(init=False, default=0.0)
    _prune_at: float = field(init=False, default=0.0)
    _turn_until: float = field(init=False, default=0.0)
    _is_mine: bool = field(init=False, default=False)

    def run(self, seconds: float | None = None) -> None:
        """Relay until :meth:`stop`, or for some seconds."""
        until = float("inf") if seconds is None else time.monotonic() + seconds
        idle = 0.0
        is_down = False
        while time.monotonic() < until and not self._is_stopping:
            began = time.monotonic()
            pause = _LEAST
            try:
                has_moved = self.step()
                if is_down:
                    log.info("the database is back: the relay goes on")
                is_down = False
                if has_moved:
                    idle = 0.0
                    pause = 0.0 if self._has_more else self._rest(time.monotonic() - began)
                else:
                    idle = min(max(_LEAST, idle * _LONGER), _IDLE)
            except StoreUnavailable as error:
                log.log(_level(is_down), "the relay waits for the database: %s", error)
                is_down = True
                pause = _AFTER_ERROR
            except Exception:  # a border: it must go on
                log.exception("the relay failed")
                pause = _AFTER_ERROR
            if self._wait(pause, max(pause, idle)):
                idle = 0.0
        self._end()

    def _rest(self, took: float) -> float:
        """Seconds until the next move, by those that the last one took."""
        if self._moved >= _CROWD:
            return _CROWDED
        return min(max(_LEAST, _PAUSES * took), _MOST)

    def _wait(self, least: float, most: float) -> bool:
        """Wait for some seconds at least, and then for a wake or a stop; whether one has come."""
        began = time.monotonic()
        is_woken = False
        while not self._is_stopping:
            left = began + (least if is_woken else most) - time.monotonic()
            if left <= 0:
                break
            try:
                self._wakes.get(timeout=left)
            except queue.Empty:
                break
            is_woken = True
        return is_woken

    def wake(self) -> None:
        """Events were written: move them now, not at the next poll; from any thread."""
        self._wakes.put(None)

    def stop(self) -> None:
        """Let :meth:`run` end; from any thread, or a handler of a signal."""
        self._is_stopping = True
        self.wake()

    def step(self) -> bool:
        """Move what was committed, and wake the sinks; whether there was anything."""
        now = time.monotonic()
        self._has_more = False
        if now >= self._turn_until:
            self._turn_until = now + _HOLD / 3
            self._is_mine = self.store.events.take_turn(self.number, _HOLD)
        if now >= self._read_at:
            self._read_at = now + _READ
            self._follow_sinks(self.store.sinks.list())
        if self._is_mine and now >= self._prune_at:
            self._prune_at = now + _PRUNE
            self.prune()
        head, is_waiting = self.store.events.look()
        if is_waiting and self._is_mine:
            count, head = self.store.events.move()
            self._has_more = count >= MOVED
        if head != self._head:
            self._moved = head - self._head if self._head >= 0 else 0
            self._head = head
            for thread in self._threads.values():
                thread.wake()
            return True
        return False

    def prune(self) -> None:
        """Remove old events from the log."""
        clock, floor, keeping = self.store.clock(), self.store.sinks.floor(), self.keeping
        floor = self.store.events.head() if floor is None else floor
        while removed := self.store.events.prune(
            before=clock - keeping.age, beyond=keeping.most,
            floor=floor, hard_before=clock - keeping.hard_age,
        ):  # fmt: skip
            log.info("removed the events up to %d from the log", removed)

    def _follow_sinks(self, rows: Sequence[SinkRow]) -> None:
        """Start a thread for each sink that runs, and end those of others."""
        running = {row.name: row for row in rows if row.state == "running" and self._knows(row)}
        for name, thread in list(self._threads.items()):
            row = running.get(name)
            if row is None or (row.kind, row.config, row.filters) != thread.settings:
                thread.stop()
                del self._threads[name]
        for name, row in running.items():
            if name not in self._threads:
                thread = _SinkThread(row, partial(self._delivery, row))
                self._threads[name] = thread
                thread.start()

    def _knows(self, row: SinkRow) -> bool:
        unknown = code_of(row.kind, row.config) - self.code
        if unknown and row.name not in self._unknown:
            log.error(
                "sink %s needs %s, which the code of this app does not name: it is left to another "
                "relay", row.name, ", ".join(sorted(unknown)),
            )  # fmt: skip
            self._unknown.add(row.name)
        return not unknown

    def _delivery(self, row: SinkRow) -> Delivery:
        return Delivery(
            self.store, row, holder=self.number, source=self.source, ring=self.ring,
            bounds=self.bounds,
        )  # fmt: skip

    def _end(self) -> None:
        for thread in self._threads.values():
            thread.stop()
        for thread in self._threads.values():
            thread.join(_HOLD)
        try:
            self.store.events.give_turn(self.number)
        except StoreUnavailable as error:
            log.debug("could not give the turn away: %s", error)


def _level(is_told: bool) -> int:
    """Of what is wrong still, after it was told once."""
    return logging.DEBUG if is_told else logging.WARNING


def listen_for_events(notifier: Notifier, runner: RelayRunner) -> Listener:
    """Wake a relay when a worker tells that it has written events, or a person has done something,
    until the listener is closed."""
    return notifier.listen(queues=[RELAYS], on_work=runner.wake, on_control=runner.wake)


class _SinkThread(threading.Thread):
    """Delivers to one sink until it is stopped."""

    def __init__(self, row: SinkRow, make: Callable[[], Delivery]) -> None:
        super().__init__(name=f"sink {row.name}", daemon=True)
        self.settings = row.kind, row.config, row.filters
        self._sink_name = row.name
        self._make = make
        self._woken = threading.Event()
        self._is_over = False

    def wake(self) -> None:
        """There are new events."""
        self._woken.set()

    def stop(self) -> None:
        """End after the batch under way."""
        self._is_over = True
        self._woken.set()

    def run(self) -> None:
        delivery = self._make()
        pause, told = 0.0, ""
        while not self._is_over:
            if pause:
                self._woken.wait(pause)
                self._woken.clear()
            try:
                pause, told = delivery.step(), ""
            except (StoreUnavailable, ConfigError) as error:
                log.log(_level(told == str(error)), "sink %s waits: %s", self._sink_name, error)
                pause, told = _AFTER_ERROR, str(error)
            except Exception:  # a border: one sink must not end the others
                log.exception("sink %s failed", self._sink_name)
                pause = _AFTER_ERROR
        try:
            delivery.close()
        except StoreUnavailable as error:
            log.debug("sink %s could not be given away: %s", self._sink_name, error)
