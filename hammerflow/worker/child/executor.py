"""Executor: one claimed job in, one Outcome out; it never raises."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from hammerflow.app import Hammerflow
from hammerflow.canvas.spawn import SpawnConfig
from hammerflow.context import RUNNING, JobContext
from hammerflow.durations import seconds
from hammerflow.errors import (
    ConfigError,
    HammerflowError,
    NotEncodable,
    SoftTimeout,
    SpawnInvalid,
    StoreUnavailable,
)
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import (
    Cancel,
    Cancelled,
    Completed,
    Failed,
    Failure,
    Outcome,
    Parked,
    Released,
    Retry,
    Retrying,
    Settled,
    Snooze,
    Snoozed,
)
from hammerflow.jobs.settlement import Settlement
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.tasks.task import Task
from hammerflow.worker.child.execution import JobExecution
from hammerflow.worker.child.inputs import first_arguments
from hammerflow.worker.child.interrupts import CancelAsked, Interrupts, NoInterrupts
from hammerflow.worker.child.replacement import replacement
from hammerflow.worker.failures import clean, failure_of, hard_timeout, no_attempt_left
from hammerflow.worker.run_options import run_options_of, wants_retry

__all__ = ["Executor", "JobExecution"]

log = logging.getLogger("hammerflow.child")


class _RollBack(Exception):
    """Leaves the transaction of an ``in_transaction`` task with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class _ReplaceAsked(Exception):
    """Leaves a body that has called ``current_job().replace``."""

    def __init__(self, canvas: Any) -> None:
        super().__init__(f"replaced by {canvas!r}")
        self.canvas = canvas


