"""Database: the one owner of transactions: begin, commit, roll back, retry, unknown commits."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from hammerflow.errors import HammerflowError, SoftTimeout, StoreUnavailable
from hammerflow.stores.connections.error_codes import ADVICE, Advice, ErrorCode, ErrorKind
from hammerflow.stores.connections.pool import Connections, running_loop
from hammerflow.stores.connections.retries import RETRY_SECONDS, Retries
from hammerflow.stores.connections.tx_state import TxState
from hammerflow.stores.statements import Statement

__all__ = ["Database", "DatabaseReplaced", "Dialect", "LockedOut", "Tx"]

T = TypeVar("T")
log = logging.getLogger("hammerflow.store")

#: Seconds between two checks whether a turn to write can come at all.
_GLANCE = 0.05


class DatabaseReplaced(StoreUnavailable):
    """The database behind a connection is not the one of the URL any more; nothing was written."""


class LockedOut(Exception):
    """A hurried unit met a lock that another transaction holds; nothing was written."""


class Tx(Protocol):
    """Statements inside one transaction, our own or a caller's."""

    connection: Any  # the driver's own connection
    repeated: bool  # an earlier run of this unit may have been committed
    foreign: bool  # the transaction of a caller, who commits it
    since: float | None  # when the statement under way was sent, where the peer may fall silent
    interrupted: bool  # see interrupt(): what was to end may have ended by itself
    has_jobs: bool  # hammerflow has written in this transaction of our own
    has_events: bool  # it has written events

    def lend(self) -> Any:
        """The driver's connection, for statements of the user."""

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

    def codes(self, error: BaseException) -> Sequence[str]:
        """The codes of a driver's error, the most exact one first; none of any other error."""

    def check(self, tx: Tx) -> None:
        """Check that the connection leads to the database of the URL; as cheap as a stat.

        Raises:
            DatabaseReplaced: it does not any more.
        """

    def begin(self, tx: Tx) -> None:
        """Open a transaction."""

    def begin_hurried(self, tx: Tx, patience: float) -> None:
        """Open one whose statements wait for a lock for about ``patience`` seconds; in the round
        trip of :meth:`begin`."""

    def commit(self, tx: Tx) -> None:
        """Commit it, after a :meth:`check`."""

    def rollback(self, tx: Tx) -> None:
        """Roll it back; harmless when none is open."""

    def state(self, tx: Tx) -> TxState:
        """What has become of a transaction; a caller's is not ENDED: the next one may begin."""

    def interrupt(self, tx: Tx) -> None:
        """Have the statement under way fail, from another thread. It may reach the server when that
        statement has ended, and then hits the next one: set ``tx.interrupted`` before, so that no
        other transaction gets the connection."""

    def close(self, tx: Tx) -> None:
        """Close the connection, whatever its state."""

    def is_full(self, error: BaseException) -> bool:
        """Whether an error of :meth:`connect` says that the server takes no more connections."""

    def words(self, error: BaseException) -> str:
        """What the driver says, in one line for a sentence of ours."""

    def meaning(self, error: BaseException) -> ErrorCode:
        """What an error means, by the dialect's table of codes."""

    def time(self, instant: datetime | None) -> Any:
        """An aware instant as a parameter."""

    def instant(self, value: Any) -> datetime | None:
        """A column's time as an aware instant."""


