"""Enqueuer: writes calls, canvases, workflows and batches, each in one transaction."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from hammerflow.canvas.options import CallOptions
from hammerflow.canvas.signature import Signature
from hammerflow.enqueue.job_factory import JobFactory, one_signature
from hammerflow.enqueue.spool import Spool
from hammerflow.enqueue.transaction import (
    Around,
    OpenTransaction,
    Transaction,
    TransactionBlock,
    entered,
)
from hammerflow.enqueue.workflow_rows import BatchStream, rows_of
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.ids import new_id
from hammerflow.introspection.kinds import is_a
from hammerflow.jobs.job import CHUNK, NewJob, NewWorkflow
from hammerflow.options.checks import items_of
from hammerflow.results.group import handle_of
from hammerflow.results.result import Result, Results
from hammerflow.results.waiting import ResultBackend
from hammerflow.results.workflow import BatchResult
from hammerflow.stores.connections.error_codes import ErrorKind
from hammerflow.stores.jobs import Inserted
from hammerflow.tasks.task import Task
from hammerflow.telemetry.watchers import Watcher, sent
from hammerflow.text import placed
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.plan import plan_of

if TYPE_CHECKING:
    from hammerflow.enqueue.async_transaction import AsyncTransactions
    from hammerflow.stores.database import Tx

__all__ = ["Enqueuer"]

T = TypeVar("T")


class Enqueuer:
    """Writes work in the transaction that is open in this context, or in one of its own.

    Queues are rung after the commit: at once without an open transaction, else at its end.

    Attributes:
        open: the open transaction of this thread or asyncio task.
    """

    def __init__(
        self, app: ResultBackend, factory: JobFactory, watchers: Collection[Watcher]
    ) -> None:
        self._app = app
        self._factory = factory
        self._watchers = watchers
        self.open: ContextVar[OpenTransaction | None] = ContextVar("open", default=None)

    def current(self) -> OpenTransaction | None:
        """The open transaction, unless it is hidden: that of an async generator iterated over.

        Raises:
            HammerflowError: the consumer of the generator would wait for it.
        """
        opened = self.open.get()
        if opened is None or not opened.is_hidden:
            return opened
        if opened.is_over:
            self.open.set(None)  # the generator was left, so nothing else takes it out
        opened.check_consumer()
        return None

    def call(
        self, task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any],
        options: CallOptions,
    ) -> Result[Any]:  # fmt: skip
        """Write one call of a task with options; :meth:`Task.delay` is the short way without."""
        task.check(*args, **kwargs)
        job = self._factory.make(task, task.name, args, kwargs, options)
        return self._insert_one(job, options)

    def enqueue(self, work: Any) -> Any:
        """Write a signature, canvas, workflow or batch; see :meth:`Hammerflow.enqueue`."""
        if type(work) is Signature and not (work.links or work.errbacks or work.after):
            return self._insert_one(self._factory.from_signature(work), work.options)
        if is_a(work, Batch):
            return self._batch(work)
        plan = plan_of(work, new_id)
        workflows, jobs = rows_of(plan, self._factory)
        if not workflows:
            return self._insert_one(jobs[0], work.options)
        for given in plan.given_ids():
            if self._app.store.jobs.exists(given.bytes):
                raise WorkflowInvalid(f"a job with the id {given} exists already; give another one")
        self._insert_workflows(
            workflows, lambda: (jobs[i : i + CHUNK] for i in range(0, len(jobs), CHUNK))
        )
        return handle_of(plan.output, plan.workflows[0], self._app)

    def enqueue_many(self, signatures: Iterable[Signature]) -> Results:
        """Write any number of calls in chunks; see :meth:`Hammerflow.enqueue_many`."""
        if is_a(signatures, Signature):
            raise TypeError("enqueue_many() takes an iterable of signatures; use enqueue() for one")
        results = Results(self._app)
        wanted = "enqueue_many() takes an iterable of signatures (task.s(...))"
        iterator = iter(items_of(signatures, wanted))
        while chunk := list(itertools.islice(iterator, CHUNK)):
            if any(s.links or s.errbacks or s.after for s in chunk if is_a(s, Signature)):
                with self.transaction():
                    linked = self._each(lambda s: self.enqueue(one_signature(s)), chunk, results)
                results.extend([result.id.bytes for result in linked])
                continue
            jobs = self._each(self._factory.from_signature, chunk, results)
            check_ids = any("job_id" in signature.options for signature in chunk)
            inserted = self._insert(jobs, check_ids=check_ids)
            old = () if len(inserted.new) == len(jobs) else _old(jobs, inserted)
            results.extend(inserted.ids, old)
        return results

    @staticmethod
    def _each(make: Callable[[Any], T], chunk: list[Signature], before: Sequence[Any]) -> list[T]:
        """What a function makes of each signature; its error says which one is at fault."""
        made: list[T] = []
        for signature in chunk:
            try:
                made.append(make(signature))
            except (TypeError, ConfigError, WorkflowInvalid) as error:
                place = f"signatures[{len(before) + len(made)}]"
                raise placed(error, place) from error.__cause__
        return made

    def _batch(self, batch: Batch) -> BatchResult:
        then_id = None if batch.then is None else new_id()
        stream = BatchStream(batch, self._factory, new_id(), then_id)
        with contextlib.closing(Spool(CHUNK)) as spool:
            for job in stream.rows():
                spool.add(job)
            pending = stream.count if batch.then is None else 1
            workflow = stream.workflow._replace(pending=pending)
            self._insert_workflows([workflow], spool.chunks)
        return BatchResult(workflow.id, self._app)

    def _insert_one(self, job: NewJob, options: CallOptions) -> Result[Any]:
        inserted = self._insert([job], check_ids="job_id" in options, refuse=True)
        return Result(inserted.ids[0], self._app, bool(inserted.new))

    def _insert(self, jobs: Sequence[NewJob], *, check_ids: bool, refuse: bool = False) -> Inserted:
        if not self._watchers or not jobs:
            return self._write(jobs, check_ids=check_ids, refuse=refuse)
        with sent(self._watchers, jobs[0], len(jobs)) as stamp:
            return self._write(list(map(stamp, jobs)), check_ids=check_ids, refuse=refuse)

    def _write(self, jobs: Sequence[NewJob], *, check_ids: bool, refuse: bool) -> Inserted:
        insert, opened = self._app.store.jobs.insert, self.current()
        if opened is None:
            inserted = insert(jobs, None, check_ids=check_ids, refuse=refuse)
        else:
            inserted = opened.run(
                partial(insert, jobs, opened.tx, check_ids=check_ids, refuse=refuse)
            )
        self._ring(inserted.queues, opened)
        return inserted

    def _insert_workflows(
        self, workflows: Sequence[NewWorkflow], chunks: Callable[[], Iterable[Sequence[NewJob]]]
    ) -> None:
        first = next(iter(chunks()), None) if self._watchers else None
        if not first:
            self._write_workflows(workflows, chunks)
            return
        with sent(self._watchers, first[0], None) as stamp:
            self._write_workflows(workflows, lambda: (list(map(stamp, c)) for c in chunks()))

    def _write_workflows(
        self, workflows: Sequence[NewWorkflow], chunks: Callable[[], Iterable[Sequence[NewJob]]]
    ) -> None:
        insert, opened = self._app.store.workflows.insert, self.current()
        try:
            if opened is None:
                queues = insert(workflows, chunks, None)
            else:
                queues = opened.run(partial(insert, workflows, chunks, opened.tx), is_bulk=True)
        except Exception as error:
            if self._app.store.database.kind_of(error) is not ErrorKind.DUPLICATE:
                raise
            raise WorkflowInvalid(
                "two of its calls have one job_id or unique_key, or another job has it: give each "
                "call its own"
            ) from error
        self._ring(queues, opened)

    def _ring(self, queues: set[str], opened: OpenTransaction | None) -> None:
        if opened is not None:
            opened.queues.update(queues)
        elif queues:
            self._app.notifier.ring(queues)

    async def in_thread(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a call that enqueues without blocking the event loop: in the open transaction, else
        in a thread."""
        opened, call = self.current(), partial(work, *args, **kwargs)
        if opened is not None:
            return await opened.run_async(call)
        return await self._app.async_calls.write(partial(self._alone, call))

    def _alone(self, call: Callable[[], T]) -> T:
        """Run a call in a context of its own, outside the transaction that is hidden there."""
        self.open.set(None)
        return call()

    def block(self) -> TransactionBlock:
        """A transaction for ``with`` and ``async with``; see :meth:`Hammerflow.transaction`."""
        return TransactionBlock(
            self.transaction,
            lambda around: self._coroutines.transaction(around),  # noqa: PLW0108 - imports asyncio
            blocks_loops=True,
        )

    def using_block(self, connection: Any) -> TransactionBlock:
        """The caller's transaction for both, too; see :meth:`Hammerflow.using`."""
        return TransactionBlock(
            partial(self.using, connection),
            lambda around: self._coroutines.using(connection, around),
            blocks_loops=False,
        )

    @cached_property
    def _coroutines(self) -> AsyncTransactions:
        """The transactions of coroutines."""
        from hammerflow.enqueue.async_transaction import AsyncTransactions  # imports asyncio

        return AsyncTransactions(self._app, self.open, self.current)

    @contextlib.contextmanager
    def transaction(self, around: Around = ()) -> Iterator[Transaction]:
        """Open a transaction, or join the open one; see :meth:`Hammerflow.transaction`."""
        opened = self.current()
        if opened is not None and not opened.is_over:
            yield Transaction(opened)
            return
        with self._app.store.transaction() as tx, self._opened(tx, around) as opened:
            yield Transaction(opened)
        self._ring(opened.queues, None)

    @contextlib.contextmanager
    def using(self, connection: Any, around: Around = ()) -> Iterator[Transaction]:
        """Enqueue in the caller's own transaction; see :meth:`Hammerflow.using`."""
        with self._opened(self._app.store.foreign(connection), around) as opened:
            yield Transaction(opened)
        self._ring(opened.queues, None)

    @contextlib.contextmanager
    def joining(self, tx: Tx) -> Iterator[set[str]]:
        """Enqueue in ``tx`` inside the block; the queues to ring, by whoever commits it."""
        with self._opened(tx) as opened:
            yield opened.queues

    @contextlib.contextmanager
    def _opened(self, tx: Tx, around: Around = ()) -> Iterator[OpenTransaction]:
        database = self._app.store.database
        if tx.foreign:
            opened = OpenTransaction(tx, interrupt=partial(database.interrupt, tx))
        else:
            opened = OpenTransaction(tx, one_writer=database.dialect.one_writer)
        with entered(self.open, opened, around):
            yield opened


def _old(jobs: Sequence[NewJob], inserted: Inserted) -> Iterator[int]:
    """The places of the calls that have written no job; of two with one id the second."""
    left = set(inserted.new)
    for place, job in enumerate(jobs):
        if job.id in left:
            left.discard(job.id)
        else:
            yield place
