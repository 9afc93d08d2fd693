"""Calls: how a call of a task becomes the row of a job."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hammerflow.canvas.signature import CallOptions, Signature, to_json
from hammerflow.canvas.spawn import SpawnConfig
from hammerflow.codec.codec import Codec
from hammerflow.durations import seconds
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.ids import new_id
from hammerflow.jobs.job import Claimed, NewJob, checked_priority
from hammerflow.tasks.options import TaskOptions
from hammerflow.tasks.task import Task
from hammerflow.text import checked_name

__all__ = ["JobFactory", "Parent", "errback_takes_three"]

#: Names of the tasks that every app has.
_OWN = "hammerflow."
#: What holds for a task that this process does not know.
_UNKNOWN = TaskOptions()


class Parent(NamedTuple):
    """The job that spawns, and the rules by which its children inherit."""

    job: Claimed
    queue: str
    config: SpawnConfig
    options: Mapping[str, Any]  # what holds for it: timeout, soft_timeout, max_attempts, backoff


class JobFactory:
    """Makes rows of calls: checks and encodes arguments, resolves options.

    Args:
        tasks: the registry, by name.
    """

    def __init__(self, tasks: Mapping[str, Task[..., Any]], codec: Codec) -> None:
        self._tasks = tasks
        self._codec = codec

    def task(self, name: str, *, must: bool = False) -> Task[..., Any] | None:
        """The task of a name.

        Args:
            must: there must be one, unless this app has no tasks at all: then it is a client that
                knows them by name only.

        Raises:
            WorkflowInvalid: there is none.
        """
        task = self._tasks.get(name)
        if task is None and must and any(not known.startswith(_OWN) for known in self._tasks):
            raise WorkflowInvalid(
                f"no task named {name!r} is registered in this app: import the module that "
                "defines it"
            )
        return task

    def check(self, task: Task[..., Any], signature: Signature, *, feeds: int = 0) -> None:
        """Whether the arguments fit the function.

        Args:
            feeds: how many come before those of the signature; -1: one or three, as an errback
                likes it.

        Raises:
            TypeError: they do not.
        """
        if feeds < 0 and errback_takes_three(task, signature.args, signature.kwargs):
            return
        task.check(*(None,) * abs(feeds), *signature.args, **signature.kwargs)

    def from_signature(
        self,
        signature: Signature,
        *,
        parent: Parent | None = None,
        spawn_index: int | None = None,
        dependent_id: bytes | None = None,
        feeds: int = 0,
    ) -> NewJob:
        """The row that a signature becomes: arguments checked and encoded, options resolved.

        Args:
            parent: the spawning job, for children.
            spawn_index: position among its children.
            dependent_id: the job that waits for this one and its siblings.
            feeds: how many arguments will come before its own.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded.
        """
        given: object = signature
        if not isinstance(given, Signature):
            kind = type(given).__name__
            raise TypeError(f"a signature is wanted, as task.s(...) makes it, not {kind}")
        task = self._tasks.get(signature.task)
        if task is not None:
            self.check(task, signature, feeds=feeds)
        if parent is not None and not signature.options:
            plain = self._plain_child(task, signature, parent, spawn_index, dependent_id)
            if plain is not None:
                return plain
        job = self.make(
            task, signature.task, signature.args, signature.kwargs, signature.options, parent
        )
        if parent is None:
            return job
        return self.as_child(
            job, signature, parent, spawn_index=spawn_index, dependent_id=dependent_id
        )

    def as_child(
        self,
        job: NewJob,
        signature: Signature,
        parent: Parent,
        *,
        spawn_index: int | None,
        dependent_id: bytes | None,
    ) -> NewJob:
        """A row with what it inherits of the job that spawns it."""
        task = self._tasks.get(signature.task)
        config, above = parent.config, parent.job
        own = set(signature.options) | (task.defaults.declared if task is not None else set())
        delay = job.delay
        if spawn_index is not None and config.spawn_delay and not job.pending:
            delay = (delay or 0.0) + spawn_index * seconds(config.spawn_delay, "spawn_delay")
        inherits = config.inherit_priority and "priority" not in own
        return job._replace(
            queue=parent.queue if config.inherit_queue and "queue" not in own else job.queue,
            priority=above.priority if inherits else job.priority,
            parent_id=above.id,
            root_id=above.root_id or above.id,
            depth=above.depth + 1,
            spawn_index=spawn_index,
            dependent_id=dependent_id,
            workflow_id=job.workflow_id or above.workflow_id,
            delay=delay,
            trace=job.trace or (above.trace if config.inherit_trace else None),
        )

    def _plain_child(
        self,
        task: Task[..., Any] | None,
        signature: Signature,
        parent: Parent,
        spawn_index: int | None,
        dependent_id: bytes | None,
    ) -> NewJob | None:
        """The short way for a child without options of its own (a hundred thousand of them)."""
        config, above = parent.config, parent.job
        if config.inherit_timeout or config.inherit_retry:
            return None
        defaults = task.defaults if task is not None else _UNKNOWN
        declared = defaults.declared
        delay = None
        if config.spawn_delay and spawn_index:
            delay = spawn_index * seconds(config.spawn_delay, "spawn_delay")
        return NewJob(
            new_id(),
            signature.task,
            parent.queue if config.inherit_queue and "queue" not in declared else defaults.queue,
            above.priority
            if config.inherit_priority and "priority" not in declared
            else defaults.priority,
            self._codec.encode_call(
                signature.args, signature.kwargs, serializer=defaults.serializer
            ),
            None,
            None,
            above.id,
            above.root_id or above.id,
            above.depth + 1,
            spawn_index,
            dependent_id,
            None,
            delay,
            None,
            defaults.expires,
            None,
            None,
            above.trace if config.inherit_trace else None,
            above.workflow_id,
        )

    def make(
        self,
        task: Task[..., Any] | None,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: CallOptions,
        parent: Parent | None = None,
    ) -> NewJob:
        defaults = task.defaults if task is not None else _UNKNOWN
        encoded = self._codec.encode_call(args, kwargs, serializer=defaults.serializer)
        if not options and parent is None:
            return NewJob(
                new_id(), name, defaults.queue, defaults.priority, encoded,
                expires=defaults.expires,
            )  # fmt: skip
        eta, expires = options.get("eta"), options.get("expires", defaults.expires)
        delay = options.get("delay")
        if eta is not None and delay is not None:
            raise ConfigError("give either a delay (countdown) or an eta, not both")
        expires_at = _aware(expires, "expires") if isinstance(expires, datetime) else None
        return NewJob(
            id=_job_id(options.get("job_id")),
            task=name,
            queue=checked_name(options.get("queue", defaults.queue), "a queue's name"),
            priority=checked_priority(options.get("priority", defaults.priority)),
            args=encoded,
            options=to_json(_overrides(options, defaults, parent)),
            headers=_headers(options.get("headers")),
            unique_key=_key(options.get("unique_key")),
            delay=None if delay is None else seconds(delay, "delay"),
            eta=None if eta is None else _aware(eta, "eta"),
            expires=_relative(expires),
            expires_at=expires_at,
        )


def errback_takes_three(
    task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Whether a function takes ``(request, exception, traceback)`` before these arguments, as
    Celery's errbacks may."""
    try:
        task.check(None, None, None, *args, **kwargs)
    except TypeError:
        return False
    return True