class Database:
    """A dialect and this process's connections to it.

    Every write goes through :meth:`unit` or :meth:`transaction`; nothing else commits.

    Args:
        label: the URL without its password, for messages.
        max_connections: how many connections may be open in this process.
        pool_timeout: seconds to wait for one of them.

    Attributes:
        writes: grows with each unit that the database has accepted; reads do not count.
        on_replaced: called when the database was found to be another one.
        on_events: called after the commit of a transaction that has written events. It neither
            raises nor blocks.
    """

    def __init__(
        self, dialect: Dialect, label: str, *, max_connections: int = 20, pool_timeout: float = 10.0
    ) -> None:
        self.dialect = dialect
        self.label = label
        self.writes = 0
        self.on_replaced: Callable[[], None] = lambda: None
        self.on_events: Callable[[], None] = lambda: None
        self.connections: Connections[Tx] = Connections(
            self._connect, dialect.close, dialect.is_full,
            most=max_connections, patience=pool_timeout,
        )  # fmt: skip
        self._pid = os.getpid()
        self._writer = threading.RLock()
        self._one_writer = dialect.one_writer
        self._writing_loop: Any = None  # the event loop whose coroutine has the turn to write

    def unit(
        self, work: Callable[[Tx], T], *, single: bool = False, patience: float | None = None
    ) -> T:
        """Run ``work`` in one transaction and return what it returns.

        The work may run again: after a conflict, with everything rolled back; and after a
        connection was lost during COMMIT, with ``tx.repeated`` set, as the first run may have been
        committed. So the work must be fenced, or read back what it wrote.

        Args:
            work: gets the Tx; has no effects outside it.
            single: the work is one statement, which needs no BEGIN and COMMIT.
            patience: seconds to wait for a lock that another transaction holds; without a second
                try. On SQLite, where each transaction locks all, it does not count.

        Raises:
            LockedOut: the patience is over.
            StoreUnavailable: no connection, contention for longer than ``RETRY_SECONDS``, or the
                database does not do this now: it is read-only or full, or lacks the tables.
            HammerflowError: the call would wait for a transaction of its own event loop.
        """
        if not self._one_writer:
            value, has_events = self._unit(work, single, patience)
        else:
            writer = self._writer  # a fork makes another one
            if not writer.acquire(blocking=False):
                writer = self._wait_for_turn()
            try:
                value, has_events = self._unit(work, single)
            finally:
                writer.release()
        self.writes += 1
        if has_events:
            self.on_events()
        return value

    def inside(self, tx: Tx, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in a caller's transaction, which is neither repeated nor ended here.

        Raises:
            StoreUnavailable: as for :meth:`unit`; the caller rolls back.
            HammerflowError: a statement of the caller has failed or ended the transaction.
        """
        self.dialect.state(tx).check()
        tx.has_jobs = True
        try:
            return work(tx)
        except Exception as error:
            code = self._meaning(error)
            if code.kind in _UNAVAILABLE and not isinstance(error, HammerflowError):
                raise self._unavailable(error, code, is_block=True) from error
            raise

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work``, which only reads, outside a transaction."""
        return self._unit(work, single=True)[0]

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run one named statement that only reads, outside a transaction; all its rows."""
        return self._unit(lambda tx: tx.rows(name, **values), single=True)[0]

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
                fate is then unknown; or the block was rolled back because of another transaction.
            HammerflowError: a statement of the block has failed or ended the transaction.
        """
        with self._turn(loop) if self._one_writer else contextlib.nullcontext():
            tx = self._begin()
            try:
                yield tx
                if (state := self.dialect.state(tx)) is not TxState.ENDED or tx.has_jobs:
                    state.check()
                    self.dialect.commit(tx)
            except BaseException as error:
                code = self._abort(tx, _driver_error(error))
                if code.kind in _PASSING and not isinstance(error, HammerflowError):
                    raise self._unavailable(error, code, is_block=True) from error
                raise
            self.writes += 1
            has_events = tx.has_events
            self.connections.give(tx)
        if has_events:
            self.on_events()

    def ends_soon(self) -> None:
        """Note that nobody has to go on for the transaction of an event loop to end."""
        self._writing_loop = None

    def open_connection(self) -> Any:
        """A new connection of the driver in autocommit mode, which the caller owns and closes."""
        return self.dialect.connect().connection

    def close(self) -> None:
        """Close the idle connections of this process."""
        self.connections.close_idle()

    def cut_silent(self, seconds: float) -> int:
        """Cut the connections whose statement has taken longer than ``seconds``; how many.

        psycopg waits forever on a peer that acknowledges bytes and never answers: keepalives,
        tcp_user_timeout and statement_timeout all pass. A worker calls this regularly.
        """
        return self.connections.cut_silent(seconds)

    def forget(self) -> None:
        """Leave all connections to the parent process, after a fork."""
        self.connections.forget()
        self._pid = os.getpid()
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

    def _unit(
        self, work: Callable[[Tx], T], single: bool, patience: float | None = None
    ) -> tuple[T, bool]:
        """What the work has returned, and whether it has written events."""
        # Every delay() runs through here: take() and give() are spelled out for the usual case.
        connections = self.connections
        retries: Retries | None = None
        repeated = False
        while True:
            try:
                tx = connections.idle.pop() if self._pid == os.getpid() else self._take()
            except IndexError:
                tx = self._take()
            tx.repeated, tx.has_events = repeated, False
            may_be_committed = single
            try:
                if patience is not None:
                    self.dialect.begin_hurried(tx, patience)
                elif not single:
                    self.dialect.begin(tx)
                elif self._one_writer:
                    self.dialect.check(tx)
                value = work(tx)
                may_be_committed = True
                if not single:
                    self.dialect.commit(tx)
            except BaseException as error:
                code = self._abort(tx, _driver_error(error))
                if patience is not None and code.kind is ErrorKind.CONTENTION:
                    raise LockedOut(self.dialect.words(error)) from error
                retries = retries or Retries()
                if retries.wait(code.kind, repeated=repeated):
                    lost = code.kind is ErrorKind.LOST
                    repeated = repeated or (lost and may_be_committed)
                    continue
                if code.kind in _UNAVAILABLE and not isinstance(error, HammerflowError):
                    raise self._unavailable(error, code) from error
                raise
            has_events = tx.has_events  # another thread may take the connection at once
            connections.idle.append(tx)
            if connections.waiting:
                connections.serve()
            return value, has_events

    def _connect(self) -> Tx:
        return self.dialect.connect()

    def _begin(self) -> Tx:
        retries = Retries()
        while True:
            tx = self._take(for_block=True)
            tx.repeated = tx.has_jobs = tx.has_events = False
            try:
                self.dialect.begin(tx)
            except BaseException as error:
                code = self._abort(tx, error)
                if retries.wait(code.kind):
                    continue
                if code.kind in _UNAVAILABLE:
                    raise self._unavailable(error, code) from error
                raise
            return tx

    def _take(self, *, for_block: bool = False) -> Tx:
        """A connection, idle or new; waits where there may be no more."""
        if self._pid != os.getpid():
            self.forget()
        try:
            return self.connections.take(for_block=for_block)
        except HammerflowError:
            raise
        except Exception as error:
            raise self._unavailable(error, self._meaning(error)) from error

    def _abort(self, tx: Tx, error: BaseException) -> ErrorCode:
        """End the transaction after an error, and say what the error means."""
        code = self._meaning(error)
        if code.kind is ErrorKind.INTERRUPTED:
            self.connections.discard(tx)
        elif code.kind in _ENDS_SESSIONS:
            self.connections.discard(tx)
            self.close()  # the others were opened to the same server, and under the same settings
            if code.kind is ErrorKind.REPLACED:
                log.error("%s", error)
                self.on_replaced()
        else:
            try:
                self.dialect.rollback(tx)
            except Exception as failure:  # noqa: BLE001 - whatever a driver raises on a broken connection
                log.debug("rollback failed, connection closed: %s", failure)
                self.connections.discard(tx)
            else:
                self.connections.give(tx)
        return code

    def interrupt(self, tx: Tx) -> None:
        """Have the statement under way fail, from another thread; see :meth:`Dialect.interrupt`."""
        tx.interrupted = True
        self.dialect.interrupt(tx)

    def kind_of(self, error: BaseException) -> ErrorKind:
        """What an error that left a unit means; that of a StoreUnavailable by its cause."""
        return self._meaning(_driver_error(error)).kind

    def refusal(self, error: Exception) -> StoreUnavailable | None:
        """What an error that left a unit says of the database, where the unit carried nobody's
        data; None for an error that is not the database's."""
        if isinstance(error, StoreUnavailable):
            return error
        if not self.dialect.codes(error):
            return None
        return self._unavailable(error, ErrorCode("", ErrorKind.STATE, Advice.CHANGED))

    def _meaning(self, error: BaseException) -> ErrorCode:
        # A signal may raise between two reads of one reply: what is left of the reply would be
        # taken for the answer to the next statement, so that connection must not be used again.
        if isinstance(error, SoftTimeout) or not isinstance(error, Exception):
            return _INTERRUPTED
        if isinstance(error, DatabaseReplaced):
            return _REPLACED
        return self.dialect.meaning(error)

    def _unavailable(
        self, error: BaseException, code: ErrorCode, *, is_block: bool = False
    ) -> StoreUnavailable:
        """The error for a caller; ``is_block``: it is the caller who runs the work again."""
        reason = self.dialect.words(error) if error.args != (0, "") else code.name  # PyMySQL's
        is_refusal = code.kind is not ErrorKind.LOST or code.advice in _REFUSALS
        if is_block and code.kind is ErrorKind.CONTENTION:
            text = f"the transaction on {self.label} cannot be committed: {reason}; run it again"
        else:
            advice = ADVICE.get(code.advice, ADVICE[Advice.REACH])
            text = f"the database {self.label} cannot be used: {reason}; {advice}"
        return StoreUnavailable(text, is_refusal=is_refusal)


def _driver_error(error: BaseException) -> BaseException:
    """The driver's error behind a StoreUnavailable, else the error itself."""
    is_ours = isinstance(error, StoreUnavailable) and error.__cause__ is not None
    return (error.__cause__ or error) if is_ours else error


_REPLACED = ErrorCode("a file that was replaced", ErrorKind.REPLACED)
_INTERRUPTED = ErrorCode("an exception from a signal", ErrorKind.INTERRUPTED)
#: Kinds that end a caller's block, which may be run again. An error of another kind may be of the
#: caller's own statement.
_PASSING = (ErrorKind.CONTENTION, ErrorKind.LOST)
#: Kinds that pass on their own: once the retries are used up, the database is not available.
_UNAVAILABLE = (*_PASSING, ErrorKind.STATE, ErrorKind.NO_TABLE)
#: Kinds after which a new session is opened. It may hold other rights, and other settings of its
#: role: MySQL reads the rights on a database, and PostgreSQL those settings, when a session begins.
_ENDS_SESSIONS = (ErrorKind.LOST, ErrorKind.REPLACED, ErrorKind.STATE, ErrorKind.NO_TABLE)
#: What a database that answers may need, though its session is of no use any more.
_REFUSALS = (Advice.PRIMARY, Advice.FILE, Advice.SPACE)
