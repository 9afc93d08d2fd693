"""Transaction: the open transaction of an app, and the queues to ring after its commit."""

from __future__ import annotations

import gc
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    _AsyncGeneratorContextManager,
    contextmanager,
    suppress,
)
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hammerflow.errors import HammerflowError
from hammerflow.stores.connections.pool import running_loop

if TYPE_CHECKING:
    from hammerflow.enqueue.async_transaction import AsyncTransaction
    from hammerflow.stores.database import Tx

__all__ = [
    "Around",
    "OpenTransaction",
    "Transaction",
    "TransactionBlock",
    "entered",
    "waited_too_long",
]

T = TypeVar("T")
Around = Sequence["AsyncGeneratorAround"]

#: The code that enters what ``@asynccontextmanager`` makes of an async generator.
_MANAGER_ENTERS: Final = _AsyncGeneratorContextManager.__aenter__.__code__

#: Seconds for which a plain call, such as delay(), may block an event loop inside a block.
PATIENCE = 5.0


class OpenTransaction:
    """What is open in this thread or asyncio task, and those that it has started.

    Args:
        one_writer: nobody else can write before it has ended.
        interrupt: has the statement under way fail, from another thread; None where none can block
            an event loop.

    Attributes:
        tx: the statements of hammerflow.
        queues: are rung after the commit.
        is_over: the block has ended; whoever has inherited it can no longer write in it.
        generators: the async generators that its block is in.
    """

    def __init__(
        self, tx: Tx, *, one_writer: bool = False, interrupt: Callable[[], None] | None = None
    ) -> None:
        self.tx = tx
        self.queues: set[str] = set()
        self.is_over = False
        self.generators: Around = ()
        self._one_writer = one_writer
        self._interrupt = interrupt

    @property
    def keeps_others_from_writing(self) -> bool:
        """Whether no other transaction can write before this one has ended."""
        return self._one_writer and not self.is_over

    @property
    def is_hidden(self) -> bool:
        """Whether it is that of an async generator whose consumer asks: what a generator sets in
        its context stays there between two of its items, and after it was left."""
        return any(around.is_left or around.is_between_items for around in self.generators)

    def check_consumer(self) -> None:
        """Raise HammerflowError where it is hidden from a consumer that it keeps from writing."""
        if self.keeps_others_from_writing and any(g.is_between_items for g in self.generators):
            raise HammerflowError(
                "this call would wait forever: the async generator that this loop reads holds a "
                "transaction open, and SQLite allows one writer; enqueue in the generator or after "
                "the loop"
            )

    def check(self) -> None:
        """Raise HammerflowError once the block has ended."""
        if self.is_over:
            raise HammerflowError(
                "this call belongs to a transaction that has ended: a task or thread that was "
                "started inside its block enqueues after the block; await it inside, or start it "
                "outside"
            )

    def run(self, work: Callable[[], T], *, is_bulk: bool = False) -> T:
        """Run what uses the connection, where that may be used.

        Args:
            is_bulk: it may take long without waiting for anybody.
        """
        self.check()
        if is_bulk or self._interrupt is None or running_loop() is None:
            return work()
        with _patience(self._interrupt):
            return work()

    async def run_async(self, work: Callable[[], T]) -> T:
        """:meth:`run` for a coroutine."""
        return self.run(work)

    def execute(self, sql: str, parameters: Any) -> Any:
        """Run the user's own SQL; the driver's cursor."""
        return self.run(lambda: _executed(self.tx.lend(), sql, parameters))

    async def execute_async(self, sql: str, parameters: Any) -> Any:
        """:meth:`execute` for a coroutine."""
        return await self.run_async(lambda: _executed(self.tx.lend(), sql, parameters))


class AsyncGeneratorAround:
    """An async generator that has opened a transaction.

    Args:
        is_manager: ``@asynccontextmanager`` runs it: its transaction is for who uses it.
    """

    def __init__(self, generator: Any, *, is_manager: bool) -> None:
        self._generator = weakref.ref(generator)
        self._is_manager = is_manager
        self._task = sys.modules["asyncio"].current_task()  # an event loop has called this

    @property
    def is_left(self) -> bool:
        """Whether nothing refers to it any more: an event loop closes it soon."""
        return self._generator() is None

    @property
    def is_between_items(self) -> bool:
        """Whether it is suspended while the loop over it goes on: whoever asks comes from that
        loop, in whatever task or thread."""
        generator = self._generator()
        is_at_work = generator is None or generator.ag_running or self._is_manager
        return not is_at_work and not self._task.done()


