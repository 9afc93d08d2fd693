"""Database: the one owner of transactions: begin, commit, roll back, retry, unknown commits."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol, TypeVar

from hammerflow.errors import HammerflowError, SoftTimeout, StoreUnavailable
from hammerflow.stores.statements import Statement

__all__ = ["NO_TRANSACTION", "Database", "Dialect", "ErrorKind", "Tx"]

T = TypeVar("T")
log = logging.getLogger("hammerflow.store")

#: How long a unit is retried on deadlocks, lock timeouts and BUSY, in seconds.
RETRY_SECONDS = 30.0
#: How often a unit is begun anew on a fresh connection after a lost one.
RECONNECTS = 2
#: Connections kept for the next unit; more are closed after use.
MOST_IDLE = 8


#: Of a caller's connection in autocommit mode.
NO_TRANSACTION = (
    "it is in autocommit mode and no transaction is open, so a job would not share the fate of "
    "your own writes; begin a transaction first"
)


class ErrorKind(Enum):
    """What an error of a driver means for the unit it hit."""

    RETRY = auto()  # deadlock, serialization failure, lock timeout, busy: roll back and run again
    LOST = auto()  # the connection is gone; if it was committing, the fate is unknown
    DUPLICATE = auto()  # a unique key is taken
    MISSING = auto()  # a table is not there
    CUT = auto()  # an exception from a signal struck in the middle of a statement
    OTHER = auto()


class Tx(Protocol):
    """Statements inside one transaction, own or a caller's."""

    connection: Any  # the driver's own connection
    repeated: bool  # an earlier try of this unit may have been committed
    foreign: bool  # the caller's transaction: the caller commits
    since: float | None  # when the statement under way was sent, where a peer may go silent

    def has(self, name: str) -> bool:
        """Whether the dialect has a statement of this name."""

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and fetch all its rows."""

    def run(self, name: str, /, **values: Any) -> int:
        """Run a statement; how many rows it touched."""

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run an INSERT for many rows; values in the order of the statement's parameters."""

    def script(self, text: str) -> None:
        """Run statements of a migration."""

    def cut(self) -> None:
        """Make the statement under way fail at once."""


class Dialect(Protocol):
    """What differs between databases below SQL: how to connect, and what errors mean."""

    name: str
    statements: Mapping[str, Statement]
    macros: Mapping[str, str]
    one_writer: bool  # writers of one process take turns (SQLite)

    def connect(self) -> Tx:
        """A fresh connection in autocommit mode; raises the driver's error."""

    def wrap(self, connection: Any) -> Tx:
        """The caller's connection, for work inside the caller's transaction."""

    def owns(self, connection: Any) -> bool:
        """Whether this is a connection of the dialect's driver."""

    def unfit(self, connection: Any) -> str | None:
        """Why a caller's connection cannot carry jobs now, as a clause; None where it can."""

    def begin(self, tx: Tx) -> None:
        """Open a transaction."""

    def commit(self, tx: Tx) -> None:
        """Commit it."""

    def rollback(self, tx: Tx) -> None:
        """Roll it back; harmless when none is open."""

    def close(self, tx: Tx) -> None:
        """Close the connection, whatever its state."""

    def fault(self, error: BaseException) -> ErrorKind:
        """What the error means."""

    def time(self, instant: datetime | None) -> Any:
        """An aware instant as a parameter."""

    def instant(self, value: Any) -> datetime | None:
        """A column's time as an aware instant."""