class Executor:
    """Runs the bodies of one app.

    Args:
        progress: where ``current_job().progress`` goes: job id, fraction, note.
        interrupts: what may stop a body from outside.
        pulse: whether the leases of the jobs at hand are surely held; no body begins before.

    Attributes:
        app: the app.
        worker_id: under which number the jobs at hand were claimed.
        queues: the names of the queues they came from, by number.
    """

    def __init__(
        self,
        app: Hammerflow,
        *,
        progress: Callable[[bytes, float, str], None],
        interrupts: Interrupts | None = None,
        pulse: LeaseClock | None = None,
    ) -> None:
        self.app = app
        self._progress = progress
        self._interrupts = interrupts or NoInterrupts()
        self._pulse = pulse
        self._tasks = {name_id(name): task for name, task in app.tasks.items()}
        self._policies = {i: run_options_of(task.defaults) for i, task in self._tasks.items()}
        self.worker_id = 0
        self.queues: dict[int, str] = {}
        self._nones: dict[str | None, bytes] = {}

    def task(self, job: Claimed) -> Task[..., Any] | None:
        """The job's task, if the app has it."""
        return self._tasks.get(job.task_id)

    def execute(self, job: Claimed) -> Outcome:
        """Run one job of a plain function."""
        call = self.prepare(job)
        if not isinstance(call, JobExecution):
            return call
        if self._pulse is not None:
            self._pulse.wait()
        RUNNING.set(call)
        try:
            if call.task.defaults.in_transaction:
                return self._run_in_transaction(call)
            return self._conclude(call, self._run(call))
        except BaseException as error:  # noqa: BLE001 - a border: whatever a body raises is how it ended
            self._interrupts.disarm()
            return self._failed(call, error)
        finally:
            RUNNING.set(None)
            if call.spawning is not None:
                call.spawning.close()

    async def execute_async(
        self, job: Claimed, started: Callable[[JobExecution], None] = lambda call: None
    ) -> Outcome:
        """Run one job of an async function; to cancel it, set ``call.stop`` first."""
        worker_id = self.worker_id
        call = await asyncio.to_thread(self.prepare, job) if job.options else self.prepare(job)
        if not isinstance(call, JobExecution):
            return call
        call.worker_id = worker_id
        RUNNING.set(call)
        started(call)
        try:
            if self._pulse is not None:
                await self._pulse.wait_async()
            value = await self._run_async(call)
            if call.spawning is not None:
                return await asyncio.to_thread(self._conclude, call, value)
            return self._conclude(call, value)
        except BaseException as error:  # noqa: BLE001 - a border, as above
            return self._stopped(call, error)
        finally:
            if call.spawning is not None:
                call.spawning.close()

    def prepare(self, job: Claimed) -> JobExecution | Outcome:
        """Decode a job; an Outcome at once where it cannot or must not run."""
        task = self._tasks.get(job.task_id)
        if task is None:
            text = "no task of that name is registered here"
            return Parked("unknown_task", Failure("parked", "UnknownTask", text, ""))
        if job.expired:
            return Cancelled("expired")
        policy, config = self._policies[job.task_id], task.defaults.spawn
        given: dict[str, Any] = {}
        try:
            args, kwargs = self.app.codec.decode_call(job.args)
            if job.options is not None:
                given = json.loads(job.options)
                policy, config = policy.with_overrides(given), _config(config, given)
                if "feed" in given:
                    args = (
                        *first_arguments(self.app, job, task, given["feed"], args, kwargs),
                        *args,
                    )
        except StoreUnavailable:
            return Snoozed(1.0)
        except Exception as error:  # noqa: BLE001 - a border: rows may come from anywhere
            return Parked("undecodable", failure_of(error, "parked"))
        try:
            if "_spawn_config" in kwargs or (args and type(args[0]) is dict):
                args, config = _inserted_config(args, kwargs, config)
        except ConfigError as error:  # another run would end the same way
            return Failed(failure_of(SpawnInvalid(str(error))))
        if job.attempt > policy.max_attempts:
            return Failed(no_attempt_left(job.attempt, policy.max_attempts))
        return JobExecution(self, job, task, policy, args, kwargs, config, given)

    def context(self, call: JobExecution) -> JobContext:
        """What the body of a call sees."""
        return JobContext(
            call.job,
            task=call.task.name,
            queue=self.queues.get(call.job.queue_id) or call.task.defaults.queue,
            spawn=call.add_child,
            progress=self._progress,
            replace=_replace,
            inputs=call.inputs,
            connection=call.connection,
        )

    # -- running -----------------------------------------------------------------------------------

    def _run(self, call: JobExecution) -> Any:
        self._interrupts.arm(call.policy.soft_timeout)
        try:
            return call.body()
        finally:
            self._interrupts.disarm()

    async def _run_async(self, call: JobExecution) -> Any:
        soft = call.policy.soft_timeout
        if soft is None:
            return await call.body_async()
        try:
            async with asyncio.timeout(soft) as scope:
                return await call.body_async()
        except TimeoutError as error:
            if scope.expired():
                raise SoftTimeout(f"the soft timeout of {soft:g} s is over") from error
            raise

    def _run_in_transaction(self, call: JobExecution) -> Outcome:
        """Body, result, children and end in one transaction, fenced by the lease."""
        try:
            with self.app.store.transaction() as tx:
                call.connection = tx.connection
                with self.app.joining(tx) as queues:
                    value = self._run(call)
                outcome = self._ended(call, value)
                if not isinstance(outcome, Completed):
                    raise _RollBack(outcome)
                settlement = self.app.store.jobs.settle(call.worker_id, [(call.job, outcome)], tx)
                if call.job.id in settlement.stale:
                    raise _RollBack(Settled(True))
                if call.spawning is not None and call.spawning.is_spooled:
                    chunks = call.spawning.chunks()
                    self.app.store.jobs.insert_children(chunks, settlement, tx)
        except _RollBack as left:
            return left.outcome
        settlement.queues |= queues
        return self._settled(call, settlement)

    # -- ending ------------------------------------------------------------------------------------

    def _conclude(self, call: JobExecution, value: Any) -> Outcome:
        """The outcome of a body that returned; settled here when its children are too many to
        travel, or when a hook wants to know that they are there."""
        outcome = self._ended(call, value)
        spawning = call.spawning
        if spawning is None or not isinstance(outcome, Completed):
            return outcome
        if not spawning.is_spooled and call.task.defaults.on_spawn_complete is None:
            return outcome
        bare = outcome
        if outcome.spawned is not None and outcome.spawned.children:
            bare = outcome._replace(spawned=outcome.spawned._replace(children=[]))
        settlement = self.app.store.jobs.settle_stream(
            call.worker_id, call.job, bare, spawning.chunks
        )
        return self._settled(call, settlement)

    def _ended(self, call: JobExecution, value: Any) -> Outcome:
        """Completed, or Failed for a result that cannot be encoded: another run would end the same
        way, so it is not retried."""
        options = call.task.defaults
        result = None
        if call.policy.store_result and value is None:
            result = self._encoded_none(options.serializer)
        elif call.policy.store_result:
            try:
                result = self.app.codec.encode(value, serializer=options.serializer)
            except NotEncodable as error:
                return Failed(failure_of(error))
        spawned = None
        if call.spawning is not None:
            call.spawning.close_list()
            spawned = call.spawning.spawned()
        return Completed(result, spawned, options.result_ttl)

    def _encoded_none(self, serializer: str | None) -> bytes:
        """The result of most tasks: encoded once."""
        if serializer not in self._nones:
            self._nones[serializer] = self.app.codec.encode(None, serializer=serializer)
        return self._nones[serializer]

    def _settled(self, call: JobExecution, settlement: Settlement) -> Settled:
        """After a settle in this process: ring, tell the hook."""
        if call.job.id in settlement.stale:
            return Settled(True)
        if settlement.queues:
            self.app.notifier.ring(settlement.queues)
        self.app.notifier.ring_done(settlement.ended)
        hook = call.task.defaults.on_spawn_complete
        if hook is not None and call.spawning is not None:
            try:
                hook(call.spawn_context(ended=True))
            except Exception:  # a border: the job has completed, the hook cannot undo that
                log.exception("on_spawn_complete of %s failed", call.task.name)
        return Settled(False)

    def _failed(self, call: JobExecution, error: BaseException) -> Outcome:
        match error:
            case CancelAsked():
                return Released()  # the lease carries the cancel: settling turns this into its end
            case _ReplaceAsked():
                return self._replaced(call, error.canvas)
            case Cancel():
                return Cancelled(clean(str(error) or "cancelled", 2_000))
            case Snooze():
                return _after(error, Snoozed)
            case Retry() if error.after is not None and call.job.attempt < call.policy.max_attempts:
                failure = failure_of(error)
                return _after(error, lambda delay: Retrying(delay, failure))
            case _:
                kind = "timeout" if isinstance(error, SoftTimeout) else "failed"
                wanted = isinstance(error, Retry) or wants_retry(call.task.defaults, error)
                return self._retried(call, failure_of(error, kind), wanted=wanted)

    def _stopped(self, call: JobExecution, error: BaseException) -> Outcome:
        """As :meth:`_failed`, for an async body that may have been cancelled from outside."""
        if call.stop is not None and isinstance(error, asyncio.CancelledError):
            if call.stop == "timeout":
                failure = hard_timeout(call.policy.timeout or 0.0)
                return self._retried(call, failure, wanted=call.policy.retries_timeouts)
            return Released()
        return self._failed(call, error)

    def _retried(self, call: JobExecution, failure: Failure, *, wanted: bool) -> Outcome:
        delay = call.policy.delay_after(call.job.attempt, random.random())
        operation = call.operation()
        if delay is None or not wanted:
            return Failed(failure, operation)
        return Retrying(delay, failure, operation)

    def _replaced(self, call: JobExecution, canvas: Any) -> Outcome:
        """The job goes on as the last call of a canvas."""
        try:
            if call.spawning is not None and call.spawning.count:
                raise SpawnInvalid(
                    f"{call.task.name} has spawned and cannot be replaced any more: put the "
                    "children into what replaces it; nothing was inserted"
                )
            return replacement(self.app, call.job, canvas, call.options)
        except Exception as error:  # noqa: BLE001 - wrong arguments: another run would end the same
            return Failed(failure_of(error))


def _replace(canvas: Any) -> NoReturn:
    raise _ReplaceAsked(canvas)


def _inserted_config(
    args: tuple[Any, ...], kwargs: dict[str, Any], config: SpawnConfig | None
) -> tuple[tuple[Any, ...], SpawnConfig | None]:
    """Take ``_spawn_config`` out of the arguments of a job that another system inserted."""
    if "_spawn_config" in kwargs:
        return args, SpawnConfig.from_mapping(kwargs.pop("_spawn_config"))
    payload = dict(args[0])
    if "_spawn_config" not in payload:
        return args, config
    found = SpawnConfig.from_mapping(payload.pop("_spawn_config"))
    return (payload, *args[1:]), found


def _after(error: Retry | Snooze, outcome: Callable[[float], Outcome]) -> Outcome:
    """The outcome after the asked-for delay; a senseless delay is a failure like any other."""
    try:
        return outcome(seconds(error.after, type(error).__name__) if error.after is not None else 0)
    except (HammerflowError, ValueError, TypeError) as wrong:
        return Failed(failure_of(wrong))


def _config(declared: SpawnConfig | None, given: Mapping[str, Any]) -> SpawnConfig | None:
    return SpawnConfig(**given["spawn"]) if "spawn" in given else declared