def _generators_around(frame: FrameType | None) -> list[AsyncGeneratorAround]:
    """The async generators that a frame and those that await it belong to.

    A frame does not know its generator; event loops keep theirs, to close them at their end: that
    of asyncio in an attribute, those in C only in what they refer to.
    """
    found: list[AsyncGeneratorAround] = []
    while frame is not None and frame.f_code.co_flags & inspect.CO_ASYNC_GENERATOR:
        loop = running_loop()
        kept = getattr(loop, "_asyncgens", None)
        sets = [kept] if kept is not None else gc.get_referents(loop)
        known = [
            generator
            for found_in in sets
            if isinstance(found_in, weakref.WeakSet)
            for generator in found_in
            if getattr(generator, "ag_frame", None) is frame
        ]
        frame = frame.f_back
        is_manager = frame is not None and frame.f_code is _MANAGER_ENTERS
        found += [AsyncGeneratorAround(generator, is_manager=is_manager) for generator in known]
        if is_manager and frame is not None:
            frame = frame.f_back
    return found


@contextmanager
def _patience(interrupt: Callable[[], None]) -> Iterator[None]:
    """Let a statement block the event loop for :data:`PATIENCE`, but not without limit: who holds
    the lock may be a coroutine of the same loop, which cannot go on meanwhile."""
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        interrupt()

    timer = threading.Timer(PATIENCE, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if is_over.is_set():
            raise waited_too_long() from error
        raise
    finally:
        timer.cancel()


def waited_too_long() -> HammerflowError:
    """The error of a plain call that has blocked the event loop for :data:`PATIENCE`."""
    return HammerflowError(
        f"a call inside this transaction waited {PATIENCE:g} s for a lock of the database, and "
        "kept the event loop waiting: write `async with` for the block and use the async form of "
        "the call, such as adelay(), or run the function by asyncio.to_thread()"
    )


def _executed(connection: Any, sql: str, parameters: Any) -> Any:
    cursor = connection.cursor()
    cursor.execute(sql, parameters)
    return cursor


class Transaction:
    """The open transaction of an app, from ``app.transaction()`` or ``app.using(...)``."""

    __slots__ = ("_opened",)

    def __init__(self, opened: OpenTransaction) -> None:
        self._opened = opened

    @property
    def connection(self) -> Any:
        """The driver's connection (psycopg, PyMySQL or sqlite3); do not commit on it."""
        return self._opened.tx.lend()

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run your own SQL inside the transaction and return the driver's cursor.

        Args:
            sql: one statement, with placeholders in the driver's style.
            parameters: a sequence or mapping, as the driver takes it.

        Raises:
            HammerflowError: the block has ended.
        """
        return self._opened.execute(sql, parameters)


@contextmanager
def entered(
    variable: ContextVar[OpenTransaction | None], opened: OpenTransaction, around: Around
) -> Iterator[None]:
    """Keep the transaction in the context for its block.

    Raises:
        HammerflowError: it was entered in another context, so the block is rolled back; not in
            place of an error that leaves the block already.
    """
    opened.generators = around
    token = variable.set(opened)
    try:
        yield
    except BaseException:
        opened.is_over = True
        with suppress(ValueError):
            variable.reset(token)
        raise
    opened.is_over = True
    try:
        variable.reset(token)
    except ValueError:
        raise HammerflowError(
            "this block was entered in another thread or asyncio task than it is left in, so the "
            "calls between may not have seen its transaction, which was rolled back; enter and "
            "leave it in the same one"
        ) from None


class TransactionBlock:
    """What ``app.transaction()`` and ``app.using(...)`` return: a block for ``with`` in plain code
    and for ``async with`` in coroutines.

    Args:
        plain: opens it for ``with``; takes the async generators around the block.
        coroutine: opens it for ``async with``.
        blocks_loops: entering or leaving the plain form may wait for locks.
    """

    def __init__(
        self, plain: Callable[[Around], AbstractContextManager[Transaction]],
        coroutine: Callable[[Around], AbstractAsyncContextManager[AsyncTransaction]],
        *, blocks_loops: bool,
    ) -> None:  # fmt: skip
        self._plain = plain
        self._coroutine = coroutine
        self._blocks_loops = blocks_loops
        self._entered: Any = None

    def __enter__(self) -> Transaction:
        if self._blocks_loops and running_loop() is not None:
            raise HammerflowError(
                "`with app.transaction()` would stop the event loop that runs here: write "
                "`async with app.transaction()`, or run the function by asyncio.to_thread()"
            )
        self._entered = self._plain(_generators_around(sys._getframe(1)))
        return self._entered.__enter__()  # type: ignore[no-any-return]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._entered.__exit__(kind, error, traceback)

    async def __aenter__(self) -> AsyncTransaction:
        self._entered = self._coroutine(_generators_around(sys._getframe(1)))
        return await self._entered.__aenter__()  # type: ignore[no-any-return]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._entered.__aexit__(kind, error, traceback)
