"""JobExecution: a job made ready to run, and what its body asks for while it runs."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hammerflow.app import Hammerflow
from hammerflow.canvas.chain import Canvas
from hammerflow.canvas.options import EACH
from hammerflow.canvas.spawn import SpawnConfig, SpawnContext
from hammerflow.context import JobContext
from hammerflow.enqueue.job_factory import Parent
from hammerflow.errors import SpawnInvalid
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Operation
from hammerflow.tasks.functions import UNFINISHED, unfinished
from hammerflow.tasks.task import Spawner, Task
from hammerflow.worker.child.inputs import Inputs
from hammerflow.worker.child.log_keeper import KeptLog
from hammerflow.worker.child.spawn_buffer import SpawnBuffer
from hammerflow.worker.run_options import RunOptions
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.workflow import Workflow

__all__ = ["JobExecution", "ReplaceAsked"]


class ReplaceAsked(Exception):
    """Leaves a body that has called ``current_job().replace``."""

    def __init__(self, canvas: Any) -> None:
        super().__init__(f"replaced by {canvas!r}")
        self.canvas = canvas


@dataclass(slots=True, eq=False)
class JobExecution:
    """One run of a job. Make it with positional arguments: keywords cost each job half a µs.

    Attributes:
        args: decoded positional arguments, results of other jobs first.
        spawn_config: how it spawns; None if neither its task nor its call configures it.
        job_options: the options stored with the job, decoded.
        worker_id: the registration whose lease it holds.
        connection: the driver's connection of its own transaction, if it has one; set it before
            ``context`` is used.
        stop_reason: why an async child cancels it, "cancel" or "timeout".
        stray_error: what a task or callback of an async body has raised that ends a program, such
            as SystemExit; the child cancels the body for it.
        is_disturbed: another body has tried to cancel this async one, or a task of it.
        is_spent: an async body has used up its CPU limit.
        kept_log: takes what its body logs; None if that is not kept.
        span_trace: see :class:`hammerflow.telemetry.watchers.WatchedRun`; likewise ``parents`` and
            ``error``, which only watchers ask for.
    """

    app: Hammerflow
    job: Claimed
    task: Task[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run_options: RunOptions
    spawn_config: SpawnConfig | None
    job_options: Mapping[str, Any]
    worker_id: int
    queue: str
    progress: Callable[[bytes, float, str], None]
    connection: Any = None
    spawn_buffer: SpawnBuffer | None = None
    stop_reason: str | None = None
    stray_error: BaseException | None = None
    is_disturbed: bool = False
    is_spent: bool = False
    span_trace: str | None = None
    parents: Sequence[str] = ()
    error: BaseException | None = None
    kept_log: KeptLog | None = None
    _context: JobContext | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether an async child has cancelled its body."""
        return self.stop_reason is not None or self.stray_error is not None

    @property
    def context(self) -> JobContext:
        """The job as its body sees it; most bodies never ask for it."""
        if self._context is None:
            self._context = JobContext(
                self.job, task=self.task.name, queue=self.queue, connection=self.connection,
                spawn=self._spawn, progress=self.progress, replace=_replace,
                inputs=lambda: Inputs(self.app, self.job_options.get("inputs") or {}),
            )  # fmt: skip
        return self._context

    def run_body(self) -> Any:
        """Call the function, and run a spawner's generator; the result to store."""
        if self.spawn_config is None:
            return self._call()
        self._validate()
        return self._spawn_from(self._call())

    async def run_body_async(self) -> Any:
        """As :meth:`run_body`, for an async function or async generator."""
        self._validate()
        if EACH in self.job_options:
            value = [await self.task.fn(*arguments) for arguments in self.args[0]]
        else:
            value = self.task.fn(*self.args, **self.kwargs)
            if hasattr(value, "__aiter__"):
                return await self._spawn_async(value)
            value = await value
        return value if self.spawn_config is None else self._spawn_from(value)

    def _call(self) -> Any:
        if EACH in self.job_options:
            return [self.task.fn(*arguments) for arguments in self.args[0]]
        return self.task.fn(*self.args, **self.kwargs)

    async def _spawn_async(self, children: AsyncIterator[Any]) -> None:
        if self.spawn_config is None:
            raise TypeError(f"{self.task.name} is an async generator: declare it as a spawner")
        await self._open_spawn_buffer().add_all_async(children)

    def close(self) -> None:
        """Drop the file of spooled children, if there is one."""
        if self.spawn_buffer is not None:
            with contextlib.suppress(OSError):  # a full disk: the file is dropped all the same
                self.spawn_buffer.close()

    def operation(self) -> Operation | None:
        """The record of a run that has spawned, or whose spawn configuration says it should."""
        if self.spawn_buffer is None and self.spawn_config is None:
            return None
        return self._open_spawn_buffer().operation()

    def spawn_context(self, *, ended: bool, result: Any = None) -> SpawnContext:
        """The argument of hooks and spawn handlers, with the children once the body has ended."""
        buffer = self.spawn_buffer if ended else None
        return SpawnContext(
            job_id=self.context.id,
            task=self.task.name,
            args=self.args,
            kwargs=self.kwargs,
            config=self.spawn_config or SpawnConfig(),
            depth=self.job.depth,
            spawned=None if buffer is None else buffer.count,
            children=None if buffer is None else tuple(buffer.first_ids),
            result=result,
        )

    def _spawn(self, child: Any) -> uuid.UUID:
        return uuid.UUID(bytes=self._open_spawn_buffer().add(child))

    def _validate(self) -> None:
        hook: Callable[[SpawnContext], Any] | None = self.task.defaults.validate
        if hook is None or self.spawn_config is None:
            return
        if hook(self.spawn_context(ended=False)) is False:
            raise SpawnInvalid(f"the validate hook of {self.task.name} refused its run")

    def _spawn_from(self, value: Any) -> Any:
        """Spawn what the body returned, or what the handler named in the spawn configuration of
        this call makes of it; the result to store."""
        config = self.spawn_config
        if isinstance(self.task, Spawner) or config is None or config.handler is None:
            return self._spawn_returned(value)
        handlers = self.app.spawn_handlers
        handler = handlers.get(config.handler)
        if handler is None:
            raise SpawnInvalid(
                f"no spawn handler named {config.handler!r} is registered in this app (registered: "
                f"{', '.join(sorted(handlers)) or 'none'}): import the module that defines it"
            )
        self._open_spawn_buffer().add_all(
            handler(self.spawn_context(ended=False, result=value)) or ()
        )
        return value

    def _spawn_returned(self, value: Any) -> Any:
        buffer, is_spawner = self._open_spawn_buffer(), isinstance(self.task, Spawner)
        if isinstance(value, Iterator) or (_are_signatures(value) and (value or is_spawner)):
            return buffer.add_all(value)
        if is_spawner and value is not None:
            if type(value) in UNFINISHED:
                raise unfinished(self.task.name, value)
            kind = type(value).__name__
            raise TypeError(f"the spawner {self.task.name} must yield signatures, not {kind}")
        return value

    def _open_spawn_buffer(self) -> SpawnBuffer:
        if self.spawn_buffer is None:
            options = self.run_options
            inheritable = {
                "timeout": options.timeout, "soft_timeout": options.soft_timeout,
                "max_attempts": options.max_attempts, "backoff": options.backoff.to_dict(),
            }  # fmt: skip
            config = self.spawn_config or SpawnConfig()
            parent = Parent(self.job, self.queue, config, inheritable)
            waits = bool(self.job_options.get("wait_for_children"))
            self.spawn_buffer = SpawnBuffer(
                self.app, parent, self.task.defaults.then, self.task.name, waits
            )
        return self.spawn_buffer


def _replace(canvas: Any) -> NoReturn:
    raise ReplaceAsked(canvas)


def _are_signatures(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(item, Canvas | Workflow | Batch) for item in value
    )
