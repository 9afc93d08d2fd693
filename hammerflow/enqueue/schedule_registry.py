"""ScheduleRegistry: the schedules that the code of an app declares, as definitions for workers."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from hammerflow.canvas.chain import Canvas
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.enqueue.schedule_edits import SUMMARY
from hammerflow.enqueue.workflow_rows import BatchStream, rows_of
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.ids import new_id
from hammerflow.introspection.kinds import is_a, kind_name
from hammerflow.jobs.job import NewJob, NewWorkflow
from hammerflow.options.option import checked
from hammerflow.schedules.call_template import CallTemplate
from hammerflow.schedules.definition import (
    parsed_when,
    read_definition,
    refuse_never_due,
    to_plain,
)
from hammerflow.schedules.options import DECORATOR_OPTIONS, SCHEDULE_OPTIONS
from hammerflow.schedules.order import refuse_circle
from hammerflow.tasks.task import Task
from hammerflow.text import checked_name, safe_repr, storable
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.plan import plan_of
from hammerflow.workflows.workflow import Workflow

__all__ = ["ScheduleRegistry"]

F = TypeVar("F")
#: Jobs that one tick enqueues.
_MOST_JOBS = 10_000


class _Awaited(NamedTuple):
    """A schedule of a function that is to become a task."""

    fn: Any
    when: Any
    options: Mapping[str, Any]


class ScheduleRegistry:
    """The schedules of one app."""

    def __init__(self, factory: JobFactory) -> None:
        self._factory = factory
        self._definitions: dict[str, str] = {}
        self._after: dict[str, str | None] = {}
        self._awaited: list[_Awaited] = []

    def decorate(self, what: str, when: Any, options: Mapping[str, Any]) -> Callable[[F], F]:
        """The decorator that ``app.cron()`` or ``app.every()`` is, for a task, or for a function
        that the decorator above it makes one."""
        checked(DECORATOR_OPTIONS, options, what)
        if is_a(when, timedelta) is not (what == "app.every()"):
            wanted = "a timedelta" if what == "app.every()" else "a cron expression or a crontab"
            raise ConfigError(f"{what} takes {wanted}, not {safe_repr(when)}")

        def register(target: F) -> F:
            if is_a(target, Task):
                self._add_task(target, when, options)
            elif callable(target):
                self._awaited.append(_Awaited(target, when, options))
            else:
                raise ConfigError(f"{what} takes a task or a function, not {safe_repr(target)}")
            return target

        return register

    def take(self, fn: Any, task: Task[..., Any]) -> None:
        """Declare what waited for this function to become a task."""
        mine = [one for one in self._awaited if one.fn is fn]
        self._awaited = [one for one in self._awaited if one.fn is not fn]
        for one in mine:
            self._add_task(task, one.when, one.options)

    def _add_task(self, task: Task[..., Any], when: Any, options: Mapping[str, Any]) -> None:
        given = dict(options)
        name = given.pop("name", None) or task.name
        args, kwargs = given.pop("args", None) or (), given.pop("kwargs", None) or {}
        self.add(name, when, task.si(*args, **kwargs), given)

    def add(self, name: str, when: Any, work: Any, options: Mapping[str, Any]) -> None:
        """Declare a schedule; see :meth:`Hammerflow.schedule`."""
        name = checked_name(name, "a schedule's name")
        definition = json.dumps(self.definition(name, when, work, options), sort_keys=True)
        known = self._definitions.get(name)
        if known is not None and known != definition:
            raise ConfigError(
                f"the schedule {name!r} is declared already: give this one another name, name='...'"
            )
        self._definitions[name] = definition
        self._after[name] = json.loads(definition).get("after")

    def definition(
        self, name: str, when: Any, work: Any, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A definition as values for JSON, checked.

        Raises:
            ConfigError: the name, an option or ``when`` is wrong, no tick lies between start and
                end, or the call has options that only one job can have.
            TypeError: an option is unknown, or the arguments do not fit the task.
        """
        found = checked(SCHEDULE_OPTIONS, options, f"schedule {name}")
        tz = found.pop("tz", None)
        plain = parsed_when(name, when, tz)
        refuse_circle(name, {**self._after, name: found.get("after")})
        called = self.call(name, work)
        plain |= to_plain(found, plain.get("tz", "UTC"))
        plain |= called
        refuse_never_due(name, read_definition(json.dumps(plain), None, name), datetime.now(UTC))
        return plain

    def call(self, name: str, work: Any) -> dict[str, Any]:
        """What each tick enqueues, as the part of a definition.

        Raises:
            ConfigError: the call has options that only one job can have.
            TypeError: the arguments do not fit the task.
        """
        return {"call": self._template(name, work).to_json(), "summary": _summary(work)}

    def definitions(self) -> Mapping[str, str]:
        """All of them by name, as JSON.

        Raises:
            ConfigError: a function was given a schedule and never became a task.
        """
        for one in self._awaited:
            raise ConfigError(
                f"{getattr(one.fn, '__qualname__', one.fn)} has a schedule and never became a "
                "task: decorate it with @app.task, too"
            )
        return self._definitions

    def _template(self, name: str, work: Any) -> CallTemplate:
        workflows, jobs = self._rows(name, work)
        if len(jobs) > _MOST_JOBS:
            raise ConfigError(
                f"schedule {name}: one tick enqueues at most {_MOST_JOBS} jobs; let a spawner make "
                "more"
            )
        for job in jobs:
            if job.eta is not None or job.expires_at is not None:
                raise ConfigError(
                    f"schedule {name}: a call of a schedule has no fixed time: use delay and "
                    "expires in seconds"
                )
            if job.depends:
                raise WorkflowInvalid(f"schedule {name}: it cannot depend on one existing job")
        return CallTemplate(workflows, jobs).numbered()

    def _rows(self, name: str, work: Any) -> tuple[list[NewWorkflow], list[NewJob]]:
        if is_a(work, Task):
            work = work.si()
        if is_a(work, Batch):
            if work.rate_limit is not None:
                raise ConfigError(f"schedule {name}: its batch cannot have a rate_limit")
            return self._batch(work)
        if not is_a(work, Canvas | Workflow):
            raise TypeError(
                f"schedule {name}: expected a signature (task.s(...)), a canvas or a workflow, got "
                f"{kind_name(work)}"
            )
        plan = plan_of(work, new_id)
        if plan.given_ids():
            raise ConfigError(f"schedule {name}: a job_id can be that of one job only")
        workflows, jobs = rows_of(plan, self._factory)
        return list(workflows), list(jobs)

    def _batch(self, batch: Batch) -> tuple[list[NewWorkflow], list[NewJob]]:
        then_id = None if batch.then is None else new_id()
        stream = BatchStream(batch, self._factory, new_id(), then_id)
        jobs = [*itertools.islice(stream.rows(), _MOST_JOBS + 1)]
        pending = stream.count if batch.then is None else 1
        return [stream.workflow._replace(pending=pending)], jobs


def _summary(work: Any) -> str:
    """The call in words, the same in every process."""
    if is_a(work, Workflow) or is_a(work, Batch):
        return storable(f"{kind_name(work).lower()} {work.name}", SUMMARY)
    return storable(re.sub(" at 0x[0-9a-f]+", "", repr(work)), SUMMARY)
