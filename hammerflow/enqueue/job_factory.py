"""JobFactory: a call of a task as the row of a job."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from hammerflow.canvas.options import EACH, LIMITS, CallOptions, known_options, to_json
from hammerflow.canvas.signature import Signature
from hammerflow.canvas.spawn import SpawnConfig
from hammerflow.codec.codec import Codec
from hammerflow.durations import LONGEST
from hammerflow.enqueue.unique_text import unique_text
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.ids import name_id, new_id
from hammerflow.introspection.kinds import is_a, kind_name
from hammerflow.jobs.job import Claimed, NewJob, RowFlags
from hammerflow.jobs.limit import key_id
from hammerflow.jobs.unique import UniqueKey
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.tasks.limit_key import key_of_call
from hammerflow.tasks.options import TaskOptions, refuse_limits
from hammerflow.tasks.task import Task
from hammerflow.telemetry.trace_context import inherited_trace
from hammerflow.text import checked_name

__all__ = ["JobFactory", "Parent", "errback_takes_three", "fed", "one_signature"]

#: Options of a task that is not registered in this process.
_UNREGISTERED = TaskOptions()
#: Of a call: the number and the text of the key under which it is limited, and the key by which it
#: takes turns with others.
_LimitKeys = tuple[int | None, str | None, str | None]


class Parent(NamedTuple):
    """The job that spawns, and the rules by which its children inherit.

    Attributes:
        queue: the name of its queue.
        options: the timeout, soft_timeout, max_attempts and backoff in force for it.
    """

    job: Claimed
    queue: str
    config: SpawnConfig
    options: Mapping[str, Any]


class JobFactory:
    """Makes rows of calls: checks and encodes their arguments, resolves their options."""

    def __init__(self, tasks: Mapping[str, Task[..., Any]], codec: Codec) -> None:
        self._tasks = tasks
        self._codec = codec

    def task(self, name: str, *, must: bool = False) -> Task[..., Any] | None:
        """The registered task of this name; None if there is none.

        With ``must`` this raises WorkflowInvalid instead, unless the app has no tasks of its own:
        then it is a client that knows tasks by name only.
        """
        task = self._tasks.get(name)
        if task is None and must and not all(known.startswith(BUILTIN) for known in self._tasks):
            raise WorkflowInvalid(
                f"no task named {name!r} is registered in this app: import the module that "
                "defines it"
            )
        return task

    def check(self, task: Task[..., Any], signature: Signature, *, feeds: int = 0) -> None:
        """Check that the arguments fit the function; TypeError if they do not.

        Args:
            feeds: how many results come before the signature's arguments; -1 for an errback, which
                takes one or three.
        """
        if EACH in signature.options:  # checked item by item by Task.map
            return
        task.check(*fed(task, signature.args, signature.kwargs, feeds), **signature.kwargs)

    def stores_result(self, signature: Signature) -> bool:
        """Whether a call's result is stored; True for a task that is not registered here."""
        task = self._tasks.get(signature.task)
        stores = task is None or task.defaults.store_result
        return bool(signature.options.get("store_result", stores))

    def from_signature(
        self, signature: Signature | Any, *, parent: Parent | None = None,
        spawn_index: int | None = None, dependent_id: bytes | None = None, feeds: int = 0,
    ) -> NewJob:  # fmt: skip
        """The row of a signature: arguments checked and encoded, options resolved.

        Args:
            parent: the spawning job, if this is a child.
            spawn_index: its position among the children.
            dependent_id: the job that waits for this one and its siblings.
            feeds: as for :meth:`check`.
        """
        task = self._tasks.get(one_signature(signature).task)
        if task is not None:
            self.check(task, signature, feeds=feeds)
        is_unique = task is not None and task.defaults.unique is not None
        if parent is not None and not (signature.options or is_unique):
            plain = self._plain_child(task, signature, parent, spawn_index, dependent_id)
            if plain is not None:
                return plain
        job = self.make(
            task, signature.task, signature.args, signature.kwargs, signature.options, parent,
            feeds=feeds,
        )  # fmt: skip
        if parent is None:
            return job
        job = job._replace(dependent_id=dependent_id)
        return self.as_child(job, signature, parent, spawn_index=spawn_index)

    def as_child(
        self, job: NewJob, signature: Signature, parent: Parent, *, spawn_index: int | None
    ) -> NewJob:
        """A row with what it inherits from the job that spawns it."""
        task = self._tasks.get(signature.task)
        config, above = parent.config, parent.job
        own = set(signature.options) | (task.defaults.declared if task is not None else set())
        delay = job.delay
        if spawn_index is not None and config.spawn_delay and not job.pending:
            delay = min((delay or 0.0) + spawn_index * config.spawn_delay, LONGEST)
        inherits = config.inherit_priority and "priority" not in own
        return job._replace(
            queue=parent.queue if config.inherit_queue and "queue" not in own else job.queue,
            priority=above.priority if inherits else job.priority,
            parent_id=above.id,
            root_id=above.root_id or above.id,
            depth=above.depth + 1,
            spawn_index=spawn_index,
            workflow_id=job.workflow_id or above.workflow_id,
            delay=delay,
            trace=job.trace
            or (inherited_trace(above.trace, spawn_index) if config.inherit_trace else None),
        )

    def _plain_child(
        self, task: Task[..., Any] | None, signature: Signature, parent: Parent,
        spawn_index: int | None, dependent_id: bytes | None,
    ) -> NewJob | None:  # fmt: skip
        """The row of a child without options, if it inherits neither timeouts nor retries.

        A shortcut past :meth:`make` and :meth:`as_child`, because spawners yield a hundred thousand
        of them; positional for the same reason.
        """
        config, above = parent.config, parent.job
        is_limited = task is not None and task.limit is not None
        if config.inherit_timeout or config.inherit_retry or is_limited:
            return None
        defaults = task.defaults if task is not None else _UNREGISTERED
        own, queue, priority, delay = defaults.declared, defaults.queue, defaults.priority, None
        if config.inherit_queue and "queue" not in own:
            queue = parent.queue
        if config.inherit_priority and "priority" not in own:
            priority = above.priority
        if config.spawn_delay and spawn_index:
            delay = min(spawn_index * config.spawn_delay, LONGEST)
        args = self._codec.encode_call(signature.args, signature.kwargs, defaults.serializer)
        trace = inherited_trace(above.trace, spawn_index) if config.inherit_trace else None
        return NewJob(
            new_id(), signature.task, queue, priority, args, None, None,
            above.id, above.root_id or above.id, above.depth + 1, spawn_index, dependent_id,
            None, delay, None, defaults.expires, None, None, trace, above.workflow_id,
        )  # fmt: skip

    def make(
        self, task: Task[..., Any] | None, name: str, args: tuple[Any, ...],
        kwargs: Mapping[str, Any], given: CallOptions, parent: Parent | None = None, *,
        feeds: int = 0,
    ) -> NewJob:  # fmt: skip
        """The row of a call whose arguments were checked.

        Args:
            task: None if it is not registered in this process.
            given: what the call sets differently from its task.
            parent: the spawning job, whose timeouts and retries may be inherited.
            feeds: as for :meth:`check`. A call that takes results has no unique key by its task's
                rule, as its arguments are not known yet.

        Raises:
            NotEncodable: an argument cannot be encoded.
            ConfigError: an option is out of range.
        """
        if task is None:
            name = checked_name(name, "the task of a signature")
        defaults = task.defaults if task is not None else _UNREGISTERED
        encoded = self._codec.encode_call(args, kwargs, serializer=defaults.serializer)
        limit = _limit_of(task, args, kwargs, given, feeds)
        if not given and parent is None:  # the usual call, in the fewest steps
            limit_id, limit_key, fair_key = limit
            job = NewJob(
                new_id(), name, defaults.queue, defaults.priority, encoded,
                expires=defaults.expires, limit_id=limit_id, limit_key=limit_key,
                fair_key=fair_key,
            )  # fmt: skip
            rule = defaults.unique
        else:
            options = _checked_options(given, defaults, name)
            job = _with_options(name, encoded, options, defaults, parent, limit)
            has_own_key = EACH in options or "unique_key" in options
            rule = None if has_own_key else options.get("unique", defaults.unique)
        if rule is None or feeds:
            return job
        return self._with_key(job, rule, task, args, kwargs)

    def _with_key(
        self, job: NewJob, rule: UniqueKey, task: Task[..., Any] | None, args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> NewJob:  # fmt: skip
        """The row of a call to which a rule for unique keys applies."""
        fn = None if task is None else task.fn
        text = unique_text(rule, job.task, fn, tuple(args), kwargs, self._codec)
        delay = job.delay
        if rule.on_conflict == "debounce" and delay is None and job.eta is None:
            delay = rule.within
            if delay is None:
                raise ConfigError(
                    f"{job.task}: a debounced call needs a delay: give within= to its UniqueKey, "
                    "or delay= to the call"
                )
        job = _not_after(job._replace(delay=delay), rule.max_wait)
        return job._replace(
            unique=rule.held(text),
            unique_key=None if rule.on_conflict == "throttle" else text,  # only time frees that
            flags=job.flags | RowFlags.FREED_AT_START if rule.frees_at_start else job.flags,
        )


def _checked_options(given: CallOptions, defaults: TaskOptions, name: str) -> Any:
    """The options of a call, which fit each other and those of the task."""
    options: Any = known_options(given, name)
    if "eta" in options and "delay" in options:  # each was given by a call of its own
        raise ConfigError(f"{name}: give either delay (countdown) or eta, not both")
    refuse_limits(options, defaults, f"{name}: ")
    return options


def _with_options(
    name: str, encoded: bytes, options: Mapping[str, Any], defaults: TaskOptions,
    parent: Parent | None, limit: _LimitKeys,
) -> NewJob:  # fmt: skip
    """The row of a call that sets options, or may inherit some from its parent."""
    limit_id, limit_key, fair_key = limit
    expires: Any = options.get("expires", defaults.expires)
    is_instant = isinstance(expires, datetime)
    return NewJob(
        id=options["job_id"].bytes if "job_id" in options else new_id(),
        task=name,
        queue=options.get("queue", defaults.queue),
        priority=options.get("priority", defaults.priority),
        args=encoded,
        options=to_json(_overrides(options, defaults, parent)),
        headers=to_json(options.get("headers")),
        unique_key=options.get("unique_key"),
        delay=options.get("delay"),
        eta=options.get("eta"),
        expires=None if is_instant else expires,
        expires_at=expires if is_instant else None,
        limit_id=limit_id,
        limit_key=limit_key,
        fair_key=fair_key,
    )


def _not_after(job: NewJob, max_wait: float | None) -> NewJob:
    """A call that is due ``max_wait`` seconds from now at the latest."""
    eta = None if job.eta is None else job.eta.timestamp() - time.time()
    if max_wait is None or (job.delay or eta or 0.0) <= max_wait:
        return job
    return job._replace(delay=max_wait, eta=None)


def fed(
    task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], feeds: int,
    result: object = None,
) -> tuple[Any, ...]:  # fmt: skip
    """The positional arguments of a call behind the results that come first.

    Args:
        feeds: as for :meth:`JobFactory.check`.
        result: is put in the place of each.
    """
    first = 3 if feeds < 0 and errback_takes_three(task, args, kwargs) else abs(feeds)
    return (result,) * first + args


