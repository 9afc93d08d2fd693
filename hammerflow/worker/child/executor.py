"""Executor: one claimed job in, one Outcome out; it never raises."""

from __future__ import annotations

import asyncio
import decimal
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

from hammerflow.app import Hammerflow
from hammerflow.canvas.options import EACH, LIMITS
from hammerflow.canvas.spawn import SpawnConfig
from hammerflow.context import RUNNING
from hammerflow.errors import (
    ConfigError,
    CpuLimitExceeded,
    NotEncodable,
    SoftTimeout,
    SpawnInvalid,
    StoreUnavailable,
)
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import (
    Cancelled,
    Completed,
    Failed,
    Failure,
    Outcome,
    Parked,
    Released,
    Settled,
    Snoozed,
)
from hammerflow.jobs.settlement import Settlement
from hammerflow.results.waiting import announce
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.stores.rows import JobLogRow
from hammerflow.tasks.functions import UNFINISHED, lazy_part, unfinished
from hammerflow.tasks.options import refuse_limits
from hammerflow.tasks.task import Task
from hammerflow.worker.child.body_errors import outcome_of
from hammerflow.worker.child.execution import JobExecution
from hammerflow.worker.child.hooks import call_ended, call_hooks
from hammerflow.worker.child.inputs import first_arguments
from hammerflow.worker.child.interrupts import Interrupts
from hammerflow.worker.child.log_keeper import LogKeeper
from hammerflow.worker.child.watching import (
    begin_watches,
    end_watches,
    has_parents,
    read_parents,
    trace_for_dependents,
)
from hammerflow.worker.failures import failure_of, no_attempt_left
from hammerflow.worker.logs import JOB_THREADS
from hammerflow.worker.run_options import RunOptions, refuse_elsewhere, run_options_of
from hammerflow.workflows.references import input_from_json

__all__ = ["Executor"]

log = logging.getLogger("hammerflow.child")
R = TypeVar("R")


