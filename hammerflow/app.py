"""Hammerflow: the app object: a registry of tasks, and how calls become jobs."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypedDict, TypeVar, Unpack, overload

from hammerflow.calls import Calls, Parent, checked_name, checked_priority
from hammerflow.codec import Codec
from hammerflow.errors import ConfigError, JobNotFound
from hammerflow.job import Job, JobState, NewJob
from hammerflow.notifiers import Notifier, open_notifier
from hammerflow.result import Result, Results
from hammerflow.retry import Backoff
from hammerflow.settings import Settings, load_settings
from hammerflow.signature import CallOptions, Signature, known_options, seconds
from hammerflow.spawn import SpawnConfig, SpawnHook
from hammerflow.stores import open_store
from hammerflow.stores.database import Tx
from hammerflow.stores.jobs import CHUNK
from hammerflow.stores.store import Store
from hammerflow.task import AsyncTask, Spawner, Task, TaskOptions

__all__ = ["Hammerflow", "Transaction", "as_key"]

P = ParamSpec("P")
R = TypeVar("R")


class DeclaredOptions(TypedDict, total=False):
    """What ``@app.task(...)`` takes. Durations: seconds or timedelta."""

    name: str
    queue: str
    priority: int
    max_attempts: int
    backoff: Backoff
    retry_on: type[BaseException] | tuple[type[BaseException], ...]
    no_retry_on: type[BaseException] | tuple[type[BaseException], ...]
    timeout: float | timedelta
    soft_timeout: float | timedelta
    expires: float | timedelta
    store_result: bool
    result_ttl: float | timedelta
    serializer: str
    in_transaction: bool


class SpawnerOptions(DeclaredOptions, total=False):
    """What ``@app.spawner(...)`` takes besides: the fields of SpawnConfig, a fan-in, hooks."""

    then: Signature
    validate: SpawnHook
    on_spawn_complete: SpawnHook
    handler: str
    max_spawn_count: int
    max_depth: int
    inherit_priority: bool
    inherit_queue: bool
    inherit_timeout: bool
    inherit_retry: bool
    inherit_trace: bool
    spawn_delay: float | timedelta
    batch_size: int
    operation_id: str
    metadata: Mapping[str, Any]


class Transaction:
    """An open transaction of the app's database; jobs enqueued inside commit with it.

    Attributes:
        connection: the driver's own connection (psycopg, PyMySQL or sqlite3); do not commit it.
    """

    __slots__ = ("connection",)

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run the caller's own SQL in the driver's parameter style; the driver's cursor."""
        cursor = self.connection.cursor()
        cursor.execute(sql, parameters)
        return cursor


