"""Database: the one owner of transactions: begin, commit, roll back, retry, unknown commits."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol, TypeVar

from hammerflow.errors import HammerflowError, SoftTimeout, StoreUnavailable
from hammerflow.stores.statements import Statement

__all__ = [
    "RETRY_SECONDS", "Database", "DatabaseReplaced", "Dialect", "ErrorKind", "Tx", "running_loop",
]  # fmt: skip

T = TypeVar("T")
log = logging.getLogger("hammerflow.store")

#: Seconds for which a unit is retried on conflicts: deadlocks, lock timeouts, a busy database.
RETRY_SECONDS = 30.0
#: How often a unit is run again on a fresh connection after it lost one.
RECONNECTS = 2
#: Seconds between two checks whether a turn to write can come at all.
_GLANCE = 0.05
#: Connections kept for the next unit; more are closed after use.
MOST_IDLE = 8


class ErrorKind(Enum):
    """What a driver's error means for the unit of work that it interrupted."""

    CONFLICT = auto()  # deadlock, serialization failure, lock timeout, busy: roll back, run again
    CONNECTION_LOST = auto()  # if it was lost during COMMIT, nobody knows whether it committed
    DUPLICATE = auto()  # a unique key is taken
    NO_TABLE = auto()  # a table does not exist
    REPLACED = auto()  # the connection leads to a database that is no longer the one of the URL
    INTERRUPTED = auto()  # an exception from a signal struck while a statement was under way
    OTHER = auto()


class DatabaseReplaced(StoreUnavailable):
    """The database behind a connection is not the one of the URL any more; nothing was written."""


class Tx(Protocol):
    """Statements inside one transaction, our own or a caller's."""

    connection: Any  # the driver's own connection
    repeated: bool  # an earlier run of this unit may have been committed
    foreign: bool  # the transaction of a caller, who commits it
    since: float | None  # when the statement under way was sent, where the peer may fall silent

    def has(self, name: str) -> bool:
        """Whether the dialect has a statement of this name."""

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""

    def run(self, name: str, /, **values: Any) -> int:
        """Run a statement and return how many rows it changed."""

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run an INSERT for many rows; values in the order of the statement's parameters."""

    def script(self, text: str) -> None:
        """Run the statements of a migration."""

    def cut(self) -> None:
        """Shut the connection down from another thread, so that its statement fails at once."""


class Dialect(Protocol):
    """What differs between databases below SQL: how to connect, and what errors mean."""

    name: str
    statements: Mapping[str, Statement]
    macros: Mapping[str, str]
    one_writer: bool  # writers of one process take turns (SQLite)

    def connect(self) -> Tx:
        """Open a connection in autocommit mode; raises the driver's error."""

    def wrap(self, connection: Any) -> Tx:
        """Run statements on a caller's connection, inside the caller's transaction."""

    def wrap_async(self, connection: Any, call: Callable[[Awaitable[Any]], Any]) -> Tx:
        """As :meth:`wrap` for an async connection; ``call`` runs one of its coroutines."""

    def owns(self, connection: Any) -> bool:
        """Whether this is a connection of the dialect's driver."""

    def owns_async(self, connection: Any) -> bool:
        """Whether this is an async connection that :meth:`wrap_async` takes."""

    def unfit(self, connection: Any) -> str | None:
        """Why a caller's connection cannot carry jobs now, as a clause; None where it can."""

    def check(self, tx: Tx) -> None:
        """Check that the connection leads to the database of the URL; as cheap as a stat.

        Raises:
            DatabaseReplaced: it does not any more.
        """

    def begin(self, tx: Tx) -> None:
        """Open a transaction."""

    def commit(self, tx: Tx) -> None:
        """Commit it, after a :meth:`check`."""

    def rollback(self, tx: Tx) -> None:
        """Roll it back; harmless when none is open."""

    def can_commit(self, tx: Tx) -> bool:
        """False if the database can only roll it back, because a statement has failed."""

    def interrupt(self, tx: Tx) -> None:
        """Have the statement under way fail, from another thread; its connection stays usable."""

    def close(self, tx: Tx) -> None:
        """Close the connection, whatever its state."""

    def error_kind(self, error: BaseException) -> ErrorKind:
        """What an error of the driver means."""

    def time(self, instant: datetime | None) -> Any:
        """An aware instant as a parameter."""

    def instant(self, value: Any) -> datetime | None:
        """A column's time as an aware instant."""