class _RollBack(Exception):
    """Leaves the transaction of an ``in_transaction`` task with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(eq=False)
class Executor:
    """Runs the jobs of one app.

    A job is prepared (decoded, or refused), performed (its body runs) and completed (its result is
    encoded); an exception on the way becomes an outcome, too.

    Attributes:
        progress: where ``current_job().progress`` goes: job id, fraction, note.
        on_limited: called before a body that has limits begins.
        lease_clock: until when the leases of its jobs are surely held; no body begins later.
        worker_id: the registration that has claimed the jobs.
        queues: the names of the queues that they came from, by number.
        log_keeper: keeps what bodies log; None if no task wants that.
    """

    app: Hammerflow
    progress: Callable[[bytes, float, str], None]
    interrupts: Interrupts = field(default_factory=Interrupts)
    on_limited: Callable[[bytes, RunOptions], None] | None = None
    lease_clock: LeaseClock | None = None
    worker_id: int = 0
    queues: dict[int, str] = field(default_factory=dict)
    log_keeper: LogKeeper | None = None
    _encoded_nones: dict[str | None, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pid = os.getpid()
        self._hooks = self.app.hooks if self.app.hooks.known else None
        self._watchers = self.app.watchers
        self._context = copy_context()
        has_decimals = any(var.name == "decimal_context" for var in self._context)
        self._decimals = decimal.getcontext() if has_decimals else None
        self._tasks = {name_id(name): task for name, task in self.app.tasks.items()}
        self._run_options = {i: run_options_of(task.defaults) for i, task in self._tasks.items()}

    def task(self, job: Claimed) -> Task[..., Any] | None:
        """The job's task, if the app has it."""
        return self._tasks.get(job.task_id)

    def execute(self, job: Claimed) -> Outcome:
        """Run one job of a plain function, in a context of its own."""
        return self._context.copy().run(self._execute, job)

    def exit_if_forked(self) -> None:
        """End a copy of this process that a body has forked: its end is not the job's."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _separate_numbers(self) -> None:
        """Give the body a decimal context of its own: copies of a context share that of the app."""
        if self._decimals is not None:
            decimal.setcontext(self._decimals.copy())

    def _execute(self, job: Claimed) -> Outcome:
        self._separate_numbers()
        execution = self._prepare(job, self.worker_id)
        if not isinstance(execution, JobExecution):
            return execution
        if self.log_keeper is not None:
            execution.kept_log = self.log_keeper.begin(job)
        outcome = self._run_watched(execution) if self._watchers else self._run(execution)
        if execution.kept_log is not None:
            execution.kept_log.end(outcome)
        if self._hooks is not None:
            self.exit_if_forked()
            call_ended(self._hooks, execution, outcome)
        return outcome

    def _run_watched(self, execution: JobExecution) -> Outcome:
        if has_parents(execution):
            execution.parents = read_parents(execution)
        begun = begin_watches(self._watchers, execution)
        outcome = self._run(execution)
        self.exit_if_forked()
        return end_watches(begun, execution, outcome)

    def _run(self, execution: JobExecution) -> Outcome:
        try:
            if self.lease_clock is not None:
                self.lease_clock.wait()
            JOB_THREADS.begin(execution)
            if self._hooks is not None:
                call_hooks(self._hooks, "started", execution)
            if execution.task.defaults.in_transaction:
                return self._perform_in_transaction(execution)
            return self._complete(execution, self._perform(execution))
        except BaseException as error:  # noqa: BLE001 - a border: a body may raise anything
            self.interrupts.disarm()
            if self._watchers:
                execution.error = error
            return outcome_of(error, execution)
        finally:
            JOB_THREADS.end()
            execution.close()

    async def execute_async(
        self, job: Claimed, started: Callable[[JobExecution], None] = lambda execution: None
    ) -> Outcome:
        """Run one job of an async function.

        Args:
            started: called before the body begins. From then on the job can be stopped: set
                ``stop_reason`` of its execution, and cancel the asyncio task.
        """
        self._separate_numbers()
        worker_id = self.worker_id  # may change while a thread reads the inputs of this job
        if job.options:
            execution = await self._in_thread(self._prepare, job, worker_id)
        else:
            execution = self._prepare(job, worker_id)
        if not isinstance(execution, JobExecution):
            return execution
        RUNNING.set(execution)
        started(execution)
        if self.log_keeper is not None:
            execution.kept_log = self.log_keeper.begin(job)
        if self._watchers:
            outcome = await self._run_watched_async(execution)
        else:
            outcome = await self._run_async(execution)
        if execution.kept_log is not None:
            execution.kept_log.end(outcome)
        if self._hooks is not None:
            call_ended(self._hooks, execution, outcome)
        return outcome

    async def _run_watched_async(self, execution: JobExecution) -> Outcome:
        if has_parents(execution):
            execution.parents = await self._in_thread(read_parents, execution)
        begun = begin_watches(self._watchers, execution)
        return end_watches(begun, execution, await self._run_async(execution))

    async def _run_async(self, execution: JobExecution) -> Outcome:
        try:
            if self.lease_clock is not None:
                await self.lease_clock.wait_async()
            if self._hooks is not None:
                call_hooks(self._hooks, "started", execution)
            if execution.run_options.is_limited:
                value = await self._perform_limited(execution)
            else:
                value = await _perform_async(execution)
            if execution.spawn_buffer is not None:  # may be written to the database
                return await self._in_thread(self._complete_or_fail, execution, value)
            return self._complete(execution, value)
        except BaseException as error:  # noqa: BLE001 - a border, as above
            if self._watchers:
                execution.error = error
            return outcome_of(error, execution)
        finally:
            execution.close()

    async def _perform_limited(self, execution: JobExecution) -> Any:
        try:
            self._limit(execution, _interrupter(execution))
            return await _perform_async(execution)
        finally:
            self.interrupts.disarm()

    async def _in_thread(self, work: Callable[..., R], *args: Any) -> R:
        """As ``asyncio.to_thread``, but a body can neither fill nor shut down these threads."""
        call = partial(copy_context().run, work, *args)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(thread_name_prefix="hammerflow")

    def _prepare(self, job: Claimed, worker_id: int) -> JobExecution | Outcome:
        """Decode a job; an outcome at once if it cannot or must not run."""
        task = self._tasks.get(job.task_id)
        if task is None:
            text = "no task of that name is registered here"
            return Parked("unknown_task", Failure("parked", "UnknownTask", text, ""))
        if job.expired:
            return Cancelled("expired")
        try:
            execution = self._decode(job, task, worker_id)
        except StoreUnavailable:
            return Snoozed(1.0)  # its inputs cannot be read now
        except SpawnInvalid as error:
            return Failed(failure_of(error))  # another attempt would end the same way
        except BaseException as error:  # noqa: BLE001 - a border: constructors of users' types run
            return Parked("undecodable", failure_of(error, "parked"))
        most = execution.run_options.max_attempts
        return execution if job.attempt <= most else Failed(no_attempt_left(job.attempt, most))

    def _decode(self, job: Claimed, task: Task[..., Any], worker_id: int) -> JobExecution:
        run_options, spawn_config = self._run_options[job.task_id], task.defaults.spawn
        job_options: dict[str, Any] = {}
        args, kwargs = self.app.codec.decode_call(job.args)
        if job.options is not None:
            job_options = json.loads(job.options)
            run_options = run_options.with_overrides(job_options)
            refuse_limits(job_options, task.defaults)
            if self.on_limited is not None:  # not in the testing kit, which enforces no limits
                refuse_elsewhere([name for name in LIMITS if name in job_options], task.name)
            if "spawn" in job_options:
                spawn_config = SpawnConfig(**job_options["spawn"])
            if "input_ref" in job_options:
                source = input_from_json(job_options["input_ref"])
                first = first_arguments(self.app, job, task, source, args, kwargs)
                args = (*first, *args)
        if "_spawn_config" in kwargs or (args and type(args[0]) is dict):
            args, spawn_config = _inserted_config(args, kwargs, spawn_config)
        queue = self.queues.get(job.queue_id) or task.defaults.queue
        return JobExecution(
            self.app, job, task, args, kwargs, run_options, spawn_config, job_options,
            worker_id, queue, self.progress,
        )  # fmt: skip

    def _perform(self, execution: JobExecution) -> Any:
        RUNNING.set(execution)
        options = execution.run_options
        self.interrupts.arm(options.soft_timeout)
        try:
            if options.is_limited:
                self._limit(execution)
            return execution.run_body()
        finally:
            self.interrupts.disarm()

    def _limit(
        self, execution: JobExecution,
        interrupt: Callable[[CpuLimitExceeded], None] | None = None,
    ) -> None:  # fmt: skip
        options = execution.run_options
        if self.on_limited is not None:
            self.on_limited(execution.job.id, options)
        if options.cpu_limit is not None:
            self.interrupts.limit_cpu(options.cpu_limit, interrupt)

    def _perform_in_transaction(self, execution: JobExecution) -> Outcome:
        """Body, result, children and end in one transaction, fenced by the lease."""
        jobs = self.app.store.jobs
        try:
            with self.app.store.transaction() as tx:
                execution.connection = tx.lend()
                try:
                    with self.app.joining(tx) as queues:
                        value = self._perform(execution)
                finally:
                    self.exit_if_forked()  # the copy must not end the transaction
                outcome = self._completed(execution, value)
                if not isinstance(outcome, Completed):
                    raise _RollBack(outcome)
                settlement = jobs.settle(
                    execution.worker_id,
                    [(execution.job, outcome)],
                    tx,
                    logs=_logs(execution, outcome),
                )
                if execution.job.id in settlement.stale:
                    raise _RollBack(Settled(True))
                if execution.job.id in settlement.stopped:
                    raise _RollBack(Released())  # settling it without what it wrote cancels it
                buffer = execution.spawn_buffer
                if buffer is not None and buffer.is_spooled:
                    jobs.insert_children(buffer.chunks(), execution.job, settlement, tx)
        except _RollBack as left:
            return left.outcome
        settlement.queues |= queues
        return self._settled(execution, settlement)

    def _complete(self, execution: JobExecution, value: Any) -> Outcome:
        """The outcome of a body that has returned. It is settled here if its children are too many
        to travel in a message, or if a hook is to be told once they are committed."""
        outcome = self._completed(execution, value)
        buffer, hook = execution.spawn_buffer, execution.task.defaults.on_spawn_complete
        if buffer is None or not isinstance(outcome, Completed) or outcome.spawned is None:
            return outcome
        if not buffer.is_spooled and hook is None:
            return outcome
        outcome = outcome._replace(spawned=outcome.spawned._replace(children=[]))
        settlement = self.app.store.jobs.settle_stream(
            execution.worker_id, execution.job, outcome, buffer.chunks,
            logs=_logs(execution, outcome),
        )  # fmt: skip
        return self._settled(execution, settlement)

    def _complete_or_fail(self, execution: JobExecution, value: Any) -> Outcome:
        """As :meth:`_complete`. It never raises: a future takes no StopIteration, and its waiter
        would wait forever."""
        try:
            return self._complete(execution, value)
        except BaseException as error:  # noqa: BLE001 - a border: encoders of users' types run
            return outcome_of(error, execution)

    def _completed(self, execution: JobExecution, value: Any) -> Completed | Failed:
        """Failed for a result that cannot be encoded, and for a body that has not run: another
        attempt would end the same way."""
        options, result, spawned = execution.task.defaults, None, None
        for part in value if EACH in execution.job_options else (value,):
            if type(part) in UNFINISHED:
                return Failed(failure_of(unfinished(execution.task.name, part)))
        if execution.run_options.store_result:
            try:
                result = self._encode(value, options.serializer)
            except NotEncodable as error:
                lazy = lazy_part(value)
                cause = error if lazy is None else unfinished(execution.task.name, lazy)
                return Failed(failure_of(cause))
        elif (part := lazy_part(value)) is not None:
            return Failed(failure_of(unfinished(execution.task.name, part)))
        if execution.spawn_buffer is not None:
            execution.spawn_buffer.add_fan_in()
            spawned = execution.spawn_buffer.spawned()
        trace = None if execution.span_trace is None else trace_for_dependents(execution)
        return Completed(result, spawned, options.result_ttl, trace)

    def _encode(self, value: Any, serializer: str | None) -> bytes:
        if value is not None:
            return self.app.codec.encode(value, serializer=serializer)
        if serializer not in self._encoded_nones:  # the result of most tasks: encoded once
            self._encoded_nones[serializer] = self.app.codec.encode(None, serializer=serializer)
        return self._encoded_nones[serializer]

    def _settled(self, execution: JobExecution, settlement: Settlement) -> Settled:
        """After a settle in this process: ring the doorbell and call the hook. The job has ended:
        whatever the hook raises cannot change that."""
        if execution.job.id in settlement.stale:
            return Settled(True)
        announce(self.app, settlement)
        hook = execution.task.defaults.on_spawn_complete
        is_stopped = execution.job.id in settlement.stopped
        if hook is None or execution.spawn_buffer is None or is_stopped:
            return Settled(False)
        try:
            hook(execution.spawn_context(ended=True))
        except BaseException as error:  # noqa: BLE001 - a border
            text = failure_of(error).traceback  # not exc_info: its text runs the user's code, too
            log.error("on_spawn_complete of %s failed\n%s", execution.task.name, text)
        return Settled(False)


def _logs(execution: JobExecution, outcome: Outcome) -> Sequence[JobLogRow]:
    """What a settle in this process writes of the body's lines."""
    return [] if execution.kept_log is None else execution.kept_log.final_rows(outcome)