def _overrides(
    options: CallOptions, defaults: TaskOptions, parent: Parent | None
) -> dict[str, Any]:
    """What is stored with the job: the call's own word, or its parent's where that is inherited."""
    stored: dict[str, Any] = {}
    if parent is not None:
        stored.update(_inherited(defaults, parent))
    for name in ("timeout", "soft_timeout"):
        if name in options:
            stored[name] = seconds(options[name], name)
    if "max_attempts" in options:
        if options["max_attempts"] < 1:
            raise ConfigError(f"max_attempts must be 1 or more, not {options['max_attempts']}")
        stored["max_attempts"] = options["max_attempts"]
    if "backoff" in options:
        stored["backoff"] = options["backoff"].to_dict()
    if "store_result" in options:
        stored["store_result"] = bool(options["store_result"])
    if "spawn" in options:
        stored["spawn"] = _plain_config(options["spawn"])
    return stored


def _inherited(defaults: TaskOptions, parent: Parent) -> dict[str, Any]:
    names: list[str] = []
    if parent.config.inherit_timeout:
        names += ["timeout", "soft_timeout"]
    if parent.config.inherit_retry:
        names += ["max_attempts", "backoff"]
    return {
        name: parent.options[name]
        for name in names
        if name not in defaults.declared and parent.options.get(name) is not None
    }


def _plain_config(config: SpawnConfig) -> dict[str, Any]:
    plain = asdict(config)
    plain["spawn_delay"] = seconds(config.spawn_delay, "spawn_delay")
    plain["metadata"] = dict(config.metadata)
    return plain


def _headers(headers: Mapping[str, Any] | None) -> str | None:
    if not headers:
        return None
    try:
        return to_json(headers)
    except (TypeError, ValueError) as error:
        raise TypeError(f"headers must be a mapping that JSON can hold: {error}") from None


def _relative(expires: float | timedelta | datetime | None) -> float | None:
    if expires is None or isinstance(expires, datetime):
        return None
    return seconds(expires, "expires")


def _aware(instant: datetime, what: str) -> datetime:
    if instant.tzinfo is None:
        raise ConfigError(f"{what} must be an aware datetime (with a time zone), not {instant}")
    return instant


def _key(value: str | None) -> str | None:
    return None if value is None else checked_name(value, "a unique key")


def _job_id(value: uuid.UUID | None) -> bytes:
    if value is None:
        return new_id()
    if not isinstance(value, uuid.UUID):
        raise ConfigError(f"job_id must be a uuid.UUID, not {value!r}")
    return value.bytes
