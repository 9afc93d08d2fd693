"""Hammerflow: the app object: a registry of tasks, and how calls become jobs."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from hammerflow.canvas.options import CALL_OPTIONS
from hammerflow.canvas.signature import CallOptions, Signature, known_options
from hammerflow.canvas.spawn import SpawnContext
from hammerflow.codec.codec import Codec
from hammerflow.enqueue.job_factory import JobFactory, Parent
from hammerflow.enqueue.spool import Spool
from hammerflow.enqueue.transaction import OpenTransaction, Transaction
from hammerflow.enqueue.workflow_rows import BatchStream, WorkflowRows, rows_of
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.ids import new_id
from hammerflow.jobs.job import CHUNK, Job, JobState, NewJob, NewWorkflow
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.notifiers import open_notifier
from hammerflow.option import documented
from hammerflow.results.group import handle_of
from hammerflow.results.result import Result, Results, as_key
from hammerflow.results.workflow import BatchResult, WorkflowResult
from hammerflow.settings import SETTINGS, Settings, load_settings
from hammerflow.stores import open_store
from hammerflow.tasks.builtin import BuiltinTasks
from hammerflow.tasks.options import (
    OPTIONS,
    SPAWNER_OPTIONS,
    DeclaredOptions,
    SpawnerOptions,
    declared,
)
from hammerflow.tasks.task import AsyncTask, Decorator, Spawner, SpawnerDecorator, Task
from hammerflow.text import checked_name
from hammerflow.workflows.plan import Plan, plan_of
from hammerflow.workflows.workflow import Batch, Workflow

if TYPE_CHECKING:
    from hammerflow.notifiers import Notifier
    from hammerflow.stores.database import Tx
    from hammerflow.stores.store import Store

__all__ = ["Hammerflow", "as_key"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@documented(*SETTINGS)
class Hammerflow:
    """An app: tasks register in it, and it writes their calls as durable jobs.

    Args:
        name: the app's name; tasks of ``__main__`` are called ``name.function``.
        database: URL: ``sqlite:///file.db``, ``postgresql://...``, ``mysql://...``; else
            ``$HAMMERFLOW_DATABASE_URL``, else ``sqlite:///hammerflow.db``.
        redis: URL of the doorbell; else ``$HAMMERFLOW_REDIS_URL``, else none.
        settings: other fields of :class:`hammerflow.settings.Settings`.

    Nothing is connected before the first job.
    """

    def __init__(
        self, name: str, *, database: str | None = None, redis: str | None = None, **settings: Any
    ) -> None:
        self.name = name
        given = {"database": database, "redis": redis, **settings}
        self.settings: Settings = load_settings(
            name,
            {key: value for key, value in given.items() if value is not None},
            os.environ,
            Path("hammerflow.toml"),
        )
        self.codec = Codec(serializer=self.settings.serializer, max_bytes=self.settings.max_payload)
        self.tasks: dict[str, Task[..., Any]] = {}
        self.spawn_handlers: dict[str, Callable[[SpawnContext], Iterable[Any]]] = {}
        self._calls = JobFactory(self.tasks, self.codec)
        self._opening = threading.Lock()
        self._store: Store | None = None
        self._notifier: Notifier | None = None
        self._open: ContextVar[OpenTransaction | None] = ContextVar("open", default=None)
        for task_name, fn in BuiltinTasks(self.tasks).by_name().items():
            self._register(fn, Task, {"name": task_name})

    def __repr__(self) -> str:
        return f"<Hammerflow {self.name} on {self.settings.database_label}>"

    # -- what it owns -----------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The store, its schema checked (an embedded database is migrated) at the first use."""
        with self._opening:
            if self._store is None:
                store = open_store(self.settings)
                if store.dialect == "sqlite" and store.schema.pending():
                    store.schema.migrate()
                store.schema.check()
                store.names.on_new_queues = self._ring_control
                self._store = store
            return self._store

    @property
    def notifier(self) -> Notifier:
        """The doorbell."""
        store = self.store
        with self._opening:
            if self._notifier is None:
                self._notifier = open_notifier(
                    self.settings, connect=lambda: store.database.dialect.connect().connection
                )
            return self._notifier

    @property
    def poll(self) -> float:
        """Seconds between two looks at the database where no ring comes."""
        return self.settings.poll

    def migrate(self) -> list[str]:
        """Bring the database's schema up to date; the names of the migrations applied."""
        store = open_store(self.settings)
        try:
            return [step.name for step in store.schema.migrate()]
        finally:
            store.close()

    def close(self) -> None:
        """Close connections and the doorbell; the app can be used again."""
        if self._notifier is not None:
            self._notifier.close()
        if self._store is not None:
            self._store.close()
        self._notifier = self._store = None

    # -- registry ---------------------------------------------------------------------------------

    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, **options: Unpack[DeclaredOptions]) -> Decorator: ...
    @documented(*OPTIONS)
    def task(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Register a function: ``@app.task`` or ``@app.task(queue="mail", max_attempts=5)``."""
        if fn is not None:
            return self._register(fn, Task, options)
        return lambda fn: self._register(fn, Task, options)

    @overload
    def spawner(self, fn: Callable[P, Iterator[Signature]], /) -> Spawner[P, Any]: ...
    @overload
    def spawner(self, fn: Callable[P, R], /) -> Spawner[P, R]: ...
    @overload
    def spawner(self, /, **options: Unpack[SpawnerOptions]) -> SpawnerDecorator: ...
    @documented(*OPTIONS, *SPAWNER_OPTIONS)
    def spawner(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Register a generator function that yields signatures: the children of its job."""
        if fn is not None:
            return self._register(fn, Spawner, options)
        return lambda fn: self._register(fn, Spawner, options)

    @documented(*CALL_OPTIONS)
    def signature(
        self, task: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None,
        *, immutable: bool = False, **options: Unpack[CallOptions],
    ) -> Signature:  # fmt: skip
        """A call of a task by its name, which need not be registered in this process."""
        known_options(options, "signature()")
        return Signature(task, tuple(args), kwargs, options, immutable, self.enqueue)

    def spawn_handler(self, name: str) -> Callable[[F], F]:
        """Register a function that gives the children of any job whose spawn configuration names
        it: ``@app.spawn_handler("data_processor")``.

        It gets a SpawnContext once the job's body has returned, and returns or yields signatures.

        Raises:
            ConfigError: the name is taken.
        """
        checked_name(name, "a spawn handler's name")

        def register(fn: F) -> F:
            known = self.spawn_handlers.get(name)
            if known is not None and _path(known) != _path(fn):
                raise ConfigError(f"two functions want the spawn handler name {name!r}")
            self.spawn_handlers[name] = fn
            return fn

        return register

    def workflow(self, name: str, **facts: Any) -> Workflow:
        """A Workflow that knows this app; see :class:`hammerflow.Workflow`."""
        return Workflow(name, submit=self.enqueue, **facts)

    def batch(
        self, signatures: Iterable[Signature], *, on_failure: str = "continue",
        then: Signature | None = None, name: str = "batch",
    ) -> Batch:  # fmt: skip
        """Many calls as one thing, up to millions; ``enqueue()`` it, or add it to a workflow.

        Args:
            on_failure: ``continue``, ``fail_fast`` or ``collect``; see
                :class:`hammerflow.workflows.workflow.Batch`.
            then: runs after all of them with the list of their results.
        """
        return Batch(signatures, on_failure=on_failure, then=then, name=name, submit=self.enqueue)

    def _register(
        self, fn: Callable[..., Any], kind: type[Task[..., Any]], given: dict[str, Any]
    ) -> Task[..., Any]:
        given = dict(given)
        module = self.name if fn.__module__ == "__main__" else fn.__module__
        name = checked_name(given.pop("name", None) or f"{module}.{fn.__name__}", "a task's name")
        if name in self.tasks and _path(self.tasks[name].fn) != _path(fn):
            raise ConfigError(
                f"two functions want the task name {name!r}: give one of them name='...'"
            )
        options = declared(fn, given, is_spawner=kind is Spawner)
        if options.is_async and kind is Task:
            kind = AsyncTask
        task = kind(
            fn,
            name=name,
            options=options,
            enqueue=self._call,
            submit=self.enqueue,
            in_thread=self.in_thread,
        )
        self.tasks[name] = task
        return task

    # -- enqueue ----------------------------------------------------------------------------------

    @overload
    def enqueue(self, work: Signature) -> Result[Any]: ...
    @overload
    def enqueue(self, work: Batch) -> BatchResult: ...
    @overload
    def enqueue(self, work: Workflow) -> WorkflowResult: ...
    @overload
    def enqueue(self, work: Any) -> Any: ...
    def enqueue(self, work: Any) -> Any:
        """Write one signature, canvas, workflow or batch, in one transaction.

        Returns:
            Result, GroupResult (of a group), WorkflowResult or BatchResult.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded.
            WorkflowInvalid: a cycle, an unknown name or task: nothing was written.
        """
        if type(work) is Signature and not (work.links or work.errbacks or work.after):
            return self._insert(self.new_job(work), check_ids="job_id" in work.options)
        if isinstance(work, Batch):
            return self._enqueue_batch(work)
        plan = plan_of(work, new_id)
        rows = self.new_rows(plan)
        if not rows.workflows:
            return self._insert(rows.jobs[0], check_ids="job_id" in work.options)
        for given in plan.given_ids():
            if self.store.jobs.exists(given.bytes):
                raise WorkflowInvalid(f"there is a job with the id {given} already")
        jobs = rows.jobs
        self._insert_workflows(
            rows.workflows, lambda: (jobs[i : i + CHUNK] for i in range(0, len(jobs), CHUNK))
        )
        return handle_of(plan.out, plan.flows[0], self)

    def _enqueue_batch(self, batch: Batch) -> BatchResult:
        stream = BatchStream(
            batch, self._calls, new_id(), new_id() if batch.then is not None else None
        )
        with contextlib.closing(Spool(CHUNK)) as spool:
            for chunk in stream.chunks(CHUNK):
                for job in chunk:
                    spool.add(job)
            pending = 1 if batch.then is not None else stream.count
            workflow = stream.workflow._replace(pending=pending)
            self._insert_workflows([workflow], spool.chunks)
        return BatchResult(workflow.id, self)

    def _insert_workflows(
        self,
        workflows: Sequence[NewWorkflow],
        chunks: Callable[[], Iterable[Sequence[NewJob]]],
    ) -> None:
        opened = self._open.get()
        if opened is not None:
            opened.queues.update(self.store.workflows.insert(workflows, chunks, opened.tx))
            return
        queues = self.store.workflows.insert(workflows, chunks)
        if queues:
            self.notifier.ring(queues)

    def enqueue_many(self, signatures: Iterable[Signature]) -> Results:
        """Write any number of calls, 5 000 in a statement and transaction (or all in the open
        one), fed from a generator at flat memory.

        Raises:
            TypeError: as :meth:`enqueue`; the chunks before stay.
        """
        results = Results(self)
        if isinstance(signatures, Signature):
            raise TypeError("enqueue_many() takes many signatures; for one there is enqueue()")
        iterator = iter(signatures)
        while chunk := list(itertools.islice(iterator, CHUNK)):
            if any(s.links or s.errbacks or s.after for s in chunk if isinstance(s, Signature)):
                with self.transaction():
                    results.extend([self.enqueue(signature).id.bytes for signature in chunk])
                continue
            jobs = [self.new_job(signature) for signature in chunk]
            check = any("job_id" in signature.options for signature in chunk)
            results.extend(self._insert_all(jobs, check_ids=check))
        return results

    def _call(
        self, task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any],
        options: CallOptions,
    ) -> Result[Any]:  # fmt: skip
        task.check(*args, **kwargs)
        job = self._calls.make(task, task.name, args, kwargs, options)
        if options or self._open.get() is not None:
            return self._insert(job, check_ids="job_id" in options)
        (self._store or self.store).jobs.insert_one(job)
        (self._notifier or self.notifier).ring((job.queue,))
        return Result(job.id, self)

    def _insert(self, job: NewJob, *, check_ids: bool) -> Result[Any]:
        return Result(self._insert_all([job], check_ids=check_ids)[0], self)

    def _insert_all(self, jobs: Sequence[NewJob], *, check_ids: bool) -> list[bytes]:
        opened = self._open.get()
        if opened is not None:
            inserted = self.store.jobs.insert(jobs, opened.tx, check_ids=check_ids)
            opened.queues.update(inserted.queues)
            return inserted.ids
        inserted = self.store.jobs.insert(jobs, check_ids=check_ids)
        if inserted.queues:
            self.notifier.ring(inserted.queues)
        return inserted.ids

    def new_job(self, signature: Signature, **place: Any) -> NewJob:
        """The row that a signature becomes; see :meth:`JobFactory.from_signature`."""
        return self._calls.from_signature(signature, **place)

    def new_rows(self, plan: Plan, *, parent: Parent | None = None) -> WorkflowRows:
        """The rows of a plan; see :func:`hammerflow.enqueue.workflow_rows.rows_of`."""
        return rows_of(plan, self._calls, parent=parent)

    def as_child(
        self, job: NewJob, signature: Signature, parent: Parent, *, spawn_index: int
    ) -> NewJob:
        """A planned row with what it inherits of the job that spawns it."""
        return self._calls.as_child(
            job, signature, parent, spawn_index=spawn_index, dependent_id=job.dependent_id
        )

    # -- transactions -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Everything enqueued inside, and the transaction's own SQL, commit together or not at
        all. Inside another one of the same app it joins that one."""
        opened = self._open.get()
        if opened is not None:
            yield opened.handle
            return
        with self.store.transaction() as tx, self._opened(tx) as opened:
            yield opened.handle
        self._ring(opened)

    @contextlib.contextmanager
    def using(self, connection: Any) -> Iterator[Transaction]:
        """Enqueue in the caller's own transaction; the caller commits.

        Args:
            connection: psycopg, PyMySQL or sqlite3 connection, SQLAlchemy Connection or Session,
                or Django connection, on the app's database, with a transaction open (or one that
                its driver opens at the first statement).

        Workers hear of the jobs at the end of the block; if the commit comes later, they find
        them within the poll interval.

        Raises:
            ConfigError: a connection of another driver, or in autocommit mode.
        """
        with self._opened(self.store.foreign(connection)) as opened:
            yield opened.handle
        self._ring(opened)

    @contextlib.contextmanager
    def joining(self, tx: Tx) -> Iterator[set[str]]:
        """Enqueue in a transaction that the worker has opened for a task's body; the queues to
        ring once it is committed."""
        with self._opened(tx) as opened:
            yield opened.queues

    @contextlib.contextmanager
    def _opened(self, tx: Tx) -> Iterator[OpenTransaction]:
        opened = OpenTransaction(tx, Transaction(tx.connection), set())
        token = self._open.set(opened)
        try:
            yield opened
        finally:
            self._open.reset(token)

    def _ring_control(self) -> None:
        """Workers that serve every queue look for new names."""
        self.notifier.ring_control()

    def _ring(self, opened: OpenTransaction) -> None:
        if opened.queues:
            self.notifier.ring(opened.queues)

    # -- jobs -------------------------------------------------------------------------------------

    def result(self, job_id: uuid.UUID | str) -> Result[Any]:
        """A handle on a job by its id; whether it exists shows when it is used."""
        return Result(as_key(job_id), self)

    def job(self, job_id: uuid.UUID | str) -> Job:
        """A job as it stands, with its error history.

        Raises:
            JobNotFound: there is none.
        """
        return self.result(job_id).job()

    def jobs(
        self,
        *,
        state: JobState | str | None = None,
        queue: str | None = None,
        task: str | None = None,
        limit: int = 100,
        before: uuid.UUID | str | None = None,
    ) -> list[Job]:
        """Jobs, newest first.

        Args:
            task: a task's name.
            limit: how many at most.
            before: only jobs older than this id (the last one of the page before).
        """
        found = self.store.jobs.list(
            state=None if state is None else JobState(state),
            queue=queue,
            task=task,
            limit=limit,
            before=None if before is None else as_key(before),
        )
        return list(found)

    def workflow_result(self, workflow_id: uuid.UUID | str) -> WorkflowResult:
        """A handle on a workflow or batch by its id.

        Raises:
            JobNotFound: there is none.
        """
        result = WorkflowResult(as_key(workflow_id), self)
        return BatchResult(as_key(workflow_id), self) if result.row().kind == "batch" else result

    def workflows(
        self,
        *,
        status: WorkflowStatus | str | None = None,
        limit: int = 100,
        before: uuid.UUID | str | None = None,
    ) -> list[WorkflowResult]:
        """Workflows, batches and canvases, newest first."""
        rows = self.store.workflows.list(
            status=None if status is None else WorkflowStatus(status),
            limit=limit,
            before=None if before is None else as_key(before),
        )
        return [WorkflowResult(row.id, self) for row in rows]

    async def in_thread(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run blocking work beside the event loop; inside a transaction, whose connection belongs
        to this thread, at once."""
        if self._open.get() is not None:
            return work(*args, **kwargs)
        import asyncio

        return await asyncio.to_thread(work, *args, **kwargs)


def _path(fn: Callable[..., Any]) -> tuple[str, str]:
    """Where a function was defined: a module that is imported anew defines it again."""
    return fn.__module__, fn.__qualname__