def _interrupter(execution: JobExecution) -> Callable[[CpuLimitExceeded], None]:
    """What a signal handler calls once the CPU limit of an async body is used up: it raises the
    error where the body itself runs; where it awaits, it cancels it."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def interrupt(error: CpuLimitExceeded) -> None:
        execution.is_spent = True
        if task is None or asyncio.current_task(loop) is task:
            raise error
        execution.stray_error = error
        loop.call_soon_threadsafe(task.cancel)

    return interrupt


async def _perform_async(execution: JobExecution) -> Any:
    soft_timeout = execution.run_options.soft_timeout
    if soft_timeout is None:
        return await execution.run_body_async()
    try:
        async with asyncio.timeout(soft_timeout) as scope:
            return await execution.run_body_async()
    except TimeoutError as error:
        if scope.expired():
            raise SoftTimeout(f"the soft timeout of {soft_timeout:g} s is over") from error
        raise


def _inserted_config(
    args: tuple[Any, ...], kwargs: dict[str, Any], config: SpawnConfig | None
) -> tuple[tuple[Any, ...], SpawnConfig | None]:
    """Take ``_spawn_config`` out of the arguments of a job that another system has inserted."""
    try:
        if "_spawn_config" in kwargs:
            return args, SpawnConfig.from_mapping(kwargs.pop("_spawn_config"))
        if "_spawn_config" in args[0]:
            payload = dict(args[0])
            config = SpawnConfig.from_mapping(payload.pop("_spawn_config"))
            return (payload, *args[1:]), config
    except ConfigError as error:
        raise SpawnInvalid(str(error)) from error
    return args, config
