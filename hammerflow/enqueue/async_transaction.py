"""AsyncTransaction: an open transaction of coroutines, whose waits never block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from hammerflow.enqueue import transaction
from hammerflow.enqueue.transaction import Around, OpenTransaction, entered, waited_too_long
from hammerflow.errors import HammerflowError, StoreUnavailable
from hammerflow.results.threads import Call, ThreadPool
from hammerflow.stores.connections.pool import running_loop
from hammerflow.stores.connections.retries import RETRY_SECONDS

if TYPE_CHECKING:
    from hammerflow.results.waiting import ResultBackend
    from hammerflow.stores.database import Tx
    from hammerflow.stores.store import Store

__all__ = ["AsyncTransaction", "AsyncTransactions"]

T = TypeVar("T")
log = logging.getLogger("hammerflow.enqueue")

#: The most transactions of one event loop that are open at a time: each has a connection and a
#: thread. On SQLite, which has one writer, it is one.
MOST_OPEN = 16

#: Seconds after which an idle transaction checks again that its event loop still exists.
CHECK_SECONDS = 1.0


class AsyncTransaction:
    """The open transaction of coroutines, from ``async with app.transaction()`` or
    ``async with app.using(...)``."""

    __slots__ = ("_opened",)

    def __init__(self, opened: OpenTransaction) -> None:
        self._opened = opened

    @property
    def connection(self) -> Any:
        """The driver's connection; of ``app.transaction()`` it belongs to another thread: use
        :meth:`execute`. Do not commit on it."""
        return self._opened.tx.connection

    async def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run your own SQL inside the transaction and return the driver's cursor.

        The cursor of ``app.transaction()`` is a plain one (``cursor.fetchone()``), that of
        ``app.using(...)`` the async one of its connection (``await cursor.fetchone()``). Read it
        inside the block.

        Args:
            sql: one statement, with placeholders in the driver's style.
            parameters: a sequence or mapping, as the driver takes it.

        Raises:
            HammerflowError: the block has ended.
        """
        return await self._opened.execute_async(sql, parameters)


class AsyncTransactions:
    """Opens transactions for the coroutines of an app.

    Args:
        opened: the variable that holds the open transaction.
        current: gives the one that the caller may join.
    """

    def __init__(
        self, app: ResultBackend, opened: ContextVar[OpenTransaction | None],
        current: Callable[[], OpenTransaction | None],
    ) -> None:  # fmt: skip
        self.app = app
        self._open = opened
        self._current = current
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._slots = WeakKeyDictionary()

    def transaction(self, around: Around) -> AbstractAsyncContextManager[AsyncTransaction]:
        """Open a transaction, or join the open one; see :meth:`Hammerflow.transaction`."""
        opened = self._current()
        if opened is not None and not opened.is_over:
            return nullcontext(AsyncTransaction(opened))
        return _OwnBlock(self, around)

    def using(
        self, connection: Any, around: Around
    ) -> AbstractAsyncContextManager[AsyncTransaction]:
        """Enqueue in the caller's own transaction; see :meth:`Hammerflow.using`."""
        return _CallersBlock(self, connection, around)

    async def begin(self) -> tuple[_ThreadTransaction, _TransactionThread]:
        """Open a transaction in a thread of its own."""
        store = await self.app.async_calls.read(lambda: self.app.store)
        slot = await self._slot(store)
        thread = _TransactionThread(store, self.app, slot)
        try:
            tx = await asyncio.wrap_future(thread.opened)
        except BaseException:  # it may still wait for a lock: then it rolls back later
            thread.put(None)
            raise
        return _ThreadTransaction(tx, thread, one_writer=store.database.dialect.one_writer), thread

    async def join(self, connection: Any) -> OpenTransaction:
        """The caller's transaction on an async connection."""
        store = await self.app.async_calls.read(lambda: self.app.store)
        bridge = _LoopBridge()
        return _LoopTransaction(await store.foreign_async(connection, bridge.call), bridge)

    def entered(self, opened: OpenTransaction, around: Around) -> AbstractContextManager[None]:
        """Keep the transaction in the context for its block."""
        return entered(self._open, opened, around)

    async def _slot(self, store: Store) -> Callable[[], None]:
        """Wait until one more transaction may be open; returns what gives its slot back, to be
        called in any thread."""
        loop = asyncio.get_running_loop()
        most = min(MOST_OPEN, store.database.connections.most - 1)
        most = 1 if store.database.dialect.one_writer else most
        slots = self._slots.setdefault(loop, asyncio.Semaphore(most))
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await slots.acquire()
        except TimeoutError:
            raise StoreUnavailable(
                f"no transaction could be opened within {RETRY_SECONDS:g} s: this event loop has "
                f"as many open as may be at a time on this database ({most}); do not wait for "
                "other tasks inside a transaction"
            ) from None

        def release() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(slots.release)

        return release


