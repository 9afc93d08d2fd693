"""Connections: those of this process to one database, bounded, shared by its threads, reused."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from hammerflow.errors import StoreUnavailable

__all__ = ["Connections", "running_loop"]

#: Seconds between two tries to connect while the server takes no more connections, at random; and
#: between two checks whether one that its thread has lost has left room.
_PAUSE = 0.05, 0.2


class _Pooled(Protocol):
    since: float | None  # when the statement under way was sent
    interrupted: bool  # a request to end its statement may still be under way

    def cut(self) -> None:
        """Shut it down from another thread."""


C = TypeVar("C", bound=_Pooled)


class Connections(Generic[C]):
    """Opens connections while there are fewer than ``most``; then whoever needs one waits.

    Transactions of callers, which may last long and meanwhile need a second connection for another
    call, take one connection less than all: so calls never wait for the end of transactions that
    wait for them. The longest waiter is served first. Idle connections wait on a stack (the warmest
    is used first) and are never carried over a fork.

    Args:
        connect: opens one; raises the driver's error.
        close: closes one, whatever its state.
        is_full: whether an error of ``connect`` says that the server takes no more connections now.
        most: how many may be open in this process, at least 2.
        patience: seconds to wait for one, whether the server or ``most`` is the limit.

    Attributes:
        idle: the stack; :meth:`Database.unit` takes from it and gives back without a call, and
            calls :meth:`serve` where ``waiting`` is not empty.
        pid: of the process whose connections these are.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        close: Callable[[C], None],
        is_full: Callable[[BaseException], bool],
        *,
        most: int,
        patience: float,
    ) -> None:
        self._connect = connect
        self._close = close
        self._is_full = is_full
        self.most = most
        self.patience = patience
        self._abandoned: list[C] = []  # a parent's: kept open, as closing writes to its socket
        self.idle: list[C] = []
        self.forget()

    @property
    def open_now(self) -> int:
        """How many are open in this process."""
        return len(self._opened) if self.pid == os.getpid() else 0

    def forget(self) -> None:
        """Leave all connections to the parent process, after a fork."""
        self._abandoned += self.idle
        self.idle = []
        self.waiting: deque[_Request[C]] = deque()
        self._lock = threading.Lock()
        # Weak, as an exception of a signal may strike anywhere: what is lost then is not counted.
        self._opened: weakref.WeakSet[C] = weakref.WeakSet()
        self._opening: weakref.WeakSet[_Place] = weakref.WeakSet()
        self._in_blocks: weakref.WeakSet[C] = weakref.WeakSet()
        self._full_until = 0.0
        self.pid = os.getpid()

    def take(self, *, for_block: bool = False) -> C:
        """An idle connection, or a new one, or the next that is given back.

        Args:
            for_block: for a transaction whose end a caller decides.

        Raises:
            StoreUnavailable: all were in use for ``patience`` seconds.
            Exception: the driver's error of connecting.
        """
        if self.pid != os.getpid():
            self.forget()
        waiter: _Request[C] = _Request(for_block)
        try:
            self.waiting.append(waiter)  # before the stack is searched: see give()
            return self._wait(waiter)
        finally:
            with self._lock, contextlib.suppress(ValueError):  # interrupted before
                self.waiting.remove(waiter)
            if waiter.connection is not None:  # one came while another was opened
                self.give(waiter.connection)
            elif self.waiting:
                self.serve()

    def give(self, connection: C) -> None:
        """Give a connection back."""
        if connection.interrupted:
            self.discard(connection)
            return
        if connection in self._in_blocks:
            with self._lock:
                self._in_blocks.discard(connection)
        # In this order: who starts to wait after the check has found it on the stack.
        self.idle.append(connection)
        if self.waiting:
            self.serve()

    def discard(self, connection: C) -> None:
        """Close a connection, whose place another one may take."""
        with self._lock:
            self._in_blocks.discard(connection)
            self._opened.discard(connection)
        self._close(connection)
        if self.waiting:
            self.serve()

    def serve(self) -> None:
        """Hand idle connections to those that wait, and let them use free places."""
        with self._lock:
            for waiter in list(self.waiting):
                if waiter.connection is None and self._may_take(waiter):
                    if self.idle:
                        self._hand_over(waiter)
                    waiter.woken.set()

    def close_idle(self) -> None:
        """Close the idle connections of this process."""
        if self.pid == os.getpid():
            with contextlib.suppress(IndexError):  # empty, or emptied by another thread
                while True:
                    self.discard(self.idle.pop())

    def cut_silent(self, seconds: float) -> int:
        """Cut the connections whose statement has taken longer than ``seconds``; how many."""
        before = time.monotonic() - seconds
        with self._lock:
            opened = list(self._opened)
        silent = [one for one in opened if one.since is not None and one.since < before]
        for connection in silent:
            connection.cut()
        return len(silent)

    def _wait(self, waiter: _Request[C]) -> C:
        deadline = time.monotonic() + self.patience
        refusal: BaseException | None = None
        while True:
            waiter.woken.clear()
            with self._lock:
                if waiter.connection is None and self.idle and self._may_take(waiter):
                    self._hand_over(waiter)
                if waiter.connection is not None:
                    found, waiter.connection = waiter.connection, None
                    return found
                place = self._place(waiter)
            if place is not None:
                try:
                    return self._open(waiter, place)
                except Exception as error:
                    if not self._is_full(error):
                        raise
                    refusal = error
                    self._full_until = time.monotonic() + random.uniform(*_PAUSE)
            left = deadline - time.monotonic()
            if left <= 0:
                raise refusal or self._all_in_use()
            waiter.woken.wait(min(left, random.uniform(*_PAUSE)))

    def _may_take(self, waiter: _Request[C]) -> bool:
        return not waiter.for_block or len(self._in_blocks) < self.most - 1

    def _hand_over(self, waiter: _Request[C]) -> None:
        try:
            waiter.connection = self.idle.pop()
        except IndexError:  # a unit was faster
            return
        if waiter.for_block:
            self._in_blocks.add(waiter.connection)

    def _place(self, waiter: _Request[C]) -> _Place | None:
        """The right to open one more connection; None while there is no room."""
        is_full = len(self._opened) + len(self._opening) >= self.most
        if is_full or not self._may_take(waiter) or time.monotonic() < self._full_until:
            return None
        place = _Place()
        self._opening.add(place)
        return place

    def _open(self, waiter: _Request[C], place: _Place) -> C:
        try:
            connection = self._connect()
            with self._lock:
                self._opened.add(connection)
                self._opening.discard(place)
                if waiter.for_block:
                    self._in_blocks.add(connection)
            return connection
        finally:  # an error keeps the frame, and so the place, alive
            self._opening.discard(place)

    def _all_in_use(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"no connection was free for {self.patience:g} s: all {self.most} that this process "
            "may open are in use; end transactions sooner, or raise max_connections"
        )


class _Place:
    """Counts a connection that is being opened."""


class _Request(Generic[C]):
    """One thread's wait for a connection."""

    def __init__(self, for_block: bool) -> None:
        self.for_block = for_block
        self.connection: C | None = None
        self.woken = threading.Event()


def running_loop() -> Any:
    """The event loop that runs in this thread, else None; imports nothing."""
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()