class Database:
    """A dialect and this process's connections to it.

    Connections wait in a LIFO (the warmest is taken first) and are never carried over a fork.
    Every write goes through :meth:`unit`; nothing else commits.
    """

    def __init__(self, dialect: Dialect, label: str) -> None:
        self.dialect = dialect
        self.label = label  # the URL without its password, for messages
        self._idle: list[Tx] = []
        self._opened: weakref.WeakSet[Tx] = weakref.WeakSet()
        self._abandoned: list[Tx] = []  # a parent's: kept, so that nothing is sent on its socket
        self._pid = os.getpid()
        self._writer = threading.RLock()
        self._one_writer = dialect.one_writer
        self.answers = 0  # grows with each unit that the database has answered

    def unit(self, work: Callable[[Tx], T], *, single: bool = False) -> T:
        """Run ``work`` in one transaction and return what it returns.

        The work may be run again: after a deadlock or a busy database with everything rolled
        back, and after a connection lost in mid-commit with ``tx.repeated`` set (its first run
        may have been committed). So it must be fenced, or read back what it wrote.

        Args:
            work: gets the Tx; has no effects besides it.
            single: the work is one statement, which is a transaction by itself.

        Raises:
            StoreUnavailable: no connection, or busy for longer than ``RETRY_SECONDS``.
        """
        if not self._one_writer:
            return self._unit(work, single)
        with self._writer:
            return self._unit(work, single)

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work``, which only reads, outside a transaction."""
        return self._unit(work, single=True)

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run one named statement that only reads, outside a transaction; all its rows."""
        return self._unit(lambda tx: tx.rows(name, **values), single=True)

    def run(self, name: str, /, **values: Any) -> int:
        """Run one named statement in a transaction of its own.

        Returns:
            How many rows it changed.
        """
        return self.unit(lambda tx: tx.run(name, **values))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Tx]:
        """A transaction around a with block: committed at its end, rolled back on an error.

        Never repeated: the block is the caller's. An unknown commit raises StoreUnavailable.
        """
        with self._writer if self._one_writer else contextlib.nullcontext():
            tx = self._begin_retrying()
            try:
                yield tx
                self.dialect.commit(tx)
            except BaseException as error:
                fault = self._fault(error)
                self._abort(tx, fault)
                if fault is ErrorKind.LOST and isinstance(error, Exception):
                    raise self._unavailable(error) from error
                raise
            self._give(tx)

    def open_connection(self) -> Any:
        """A new connection of the driver in autocommit mode, which the caller owns and closes."""
        return self.dialect.connect().connection

    def foreign(self, connection: Any) -> Tx:
        """The caller's transaction."""
        return self.dialect.wrap(connection)

    def close(self) -> None:
        """Close the idle connections of this process."""
        if self._pid == os.getpid():
            idle, self._idle = self._idle, []  # at once: another thread may be closing, too
            for tx in idle:
                self.dialect.close(tx)

    def cut_silent(self, seconds: float) -> int:
        """Cut the connections on which a statement has been under way for longer than this.

        psycopg waits for ever on a peer that acknowledges bytes and never answers (keepalives,
        tcp_user_timeout and statement_timeout all pass); a worker calls this from its housekeeping.
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
        self._writer = threading.RLock()

    # -- inside ---------------------------------------------------------------------------------

    def _unit(self, work: Callable[[Tx], T], single: bool) -> T:
        deadline, tries, lost, repeated = 0.0, 0, 0, False
        while True:
            try:
                tx = self._idle.pop() if self._pid == os.getpid() else self._take()
            except IndexError:
                tx = self._take()
            tx.repeated = repeated
            finishing = single
            try:
                if not single:
                    self.dialect.begin(tx)
                value = work(tx)
                finishing = True
                if not single:
                    self.dialect.commit(tx)
            except BaseException as error:
                fault = self._fault(error)
                self._abort(tx, fault)
                if not isinstance(error, Exception):
                    raise
                deadline = deadline or time.monotonic() + RETRY_SECONDS
                if fault is ErrorKind.RETRY and time.monotonic() < deadline:
                    tries += 1
                    time.sleep(random.random() * min(0.002 * 2**tries, 0.25))
                elif fault is ErrorKind.LOST and lost < RECONNECTS:
                    lost, repeated = lost + 1, repeated or finishing
                elif fault in (ErrorKind.RETRY, ErrorKind.LOST):
                    raise self._unavailable(error) from error
                else:
                    raise
            else:
                self.answers += 1
                if len(self._idle) < MOST_IDLE:
                    self._idle.append(tx)
                else:
                    self.dialect.close(tx)
                return value

    def _begin_retrying(self) -> Tx:
        deadline, lost = time.monotonic() + RETRY_SECONDS, 0
        while True:
            tx = self._take()
            tx.repeated = False
            try:
                self.dialect.begin(tx)
            except BaseException as error:
                fault = self._fault(error)
                self._abort(tx, fault)
                if not isinstance(error, Exception):
                    raise
                if fault is ErrorKind.LOST and lost < RECONNECTS:
                    lost += 1
                elif fault is ErrorKind.RETRY and time.monotonic() < deadline:
                    time.sleep(random.random() * 0.05)
                elif fault in (ErrorKind.RETRY, ErrorKind.LOST):
                    raise self._unavailable(error) from error
                else:
                    raise
            else:
                return tx

    def _take(self) -> Tx:
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

    def _give(self, tx: Tx) -> None:
        if len(self._idle) < MOST_IDLE:
            self._idle.append(tx)
        else:
            self.dialect.close(tx)

    def _fault(self, error: BaseException) -> ErrorKind:
        """The dialect's word; an error thrown in by a signal may have cut a reply in two, so the
        connection counts as lost (and the error is raised all the same)."""
        if isinstance(error, SoftTimeout) or not isinstance(error, Exception):
            return ErrorKind.CUT
        return self.dialect.fault(error)

    def _abort(self, tx: Tx, fault: ErrorKind) -> None:
        if fault is ErrorKind.CUT:
            self.dialect.close(tx)
            return
        if fault is ErrorKind.LOST:
            self.dialect.close(tx)
            self.close()  # the others were opened to the same server that went away
            return
        try:
            self.dialect.rollback(tx)
        except Exception as error:  # noqa: BLE001 - any driver's word for a broken connection
            log.debug("rollback failed, connection dropped: %s", error)
            self.dialect.close(tx)
        else:
            self._give(tx)

    def _unavailable(self, error: BaseException) -> StoreUnavailable:
        reason = " ".join(str(error).split())
        return StoreUnavailable(
            f"the database {self.label} cannot be used: {reason}; "
            "check that it runs and that the URL is right"
        )