def _limit_of(
    task: Task[..., Any] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any],
    given: CallOptions, feeds: int,
) -> _LimitKeys:  # fmt: skip
    """The keys of a call: each None if no limit, or no rule of fairness, applies to it."""
    if task is None or task.limit is None:
        return None, None, None
    keys = {}
    for option in ("limit_key", "fair_by"):
        rule = getattr(task.defaults, option)
        if rule is not None and EACH in given:
            raise ConfigError(
                f"task {task.name} has a {option}, and map(), starmap() or chunks() would put "
                "calls with several keys into one job: send a group of its signatures"
            )
        if rule is not None:
            fed_args = fed(task, args, kwargs, feeds)
            keys[option] = key_of_call(task.fn, task.name, option, rule, fed_args, kwargs)
    key = keys.get("limit_key", "")
    return key_id(name_id(task.name), key), key, keys.get("fair_by")


def one_signature(value: Any) -> Signature:
    """The value itself; TypeError unless it is a signature."""
    if not is_a(value, Signature):
        raise TypeError(f"expected a signature (task.s(...)), got {kind_name(value)}")
    return value


def errback_takes_three(
    task: Task[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Whether a function takes ``(request, exception, traceback)`` before these arguments: one of
    the two forms of an errback in Celery. A decorator's wrapper takes what it wraps takes."""
    try:
        inspect.signature(task).bind(None, None, None, *args, **kwargs)
    except (TypeError, ValueError):
        return False
    return True


def _overrides(
    options: Mapping[str, Any], defaults: TaskOptions, parent: Parent | None
) -> dict[str, Any]:
    """The options stored with the job: those of the call, else those inherited from its parent."""
    stored: dict[str, Any] = {}
    if parent is not None:
        stored.update(_inherited(defaults, parent))
    stored.update((name, options[name]) for name in _STORED if name in options)
    if "backoff" in options:
        stored["backoff"] = options["backoff"].to_dict()
    if "spawn" in options:
        stored["spawn"] = asdict(options["spawn"])
    return stored


#: Options of a call that its job carries as they are.
_STORED = ("timeout", "soft_timeout", *LIMITS, "max_attempts", "store_result", EACH)


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
