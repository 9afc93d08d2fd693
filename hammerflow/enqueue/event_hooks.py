"""``@app.on``: functions that run as durable jobs, one for each matching event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.options.checks import NAME_CHECK
from hammerflow.tasks.task import Task

if TYPE_CHECKING:
    from hammerflow.codec.codec import Codec
    from hammerflow.sinks.declared import DeclaredSinks

__all__ = ["hook_on"]

_Names = str | Sequence[str]


class _HookApp(Protocol):
    @property
    def sinks(self) -> DeclaredSinks: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def task(self) -> Callable[..., Any]: ...
    @property
    def _factory(self) -> JobFactory: ...


def hook_on(
    self: _HookApp, *kinds: str, queue: _Names = (), task: _Names = (),
    min_priority: int | str | None = None, min_duration: float | timedelta | str | None = None,
    with_headers: Mapping[str, str] | None = None,
    with_metadata: Mapping[str, str] | None = None,
    include: Sequence[str] = (), sink: str | None = None, **options: Any,
) -> Callable[[Callable[..., Any]], Any]:  # fmt: skip
    """Run a function as a job for each event of these kinds: ``@app.on("job.failed")``.

    The function takes one argument, the :class:`~hammerflow.events.event.Event`. Its job is written
    by the transaction that moves the hook's place in the log, so no event is missed and none makes
    two jobs, whoever is killed. Events of the job itself are not logged, so it causes no other.
    Workers declare the hook at their start; it gets the events that come after that.

    Args:
        kinds: ``job.failed``, or ``job.*`` for all of a noun; one at least.
        queue: only events of jobs of this queue, or of one of these; names may hold ``*``.
        task: only events of jobs of this task, or of one of these; likewise.
        min_priority: 0 to 4, or a name: only events of jobs of this priority or above.
        min_duration: seconds that an attempt took at least.
        with_headers: only events of jobs with these headers.
        with_metadata: only events of workflows and spawners with this in their metadata.
        include: ``args``, ``result`` or both, to tell these of jobs, too.
        sink: the name of the hook among the sinks; by default ``on:`` and the task's name. Needed
            where one function has two hooks.
        options: of the task, as :meth:`task` takes them, except its queue: for that, or for a
            spawner, decorate a task: ``@app.on(...)`` above ``@app.task(queue="hooks")``.

    Raises:
        ConfigError: a kind does not exist, an option is wrong, the name is taken, or a limit or
            unique key of the task depends on its arguments.
        TypeError: the function does not take the event alone.
    """
    if not kinds:
        raise ConfigError('app.on takes the kinds of events: @app.on("job.failed")')
    parts = {
        "kinds": kinds, "queues": queue, "tasks": task, "min_priority": min_priority,
        "min_duration": min_duration, "headers": with_headers, "metadata": with_metadata,
    }  # fmt: skip

    def declare(fn: Callable[..., Any]) -> Any:
        made = _task_of(self, fn, options)
        name = f"on:{made.name}" if sink is None else NAME_CHECK(sink, "sink")
        given: dict[str, Any] = {"call": _template(self, made)}
        if include:
            given["include"] = include
        self.sinks.add(name, "hook", given, parts)
        return made

    return declare


def _task_of(app: _HookApp, fn: Any, options: Mapping[str, Any]) -> Task[..., Any]:
    """The task of the function, which may be one already."""
    from hammerflow.events.event import Event
    from hammerflow.sinks.hook import EVENT_NAME

    if not is_a(fn, Task):
        fn = app.task(**options)(fn)
    elif options:
        raise ConfigError(f"app.on: {fn.name} is a task already: give its options to app.task")
    app.codec.register(Event, name=EVENT_NAME)
    fn.check(None)
    return fn  # type: ignore[no-any-return]


def _template(app: _HookApp, task: Task[..., Any]) -> dict[str, Any]:
    """Its job without the event."""
    from hammerflow.schedules.call_template import CallTemplate

    defaults = task.defaults
    keyed = [name for name in ("unique", "limit_key", "fair_by") if getattr(defaults, name, None)]
    if keyed:
        raise ConfigError(
            f"app.on: the task {task.name} has {keyed[0]}, which is computed from the arguments of "
            "a call, and a hook has none: let the hook enqueue a job of such a task"
        )
    job = app._factory.make(task, task.name, (), {}, {})
    return CallTemplate((), [job]).numbered().to_json()
