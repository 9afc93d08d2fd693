"""Hammerflow, the app object: a registry of tasks, and the way from a call to a durable job."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack, overload

from hammerflow.alerts import app_methods as alert_methods
from hammerflow.canvas.chain import Canvas, Group
from hammerflow.canvas.options import CALL_OPTIONS, CallOptions, known_options
from hammerflow.canvas.signature import Signature
from hammerflow.codec.codec import Codec
from hammerflow.enqueue import event_hooks
from hammerflow.enqueue.enqueuer import Enqueuer
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.enqueue.transaction import TransactionBlock
from hammerflow.enqueue.workflow_rows import rows_of
from hammerflow.ids import as_key
from hammerflow.jobs.filters import JOB_FILTERS, WORKFLOW_FILTERS
from hammerflow.jobs.job import Job, JobState
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.notifiers import open_notifier
from hammerflow.notifiers.relay_bell import RelayBell
from hammerflow.options.checks import ARGS, FLAG
from hammerflow.options.modules import MODULES
from hammerflow.options.option import checked, documented, refuse_unknown
from hammerflow.results import pauses as pausing
from hammerflow.results.group import GroupResult
from hammerflow.results.result import Result, Results
from hammerflow.results.statistics import AppStats
from hammerflow.results.workflow import BatchResult, WorkflowResult
from hammerflow.schedules.crontab import crontab
from hammerflow.schedules.options import (
    DECORATOR_OPTIONS,
    SCHEDULE_OPTIONS,
    ScheduleOptions,
    TaskSchedule,
)
from hammerflow.settings import SETTINGS, Settings, load_settings
from hammerflow.sinks import app_methods, webhook_methods
from hammerflow.stores import open_checked_store, open_store
from hammerflow.tasks.builtin import builtin_tasks
from hammerflow.tasks.decorators import (
    Anything,
    Child,
    Children,
    Decorator,
    Open,
    SpawnerDecorator,
)
from hammerflow.tasks.options import (
    OPTIONS,
    SPAWNER_OPTIONS,
    DeclaredOptions,
    SpawnerOptions,
)
from hammerflow.tasks.pickles import reduced_app, remembered
from hammerflow.tasks.registry import TaskRegistry
from hammerflow.tasks.task import AsyncTask, Spawner, Task
from hammerflow.telemetry.watchers import watchers_of
from hammerflow.text import checked_name
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.options import BATCH_OPTIONS, WORKFLOW_OPTIONS
from hammerflow.workflows.workflow import Workflow

if TYPE_CHECKING:
    from hammerflow.enqueue.schedule_registry import ScheduleRegistry
    from hammerflow.notifiers import Notifier
    from hammerflow.results.async_calls import AsyncCalls
    from hammerflow.stores.store import Store

__all__ = ["Hammerflow"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@documented(*SETTINGS)
class Hammerflow:
    """An app: tasks register in it, and it writes their calls as durable jobs.

    Args:
        name: the app's name, for messages and the default of the setting ``namespace``.
        database: URL of the database; the setting ``database``.
        redis: URL of the doorbell's Redis; the setting ``redis``.
        settings: any other setting.

    A setting that is not given here comes from the environment (``$HAMMERFLOW_DATABASE_URL``,
    ``$HAMMERFLOW_LEASE`` ...), from ``hammerflow.toml``, or from its default, in that order. No
    connection is opened before the first job.

    Raises:
        ConfigError: a setting is unknown or wrong; the message names it and its source.
    """

    def __init__(
        self, name: str, *, database: str | None = None, redis: str | None = None, **settings: Any
    ) -> None:
        self.name = name
        keywords = {"database": database, "redis": redis, **settings}
        self.settings: Settings = load_settings(name, keywords, os.environ, Path("hammerflow.toml"))
        self.modules = [*self.settings.include]
        self.codec = Codec(self.settings.serializer, self.settings.max_payload)
        self._registry = TaskRegistry(self)
        self.tasks, self.spawn_handlers = self._registry.tasks, self._registry.spawn_handlers
        self._key = remembered(self)
        self._factory = factory = JobFactory(self.tasks, self.codec)
        self.watchers = watchers_of(tracing=self.settings.tracing)
        self._enqueuer = Enqueuer(self, factory, self.watchers)
        # For its tasks, and for the workers that write the children of their jobs.
        self.call, self.joining = self._enqueuer.call, self._enqueuer.joining
        self.open_transaction, self.in_thread = self._enqueuer.open, self._enqueuer.in_thread
        self.new_job = factory.from_signature
        self.new_rows = partial(rows_of, calls=factory)
        self.as_child = factory.as_child
        self.stores_result = factory.stores_result
        self._opening = threading.Lock()
        for task_name, (fn, options) in builtin_tasks(self).items():
            self._register(fn, Task, {"name": task_name, **options})

    def __repr__(self) -> str:
        return f"<Hammerflow {self.name} on {self.settings.database_label}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce__(self) -> Any:
        return reduced_app(self, self._key)

    @cached_property
    def store(self) -> Store:
        """The store; the first use checks the schema (and migrates an SQLite file).

        The doorbell is opened first: what it lacks, as its driver, is said before anything is
        written, never after a commit.
        """
        _ = self.notifier
        return self._open_once("store", self._open_store)

    def _open_store(self) -> Store:
        store = open_checked_store(self.settings)
        store.names.on_new_queues = self.notifier.ring_control  # of workers that serve all queues
        store.database.on_events = RelayBell(self.notifier)
        return store

    @cached_property
    def notifier(self) -> Notifier:
        """The doorbell."""

        def connect() -> Any:
            return self.store.database.open_connection()

        return self._open_once("notifier", lambda: open_notifier(self.settings, connect=connect))

    @cached_property
    def async_calls(self) -> AsyncCalls:
        """The threads and waits of coroutines."""
        from hammerflow.results.async_calls import AsyncCalls  # imports asyncio

        return self._open_once("async_calls", lambda: AsyncCalls(self))

    def _open_once(self, name: str, open_it: Callable[[], R]) -> R:
        with self._opening:
            if name not in self.__dict__:  # else another thread has opened it just now
                self.__dict__[name] = open_it()
            return self.__dict__[name]  # type: ignore[no-any-return]

    @property
    def poll(self) -> float:
        """Seconds between two queries for an awaited end while no ring arrives."""
        return self.settings.poll

    @property
    def lease(self) -> float:
        """Seconds without a heartbeat after which a worker counts as lost."""
        return self.settings.lease

    def migrate(self) -> list[str]:
        """Bring the database's schema up to date.

        Returns:
            The names of the migrations that were applied.

        Raises:
            SchemaMismatch: the database belongs to a newer version of hammerflow.
            StoreUnavailable: the database cannot be reached.
        """
        with contextlib.closing(open_store(self.settings)) as store:
            return [step.name for step in store.schema.migrate()]

    def close(self) -> None:
        """Close the connections and the doorbell; the next use opens them again."""
        for name in ("async_calls", "notifier", "store"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()

    # The overloads are those of Decorator and SpawnerDecorator, which say why.
    @overload
    def task(self, fn: Open[P, R], /) -> Task[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def task(self, fn: Callable[..., Anything], /) -> Task[..., Any]: ...  # type: ignore[overload-cannot-match]
    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, **options: Unpack[DeclaredOptions]) -> Decorator: ...
    @documented(*OPTIONS)
    def task(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Register a function: ``@app.task`` or ``@app.task(queue="mail", max_attempts=5)``.

        Raises:
            ConfigError: another function has this name, or an option is wrong.
            TypeError: an option is unknown.
        """
        if fn is not None:
            return self._register(fn, Task, options)
        return lambda fn: self._register(fn, Task, options)

    @overload
    def spawner(self, fn: Callable[P, Generator[Child, Any, R]], /) -> Spawner[P, R]: ...
    @overload
    def spawner(self, fn: Callable[P, Iterator[Child]], /) -> Spawner[P, Any]: ...
    @overload
    def spawner(
        self, fn: Callable[P, AsyncIterator[Child] | Coroutine[Any, Any, Children] | Children], /
    ) -> Spawner[P, None]: ...
    @overload
    def spawner(self, /, **options: Unpack[SpawnerOptions]) -> SpawnerDecorator: ...
    @documented(*OPTIONS, *SPAWNER_OPTIONS)
    def spawner(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Register a generator function that yields signatures: the children of its job.

        Raises:
            ConfigError: another function has this name, or an option is wrong.
            TypeError: an option is unknown.
        """
        if fn is not None:
            return self._register(fn, Spawner, options)
        return lambda fn: self._register(fn, Spawner, options)

    @documented(*CALL_OPTIONS)
    def signature(
        self, task: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None,
        *, immutable: bool = False, **options: Unpack[CallOptions],
    ) -> Signature:  # fmt: skip
        """A call of a task by its name, which need not be registered in this process.

        Args:
            immutable: the call does not take its predecessor's result.

        Raises:
            TypeError: an option is unknown.
        """
        known = known_options(options, "app.signature()")
        task = checked_name(task, "the task of a signature")
        positional: tuple[Any, ...] = ARGS(args, "app.signature(): args")
        return Signature(
            task, positional, kwargs, known, FLAG(immutable, "immutable"), self.enqueue
        )

    def spawn_handler(self, name: str) -> Callable[[F], F]:
        """Register a function that gives the children of any job whose spawn configuration names
        it: ``@app.spawn_handler("data_processor")``.

        It is called with a SpawnContext after the job's body, and returns or yields signatures.

        Raises:
            ConfigError: another function has this name.
        """
        return self._registry.spawn_handler(name)

    @cached_property
    def schedules(self) -> ScheduleRegistry:
        """The schedules that the code declares; workers copy them to the database."""
        from hammerflow.enqueue.schedule_registry import ScheduleRegistry  # imports croniter

        return ScheduleRegistry(self._factory)

    @documented(*DECORATOR_OPTIONS)
    def cron(self, when: str | crontab, /, **options: Unpack[TaskSchedule]) -> Callable[[F], F]:
        """Run a task by a cron expression: ``@app.cron("0 2 * * *", tz="Europe/Berlin")``, above
        or below ``@app.task``.

        Raises:
            ConfigError: the expression or an option is wrong.
        """
        return self.schedules.decorate("app.cron()", when, options)

    @documented(*DECORATOR_OPTIONS)
    def every(self, interval: timedelta, /, **options: Unpack[TaskSchedule]) -> Callable[[F], F]:
        """Run a task at an interval, counted from the creation of its schedule or from ``start``:
        ``@app.every(timedelta(minutes=5))``."""
        return self.schedules.decorate("app.every()", interval, options)

    @documented(*SCHEDULE_OPTIONS)
    def schedule(
        self, name: str, when: str | timedelta | crontab, work: Canvas[Any] | Workflow | Batch,
        **options: Unpack[ScheduleOptions],
    ) -> None:  # fmt: skip
        """Enqueue a signature, canvas, workflow or batch by a schedule.

        Args:
            when: a cron expression, an interval, or Celery's keywords: ``crontab(hour=8)``.

        Raises:
            ConfigError: another schedule has this name, or an option is wrong.
            TypeError: an option is unknown, or the arguments do not fit the task.
        """
        self.schedules.add(name, when, work, options)

    def autodiscover(self, *modules: str | Sequence[str]) -> None:
        """Name modules with tasks, which workers and commands import after the app's own module:
        ``app.autodiscover("shop.*.tasks")``. The setting ``include`` does the same.

        If a package has a module ``tasks``, that is imported, too. Nothing is imported now, so the
        modules may import the app.

        Args:
            modules: names; ``*`` matches any one part of a name.

        Raises:
            ConfigError: one of them cannot be a module's name.
        """
        for names in modules:
            self.modules += MODULES(names, "a module to discover")

    def workflow(self, name: str, **options: Any) -> Workflow:
        """A new Workflow of this app; takes the keywords of :class:`hammerflow.Workflow`."""
        refuse_unknown(WORKFLOW_OPTIONS, options, "app.workflow()")
        return Workflow(name, submit=self.enqueue, **options)

    @documented(*BATCH_OPTIONS)
    def batch(
        self, signatures: Iterable[Signature], *, on_failure: str = "continue",
        then: Signature | None = None, name: str = "batch", rate_limit: str | None = None,
    ) -> Batch:  # fmt: skip
        """Up to millions of calls as one unit: :class:`hammerflow.workflows.workflow.Batch`."""
        return Batch(
            signatures, on_failure=on_failure, then=then, name=name, rate_limit=rate_limit,
            submit=self.enqueue,
        )  # fmt: skip

    def _register(
        self, fn: Callable[..., Any], kind: type[Task[..., Any]], given: dict[str, Any]
    ) -> Task[..., Any]:
        task = self._registry.register(fn, kind, given)
        self.codec.register_annotations(task.fn)
        if "schedules" in self.__dict__:
            self.schedules.take(fn, task)
        return task

    @overload
    def enqueue(self, work: Group[R]) -> GroupResult[R]: ...  # type: ignore[overload-overlap]
    @overload
    def enqueue(self, work: Canvas[R]) -> Result[R]: ...
    @overload
    def enqueue(self, work: Batch) -> BatchResult: ...
    @overload
    def enqueue(self, work: Workflow) -> WorkflowResult: ...
    def enqueue(self, work: Any) -> Any:
        """Write one signature, canvas, workflow or batch, in one transaction.

        Returns:
            A Result; for a group a GroupResult, for a workflow a WorkflowResult, for a batch a
            BatchResult.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded; nothing was written.
            WorkflowInvalid: a cycle, an unknown name or task; nothing was written.
            StoreUnavailable: the database cannot be reached.
        """
        return self._enqueuer.enqueue(work)

    def enqueue_many(self, signatures: Iterable[Signature[R]]) -> Results[R]:
        """Write any number of calls from an iterable: 5 000 in each transaction, or all of them in
        the open one. Memory holds one chunk.

        Raises:
            TypeError: as :meth:`enqueue`, with the index of the call; chunks already written
                remain.
            StoreUnavailable: as :meth:`enqueue`.
        """
        return self._enqueuer.enqueue_many(signatures)

    @overload
    async def aenqueue(self, work: Group[R]) -> GroupResult[R]: ...  # type: ignore[overload-overlap]
    @overload
    async def aenqueue(self, work: Canvas[R]) -> Result[R]: ...
    @overload
    async def aenqueue(self, work: Batch) -> BatchResult: ...
    @overload
    async def aenqueue(self, work: Workflow) -> WorkflowResult: ...
    async def aenqueue(self, work: Any) -> Any:
        """:meth:`enqueue` without blocking the event loop."""
        return await self.in_thread(self.enqueue, work)

    async def aenqueue_many(self, signatures: Iterable[Signature[R]]) -> Results[R]:
        """:meth:`enqueue_many` without blocking the event loop; the iterable is read in a
        thread."""
        return await self.in_thread(self.enqueue_many, signatures)  # type: ignore[no-any-return]

    def transaction(self) -> TransactionBlock:
        """Open a transaction for a ``with`` block, or in a coroutine for an ``async with`` block:
        everything enqueued inside and the block's own SQL commit together, or not at all. A block
        inside another one of the same app joins it.

        In a coroutine, lock waits do not block the event loop, and a cancelled block is rolled
        back. Tasks that are started inside the block write in it until it ends.

        Raises:
            StoreUnavailable: the database cannot be reached, or was lost during the commit, which
                then may or may not have taken place.
            HammerflowError: a plain ``with`` in a running event loop, which it would block; or a
                statement inside has ended the transaction or, on PostgreSQL, has failed.
        """
        return self._enqueuer.block()

    def using(self, connection: Any) -> TransactionBlock:
        """Enqueue in the caller's own transaction; the caller commits.

        Args:
            connection: for ``with`` a psycopg, PyMySQL or sqlite3 connection, a SQLAlchemy
                Connection or Session, or a Django connection; for ``async with`` an AsyncConnection
                of psycopg, an aiosqlite connection, or a SQLAlchemy AsyncConnection or AsyncSession
                over one of these. It is on the app's database, with a transaction open (or one that
                its driver opens at the first statement).

        Inside ``async with``, await the async forms, such as ``adelay()``. Workers are rung at the
        end of the block; if the commit comes later, they find the jobs within the poll interval.

        Raises:
            ConfigError: a connection of another driver or kind, or in autocommit mode.
        """
        return self._enqueuer.using_block(connection)

    def result(self, job_id: uuid.UUID | str) -> Result[Any]:
        """A handle on a job by its id; JobNotFound, here or later, if there is none."""
        return Result(as_key(job_id), self)

    def job(self, job_id: uuid.UUID | str) -> Job:
        """A snapshot of a job, with its error history; JobNotFound if there is none."""
        return self.result(job_id).job()

    @documented(*JOB_FILTERS)
    def jobs(
        self, *, state: JobState | str | None = None, queue: str | None = None,
        task: str | None = None, since: datetime | None = None, until: datetime | None = None,
        limit: int = 100, before: uuid.UUID | str | None = None,
    ) -> list[Job]:  # fmt: skip
        """Jobs, newest first."""
        given = {"state": state, "queue": queue, "task": task, "since": since, "until": until}
        filters = checked(JOB_FILTERS, given | {"limit": limit, "before": before}, "app.jobs()")
        return list(self.store.jobs.list(**filters))

    hooks = cached_property(app_methods.job_hooks)
    sinks = cached_property(app_methods.declared_sinks)
    stats = cached_property(AppStats)
    sink, on, webhook = app_methods.declare_sink, event_hooks.hook_on, webhook_methods.declare
    events, aevents = app_methods.read_events, app_methods.aread_events
    alerts = cached_property(alert_methods.declared_alerts)
    alert_rule, alert_target = alert_methods.declare_rule, alert_methods.declare_target
    pause, resume, pauses = pausing.pause_by_options, pausing.resume_by_options, pausing.list_pauses
    apause, aresume = pausing.apause_by_options, pausing.aresume_by_options

    def workflow_result(self, workflow_id: uuid.UUID | str) -> WorkflowResult:
        """A handle on a workflow or batch by its id; JobNotFound if there is none."""
        result = WorkflowResult(as_key(workflow_id), self)
        return BatchResult(as_key(workflow_id), self) if result.row().kind == "batch" else result

    @documented(*WORKFLOW_FILTERS)
    def workflows(
        self, *, status: WorkflowStatus | str | None = None, since: datetime | None = None,
        until: datetime | None = None, limit: int = 100, before: uuid.UUID | str | None = None,
    ) -> list[WorkflowResult]:  # fmt: skip
        """Workflows, batches and canvases, newest first."""
        given = {"status": status, "since": since, "until": until, "limit": limit, "before": before}
        filters = checked(WORKFLOW_FILTERS, given, "app.workflows()")
        return [WorkflowResult(row.id, self) for row in self.store.workflows.list(**filters)]