class Database:
    """A dialect and this process's connections to it.

    Idle connections wait on a stack (the warmest is used first) and are never carried over a fork.
    Every write goes through :meth:`unit` or :meth:`transaction`; nothing else commits.

    Args:
        label: the URL without its password, for messages.

    Attributes:
        answers: grows with each unit that the database has answered.
        on_replaced: called when the database was found to be another one.
    """

    def __init__(self, dialect: Dialect, label: str) -> None:
        self.dialect = dialect
        self.label = label
        self.answers = 0
        self.on_replaced: Callable[[], None] = lambda: None
        self._idle: list[Tx] = []
        self._opened: weakref.WeakSet[Tx] = weakref.WeakSet()
        self._abandoned: list[Tx] = []  # a parent's: kept open, as closing writes to its socket
        self._pid = os.getpid()
        self._writer = threading.RLock()
        self._one_writer = dialect.one_writer
        self._writing_loop: Any = None  # the event loop whose coroutine has the turn to write

    def unit(self, work: Callable[[Tx], T], *, single: bool = False) -> T:
        """Run ``work`` in one transaction and return what it returns.

        The work may run again: after a conflict, with everything rolled back; and after a
        connection was lost during COMMIT, with ``tx.repeated`` set, as the first run may have been
        committed. So the work must be fenced, or read back what it wrote.

        Args:
            work: gets the Tx; has no effects outside it.
            single: the work is one statement, which needs no BEGIN and COMMIT.

        Raises:
            StoreUnavailable: no connection, or conflicts for longer than ``RETRY_SECONDS``.
            HammerflowError: the call would wait for a transaction of its own event loop.
        """
        if not self._one_writer:
            return self._unit(work, single)
        writer = self._writer  # a fork makes another one
        if not writer.acquire(blocking=False):
            writer = self._wait_for_turn()
        try:
            return self._unit(work, single)
        finally:
            writer.release()

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work``, which only reads, outside a transaction."""
        return self._unit(work, single=True)

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run one named statement that only reads, outside a transaction; all its rows."""
        return self._unit(lambda tx: tx.rows(name, **values), single=True)

    def first(self, name: str, /, **values: Any) -> tuple[Any, ...] | None:
        """The first row of :meth:`rows`, if there is one."""
        return next(iter(self.rows(name, **values)), None)

    def column(self, name: str, /, **values: Any) -> list[Any]:
        """The first column of :meth:`rows`."""
        return [row[0] for row in self.rows(name, **values)]

    def run(self, name: str, /, **values: Any) -> int:
        """Run one named block in a transaction of its own; how many rows it changed."""
        return self.unit(lambda tx: tx.run(name, **values))

    @contextlib.contextmanager
    def transaction(self, *, loop: Any = None) -> Iterator[Tx]:
        """A transaction around a with block: committed at its end, rolled back on an error.

        Never repeated, as the block is the caller's.

        Args:
            loop: the event loop that decides when the block ends, if one does.

        Raises:
            StoreUnavailable: no connection, or one lost during the block or the commit, whose
                fate is then unknown.
            HammerflowError: the block has swallowed an error after which nothing can be committed.
        """
        with self._turn(loop) if self._one_writer else contextlib.nullcontext():
            tx = self._begin()
            try:
                yield tx
                if not self.dialect.can_commit(tx):
                    raise HammerflowError(
                        "nothing was committed: a statement of this transaction has failed, and "
                        "the database can only roll it back; let its error leave the block"
                    )
                self.dialect.commit(tx)
            except BaseException as error:
                if self._abort(tx, error) is ErrorKind.CONNECTION_LOST:
                    raise self._unavailable(error) from error
                raise
            self._release(tx)

    def open_connection(self) -> Any:
        """A new connection of the driver in autocommit mode, which the caller owns and closes."""
        return self.dialect.connect().connection

    def close(self) -> None:
        """Close the idle connections of this process."""
        if self._pid == os.getpid():
            idle, self._idle = self._idle, []  # in one step: another thread may be closing, too
            for tx in idle:
                self.dialect.close(tx)

    def cut_silent(self, seconds: float) -> int:
        """Cut the connections whose statement has taken longer than ``seconds``; how many.

        psycopg waits forever on a peer that acknowledges bytes and never answers: keepalives,
        tcp_user_timeout and statement_timeout all pass. A worker calls this regularly.
        """
        before = time.monotonic() - seconds
        silent = [tx for tx in list(self._opened) if tx.since is not None and tx.since < before]
        for tx in silent:
            tx.cut()
        return len(silent)

    def forget(self) -> None:
        """Leave all connections to the parent process, after a fork."""
        self._abandoned += self._idle
        self._idle, self._pid = [], os.getpid()
        self._opened = weakref.WeakSet()
        self._writer, self._writing_loop = threading.RLock(), None

    @contextlib.contextmanager
    def _turn(self, loop: Any) -> Iterator[None]:
        writer = self._writer
        if not writer.acquire(blocking=False):
            writer = self._wait_for_turn()
        try:
            self._writing_loop = loop
            yield
        finally:
            self._writing_loop = None
            writer.release()

    def _wait_for_turn(self) -> threading.RLock:
        """Wait until this thread may write, and return the lock that it holds then. Not longer than
        for another process, and not at all for a coroutine of the event loop that this thread runs,
        which would never go on."""
        if self._pid != os.getpid():
            self.forget()  # the lock may be held by a thread of the parent
        writer = self._writer
        deadline = time.monotonic() + RETRY_SECONDS
        loop = running_loop()
        while not writer.acquire(timeout=_GLANCE):
            if loop is not None and loop is self._writing_loop:
                raise HammerflowError(
                    f"this call would wait for a transaction on {self.label} that a coroutine of "
                    "the same event loop has open, and stop both: await its async form, such as "
                    "adelay(), or run it by asyncio.to_thread()"
                )
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"the database {self.label} cannot be used: another transaction of this "
                    f"process has been open for {RETRY_SECONDS:g} s"
                )
        return writer

    def _unit(self, work: Callable[[Tx], T], single: bool) -> T:
        # Every delay() runs through here: _take and _release are spelled out for the usual case.
        retries: _Retries | None = None
        repeated = False
        while True:
            try:
                tx = self._idle.pop() if self._pid == os.getpid() else self._take()
            except IndexError:
                tx = self._take()
            tx.repeated = repeated
            may_be_committed = single
            try:
                if not single:
                    self.dialect.begin(tx)
                elif self._one_writer:
                    self.dialect.check(tx)
                value = work(tx)
                may_be_committed = True
                if not single:
                    self.dialect.commit(tx)
            except BaseException as error:
                kind = self._abort(tx, error)
                retries = retries or _Retries()
                if retries.wait(kind):
                    lost = kind is ErrorKind.CONNECTION_LOST
                    repeated = repeated or (lost and may_be_committed)
                    continue
                if kind in _UNAVAILABLE:
                    raise self._unavailable(error) from error
                raise
            self.answers += 1
            if len(self._idle) < MOST_IDLE:
                self._idle.append(tx)
            else:
                self.dialect.close(tx)
            return value

    def _begin(self) -> Tx:
        retries = _Retries()
        while True:
            tx = self._take()
            tx.repeated = False
            try:
                self.dialect.begin(tx)
            except BaseException as error:
                kind = self._abort(tx, error)
                if retries.wait(kind):
                    continue
                if kind in _UNAVAILABLE:
                    raise self._unavailable(error) from error
                raise
            return tx

    def _take(self) -> Tx:
        """An idle connection, or a new one."""
        if self._pid != os.getpid():
            self.forget()
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            tx = self.dialect.connect()
        except HammerflowError:
            raise
        except Exception as error:
            raise self._unavailable(error) from error
        self._opened.add(tx)
        return tx

    def _release(self, tx: Tx) -> None:
        if len(self._idle) < MOST_IDLE:
            self._idle.append(tx)
        else:
            self.dialect.close(tx)

    def _abort(self, tx: Tx, error: BaseException) -> ErrorKind:
        """End the transaction after an error, and say what the error means."""
        kind = self._kind(error)
        if kind is ErrorKind.INTERRUPTED:
            self.dialect.close(tx)
        elif kind in (ErrorKind.CONNECTION_LOST, ErrorKind.REPLACED):
            self.dialect.close(tx)
            self.close()  # the others were opened to the same server, which went away
            if kind is ErrorKind.REPLACED:
                log.error("%s", error)
                self.on_replaced()
        else:
            try:
                self.dialect.rollback(tx)
            except Exception as failure:  # noqa: BLE001 - whatever a driver raises on a broken connection
                log.debug("rollback failed, connection closed: %s", failure)
                self.dialect.close(tx)
            else:
                self._release(tx)
        return kind

    def _kind(self, error: BaseException) -> ErrorKind:
        # A signal may raise between two reads of one reply: what is left of the reply would be
        # taken for the answer to the next statement, so that connection must not be used again.
        if isinstance(error, SoftTimeout) or not isinstance(error, Exception):
            return ErrorKind.INTERRUPTED
        if isinstance(error, DatabaseReplaced):
            return ErrorKind.REPLACED
        return self.dialect.error_kind(error)

    def _unavailable(self, error: BaseException) -> StoreUnavailable:
        reason = " ".join(str(error).split())
        return StoreUnavailable(
            f"the database {self.label} cannot be used: {reason}; "
            "check that it runs and that the URL is right"
        )


def running_loop() -> Any:
    """The event loop that runs in this thread, else None; imports nothing."""
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()


#: Kinds that pass on their own: once the retries are used up, the database is not available.
_UNAVAILABLE = (ErrorKind.CONFLICT, ErrorKind.CONNECTION_LOST)


class _Retries:
    """Decides whether a unit that failed may run again, and waits as long as that takes."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + RETRY_SECONDS
        self._conflicts = 0
        self._reconnects = 0

    def wait(self, kind: ErrorKind) -> bool:
        """After an error; False where the unit must not run again."""
        if kind is ErrorKind.CONNECTION_LOST:
            self._reconnects += 1
            return self._reconnects <= RECONNECTS
        if kind is not ErrorKind.CONFLICT or time.monotonic() >= self._deadline:
            return False
        self._conflicts += 1
        # Full jitter: each of the units that collided draws its own pause, doubled each time.
        time.sleep(random.random() * min(0.002 * 2**self._conflicts, 0.25))
        return True