class _OwnBlock:
    """The block of a transaction of ours.

    It is not an async generator: Python closes all generators of a garbage cycle at once, and so
    would close it in one task while the generator around the block closes it in another.
    """

    def __init__(self, transactions: AsyncTransactions, around: Around) -> None:
        self._transactions = transactions
        self._around = around

    async def __aenter__(self) -> AsyncTransaction:
        self._opened, self._thread = await self._transactions.begin()
        self._entered = self._transactions.entered(self._opened, self._around)
        self._entered.__enter__()
        return AsyncTransaction(self._opened)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            self._entered.__exit__(kind, error, traceback)
        except BaseException as failure:
            await self._thread.roll_back(failure)
            raise
        if error is None:
            await self._thread.commit(self._opened)
        else:
            await self._thread.roll_back(error)


class _CallersBlock:
    """The block of a caller's transaction."""

    def __init__(self, transactions: AsyncTransactions, connection: Any, around: Around) -> None:
        self._transactions = transactions
        self._connection = connection
        self._around = around

    async def __aenter__(self) -> AsyncTransaction:
        self._opened = await self._transactions.join(self._connection)
        self._entered = self._transactions.entered(self._opened, self._around)
        self._entered.__enter__()
        return AsyncTransaction(self._opened)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._entered.__exit__(kind, error, traceback)
        if error is None and self._opened.queues:
            app = self._transactions.app
            await app.async_calls.write(partial(app.notifier.ring, self._opened.queues))


class _RolledBack(Exception):
    """Leaves the transaction's block in the thread."""


class _TransactionThread:
    """Holds one transaction open, and runs what happens in it in order.

    So a wait for a lock blocks this thread alone. It is a daemon: a process that ends leaves the
    transaction to the database, which rolls it back.

    Attributes:
        opened: gives the Tx once the transaction has begun.
        ended: how it ended: None or the error.
    """

    def __init__(self, store: Store, app: ResultBackend, release: Callable[[], None]) -> None:
        self.opened: Future[Tx] = Future()
        self.ended: Future[None] = Future()
        self.is_broken = False  # a call was given up while it ran: nothing may be committed
        for future in (self.opened, self.ended):
            future.set_running_or_notify_cancel()  # who awaits it may be cancelled, it may not
        self._store = store
        self._app = app
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[Call | OpenTransaction | Exception | None] = SimpleQueue()
        self._putting = threading.Lock()
        self._has_end = False
        self._is_busy = self._gives_up = False
        self._thread = app.async_calls.start(self._run, "hammerflow-tx")

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.current_thread() is self._thread

    def put(self, call: Call | OpenTransaction | Exception | None) -> None:
        """Add a call, or the end: the transaction to commit, the error to roll back for, or None to
        roll back. A call after the end is cancelled."""
        with self._putting:
            if self._has_end and isinstance(call, Call):
                call.future.cancel()
                return
            self._has_end = not isinstance(call, Call)
            if self._has_end and self.opened.done() and self.opened.exception() is None:
                self._store.database.ends_soon()
            self._calls.put(call)

    async def commit(self, opened: OpenTransaction) -> None:
        """Commit, and ring for what was enqueued."""
        if self.is_broken:
            error = HammerflowError(
                "the transaction was rolled back: a call inside had given up waiting for a lock"
            )
            await self.roll_back(error)
            raise error
        self.put(opened)
        await asyncio.wrap_future(self.ended)

    async def roll_back(self, error: BaseException) -> None:
        """Roll back for the error that has left the block; raises what it means, if anything else
        than itself. A database that does not answer cannot keep the caller: its connection is
        cut."""
        self._gives_up, trace = True, error.__traceback__
        is_busy = self._is_busy  # perhaps no longer, once it is interrupted
        self.opened.result().interrupted |= is_busy
        self.put(error if isinstance(error, Exception) else None)
        if is_busy:
            self.interrupt()
        if running_loop() is None:  # a coroutine without a loop is destroyed: nobody waits
            return
        if isinstance(error, GeneratorExit):
            # Python may close a generator around the block in a second task, and would find this
            # one suspended. Nobody sees uncommitted rows, so nobody needs to wait.
            self._loop.call_later(transaction.PATIENCE, self._cut_if_open)
            return
        ended = asyncio.wrap_future(self.ended)
        if not (await asyncio.wait((ended,), timeout=transaction.PATIENCE))[0]:
            self.opened.result().cut()
            return
        try:
            await ended
        except Exception as failure:
            if failure is not error:
                raise failure from error
        error.__traceback__ = trace  # without the frames of the thread

    def _cut_if_open(self) -> None:
        if not self.ended.done():
            self.opened.result().cut()

    def interrupt(self) -> None:
        """Have the statement under way fail, so that nobody waits for its lock any longer."""
        self.opened.result().interrupted = True
        threading.Thread(target=self._interrupt, name="hammerflow-interrupt", daemon=True).start()

    def _interrupt(self) -> None:  # connects, which may take long
        try:
            self._store.database.interrupt(self.opened.result())
        except Exception as error:  # noqa: BLE001 - whatever a driver raises; the lock times out
            log.debug("a statement could not be interrupted: %s", error)

    def _run(self) -> None:
        queues: set[str] = set()
        try:
            with self._store.database.transaction(loop=self._loop) as tx:
                self.opened.set_result(tx)
                queues = self._serve()
            if queues:
                self._app.notifier.ring(queues)
        except _RolledBack:
            self.ended.set_result(None)
        except BaseException as error:  # noqa: BLE001 - a border: whoever awaits it gets it
            if not self.opened.done():
                self.opened.set_exception(error)
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)
        finally:
            self._release()

    def _serve(self) -> set[str]:
        """Run calls until the end; the queues to ring after the commit."""
        while True:
            match self._next():
                case Call() as call if self._gives_up:
                    call.future.cancel()
                case Call() as call:
                    self._is_busy = True
                    call.perform()
                    self._is_busy = False
                    del call
                case OpenTransaction() as opened:
                    return opened.queues
                case None:
                    raise _RolledBack
                case error:
                    raise error

    def _next(self) -> Call | OpenTransaction | Exception | None:
        """The next call, or the end; a loop that was closed brings none, so it is added here."""
        while True:
            with contextlib.suppress(Empty):
                return self._calls.get(timeout=CHECK_SECONDS)
            if self._loop.is_closed():
                self.put(None)


