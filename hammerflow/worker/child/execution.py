"""Call: a job made ready to run, and what its body asks for while it runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from hammerflow.app import Hammerflow
from hammerflow.canvas.chain import Canvas
from hammerflow.canvas.spawn import SpawnConfig, SpawnContext
from hammerflow.context import JobContext
from hammerflow.enqueue.job_factory import Parent
from hammerflow.errors import SpawnInvalid
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Operation
from hammerflow.tasks.task import Spawner, Task
from hammerflow.worker.child.inputs import Inputs
from hammerflow.worker.child.spawn_buffer import SpawnBuffer
from hammerflow.worker.run_options import RunOptions
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.workflow import Workflow

__all__ = ["JobExecution"]


class Runner(Protocol):
    """What a call needs of its executor."""

    app: Hammerflow
    worker_id: int

    def context(self, call: JobExecution) -> JobContext:
        """What the body of a call sees."""


class JobExecution:
    """A job made ready to run: its task, policy and decoded arguments."""

    __slots__ = (
        "_context", "_executor", "args", "config", "connection", "job", "kwargs", "options",
        "policy", "spawning", "stop", "task", "worker_id",
    )  # fmt: skip

    def __init__(
        self,
        executor: Runner,
        job: Claimed,
        task: Task[..., Any],
        policy: RunOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        config: SpawnConfig | None,
        options: Mapping[str, Any],
    ) -> None:
        self._executor = executor
        self._context: JobContext | None = None
        self.job = job
        self.task = task
        self.policy = policy
        self.args = args
        self.kwargs = kwargs
        self.config = config
        self.options = options  # what this call says, and its place in a workflow
        self.spawning: SpawnBuffer | None = None
        self.stop: str | None = None  # why a loop child cancels it: "cancel" or "timeout"
        self.worker_id = executor.worker_id  # who holds the lease
        self.connection: Any = None  # of its own transaction

    @property
    def context(self) -> JobContext:
        """What the body sees of it."""
        if self._context is None:
            self._context = self._executor.context(self)
        return self._context

    def add_child(self, child: Any) -> uuid.UUID:
        """``current_job().spawn``."""
        return uuid.UUID(bytes=self._open_spawning().add(child))

    def inputs(self) -> Inputs:
        """``current_job().inputs``."""
        return Inputs(self._executor.app, self.options.get("inputs") or {})

    def body(self) -> Any:
        """Run the function, and for a spawner its generator."""
        if self.config is None:
            return self.task.fn(*self.args, **self.kwargs)
        self._validate()
        return self._spawn_after(self.task.fn(*self.args, **self.kwargs))

    async def body_async(self) -> Any:
        """The same for an async function or generator."""
        if self.config is not None:
            self._validate()
        value = self.task.fn(*self.args, **self.kwargs)
        if hasattr(value, "__aiter__"):
            if self.config is None:
                raise TypeError(f"{self.task.name} is an async generator: declare it as a spawner")
            return await self._open_spawning().add_all_async(value)
        value = await value
        return value if self.config is None else self._spawn_after(value)

    def operation(self) -> Operation | None:
        """What is recorded of a run that spawned, or was to."""
        if self.spawning is None and self.config is None:
            return None
        return self._open_spawning().operation()

    def spawn_context(self, *, ended: bool, result: Any = None) -> SpawnContext:
        """What hooks and handlers see."""
        spawning = self.spawning
        return SpawnContext(
            job_id=self.context.id,
            task=self.task.name,
            args=self.args,
            kwargs=self.kwargs,
            config=self.config or SpawnConfig(),
            depth=self.job.depth,
            spawned=spawning.count if spawning is not None and ended else None,
            children=tuple(spawning.first_ids) if spawning is not None and ended else None,
            result=result,
        )

    def _validate(self) -> None:
        hook = self.task.defaults.validate
        if hook is None:
            return
        verdict: Any = hook(self.spawn_context(ended=False))
        if verdict is False:
            raise SpawnInvalid(f"the validate hook of {self.task.name} refused its run")

    def _spawn_after(self, value: Any) -> Any:
        """The children of a body that has returned: its own, or those of the handler named in the
        configuration of this call."""
        if isinstance(self.task, Spawner) or self.config is None or self.config.handler is None:
            return self._drain(value)
        handler = self._executor.app.spawn_handlers.get(self.config.handler)
        if handler is None:
            known = ", ".join(sorted(self._executor.app.spawn_handlers)) or "none"
            raise SpawnInvalid(
                f"no spawn handler named {self.config.handler!r} is registered in this app "
                f"(registered: {known}): import the module that defines it"
            )
        self._open_spawning().add_all(handler(self.spawn_context(ended=False, result=value)) or ())
        return value

    def _drain(self, value: Any) -> Any:
        """Turn what a spawner's function returned into children; the result that is left."""
        spawning = self._open_spawning()
        if isinstance(value, Iterator) or _are_signatures(value):
            return spawning.add_all(value)
        if isinstance(self.task, Spawner) and value is not None:
            kind = type(value).__name__
            raise TypeError(f"the spawner {self.task.name} must yield signatures, not {kind}")
        return value

    def _open_spawning(self) -> SpawnBuffer:
        if self.spawning is None:
            config = self.config or SpawnConfig()
            policy = self.policy
            holds = {
                "timeout": policy.timeout,
                "soft_timeout": policy.soft_timeout,
                "max_attempts": policy.max_attempts,
                "backoff": policy.backoff.to_dict(),
            }
            parent = Parent(self.job, self.context.queue, config, holds)
            then = self.task.defaults.then
            self.spawning = SpawnBuffer(
                self._executor.app,
                parent,
                then=then,
                handler=self.task.name,
                wait_for_children=bool(self.options.get("wait_for_children")),
            )
        return self.spawning


def _are_signatures(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(item, Canvas | Workflow | Batch) for item in value
    )