class _Open(NamedTuple):
    """The transaction that is open in this context, and the queues to ring after it."""

    tx: Tx
    handle: Transaction
    queues: set[str]


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
        self._calls = Calls(self.tasks, self.codec)
        self._opening = threading.Lock()
        self._store: Store | None = None
        self._notifier: Notifier | None = None
        self._open: ContextVar[_Open | None] = ContextVar("open", default=None)

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
    def task(self, /, **options: Unpack[DeclaredOptions]) -> _Decorator: ...
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
    def spawner(self, /, **options: Unpack[SpawnerOptions]) -> _SpawnerDecorator: ...
    def spawner(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Register a generator function that yields signatures: the children of its job."""
        if fn is not None:
            return self._register(fn, Spawner, options)
        return lambda fn: self._register(fn, Spawner, options)

    def signature(
        self, task: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None,
        *, immutable: bool = False, **options: Unpack[CallOptions],
    ) -> Signature:  # fmt: skip
        """A call of a task by its name, which need not be registered in this process."""
        known_options(options, "signature()")
        return Signature(task, tuple(args), kwargs, options, immutable)

    def _register(
        self, fn: Callable[..., Any], kind: type[Task[..., Any]], given: dict[str, Any]
    ) -> Task[..., Any]:
        given = dict(given)
        module = self.name if fn.__module__ == "__main__" else fn.__module__
        name = checked_name(given.pop("name", None) or f"{module}.{fn.__name__}", "a task's name")
        if name in self.tasks and self.tasks[name].fn is not fn:
            known = self.tasks[name].fn
            if (known.__module__, known.__qualname__) != (fn.__module__, fn.__qualname__):
                raise ConfigError(
                    f"two functions want the task name {name!r}: give one of them name='...'"
                )
        options = _declared(fn, kind, given)
        if options.is_async and kind is Task:
            kind = AsyncTask
        task = kind(
            fn,
            name=name,
            options=options,
            enqueue=self._call,
            in_thread=self.in_thread,
        )
        self.tasks[name] = task
        return task

    # -- enqueue ----------------------------------------------------------------------------------

    def enqueue(self, signature: Signature) -> Result[Any]:
        """Write one call.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded.
        """
        job = self.new_job(signature)
        return self._insert(job, check_ids="job_id" in signature.options)

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

    def new_job(
        self,
        signature: Signature,
        *,
        parent: Parent | None = None,
        spawn_index: int | None = None,
        fan_in_id: bytes | None = None,
        fan_in: int | None = None,
    ) -> NewJob:
        """The row that a signature becomes; see :meth:`hammerflow.calls.Calls.from_signature`."""
        return self._calls.from_signature(
            signature, parent=parent, spawn_index=spawn_index, fan_in_id=fan_in_id, fan_in=fan_in
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
    def _opened(self, tx: Tx) -> Iterator[_Open]:
        opened = _Open(tx, Transaction(tx.connection), set())
        token = self._open.set(opened)
        try:
            yield opened
        finally:
            self._open.reset(token)

    def _ring_control(self) -> None:
        """Workers that serve every queue look for new names."""
        self.notifier.ring_control()

    def _ring(self, opened: _Open) -> None:
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

    async def in_thread(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run blocking work beside the event loop; inside a transaction, whose connection belongs
        to this thread, at once."""
        if self._open.get() is not None:
            return work(*args, **kwargs)
        import asyncio

        return await asyncio.to_thread(work, *args, **kwargs)


class _Decorator:
    """The type of ``app.task(...)``: a decorator that keeps the function's parameters."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, fn: Any, /) -> Any: ...


class _SpawnerDecorator:
    """The type of ``app.spawner(...)``."""

    @overload
    def __call__(self, fn: Callable[P, Iterator[Signature]], /) -> Spawner[P, Any]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Spawner[P, R]: ...
    def __call__(self, fn: Any, /) -> Any: ...


def as_key(job_id: uuid.UUID | str) -> bytes:
    """The 16 bytes of an id given as UUID or text.

    Raises:
        JobNotFound: the text is no UUID.
    """
    if isinstance(job_id, uuid.UUID):
        return job_id.bytes
    try:
        return uuid.UUID(job_id).bytes
    except (ValueError, AttributeError, TypeError):
        raise JobNotFound(f"{job_id!r} is no job id: ids are UUIDs") from None


def _declared(
    fn: Callable[..., Any], kind: type[Task[..., Any]], given: dict[str, Any]
) -> TaskOptions:
    import inspect

    values = dict(given)
    spawn = None
    if kind is Spawner:
        fields = SpawnConfig.names() & values.keys()
        spawn = SpawnConfig(**{name: values.pop(name) for name in fields})
    for name in ("timeout", "soft_timeout", "expires", "result_ttl"):
        if values.get(name) is not None:
            values[name] = seconds(values[name], name)
    for name in ("retry_on", "no_retry_on"):
        if isinstance(values.get(name), type):
            values[name] = (values[name],)
    if "priority" in values:
        values["priority"] = checked_priority(values["priority"])
    if "queue" in values:
        values["queue"] = checked_name(values["queue"], "a queue's name")
    is_async = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
    try:
        return TaskOptions(**values, is_async=is_async, spawn=spawn, declared=frozenset(given))
    except TypeError as error:
        raise TypeError(f"task {fn.__name__}: {error}") from None