class _ThreadTransaction(OpenTransaction):
    """The transaction of ``async with app.transaction()``."""

    def __init__(self, tx: Tx, thread: _TransactionThread, *, one_writer: bool) -> None:
        super().__init__(tx, one_writer=one_writer)
        self._thread = thread

    def run(self, work: Callable[[], T], *, is_bulk: bool = False) -> T:
        if self._thread.is_current:
            return work()
        call = self._put(work)
        is_patient = is_bulk or running_loop() is None  # lock waits are bounded in any case
        try:
            return call.future.result(None if is_patient else transaction.PATIENCE)  # type: ignore[no-any-return]
        except TimeoutError:
            if call.future.done():  # the call's own error
                raise
        self._thread.is_broken = True
        self._thread.interrupt()
        raise waited_too_long()

    async def run_async(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._put(work).future)

    def _put(self, work: Callable[[], Any]) -> Call:
        self.check()
        call = Call(work)
        self._thread.put(call)
        return call


class _LoopBridge:
    """Lets hammerflow's plain code, in a thread, use a connection of the event loop."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._loop = asyncio.get_running_loop()
        self._statement: Future[Any] | None = None

    def call(self, awaitable: Awaitable[Any]) -> Any:
        """Run one of the driver's coroutines on the event loop, from another thread."""

        async def run() -> Any:
            return await awaitable

        self._statement = asyncio.run_coroutine_threadsafe(run(), self._loop)
        if self.is_stopped:
            self._statement.cancel()
        return self._statement.result()

    def stop(self) -> None:
        """Cancel the statement under way, and those to come."""
        self.is_stopped = True
        if self._statement is not None:
            self._statement.cancel()


class _LoopTransaction(OpenTransaction):
    """The transaction of ``async with app.using(...)``, on the caller's async connection."""

    def __init__(self, tx: Tx, bridge: _LoopBridge) -> None:
        super().__init__(tx)
        self._bridge = bridge
        self._pool = ThreadPool(1, "hammerflow-using")
        self._lock = threading.RLock()  # its cursor serves one thread at a time

    def run(self, work: Callable[[], T], *, is_bulk: bool = False) -> T:
        self.check()
        if running_loop() is not None:
            raise HammerflowError(
                "this connection is asynchronous, so a plain call cannot use it: await the async "
                "form inside `async with app.using(...)`: adelay(), aenqueue(), aenqueue_many()"
            )
        with self._lock:
            return work()

    async def run_async(self, work: Callable[[], T]) -> T:
        self.check()
        inner = asyncio.ensure_future(self._pool.run(work))
        try:
            return await asyncio.shield(inner)
        except asyncio.CancelledError:
            self._bridge.stop()
            await asyncio.wait((inner,))  # the caller may use the connection after this
            self._bridge.is_stopped = False
            if not inner.cancelled():
                inner.exception()  # it is of no interest any more
            raise

    def execute(self, sql: str, parameters: Any) -> Any:
        return self.run(lambda: self._bridge.call(self.tx.connection.execute(sql, parameters)))

    async def execute_async(self, sql: str, parameters: Any) -> Any:
        self.check()
        return await self.tx.connection.execute(sql, parameters)
