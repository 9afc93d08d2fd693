"""Schedule edits: what an operator changes of the call that a schedule enqueues."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.canvas.options import EACH
from hammerflow.canvas.signature import Signature
from hammerflow.codec.codec import Codec
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.errors import ConfigError
from hammerflow.jobs.job import NewJob
from hammerflow.schedules.call_template import changes_of
from hammerflow.schedules.definition import Definition
from hammerflow.text import storable

__all__ = ["SUMMARY", "edited_call", "placed_call"]

#: Characters of a call that a list shows.
SUMMARY = 200


def placed_call(
    name: str, definition: Definition, *, queue: str | None = None, priority: int | None = None
) -> dict[str, Any]:
    """The call of a schedule in another queue or with another priority, as the edit ``job``."""
    job = _only_job(name, definition)
    return changes_of(
        job,
        job._replace(
            queue=job.queue if queue is None else queue,
            priority=job.priority if priority is None else priority,
        ),
    )


def edited_call(
    name: str, definition: Definition, factory: JobFactory, codec: Codec, *,
    args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The call of a schedule with other arguments, as the edit ``job``.

    Args:
        args: None leaves them as they are; likewise ``kwargs``.

    Raises:
        ConfigError: the schedule does not call one task, or its call has a rule of its own for
            unique jobs, which the row does not hold.
        TypeError: the arguments do not fit the task.
    """
    job = _only_job(name, definition)
    if EACH in json.loads(job.options or "{}"):
        raise ConfigError(f"schedule {name} makes a mapped call: change its arguments in the code")
    known_args, known_kwargs = codec.decode_call(job.args)
    call: Signature[Any] = Signature(
        job.task,
        tuple(known_args if args is None else args),
        dict(known_kwargs if kwargs is None else kwargs),
    )
    new = factory.from_signature(call)
    changed = job._replace(
        args=new.args, limit_id=new.limit_id, limit_key=new.limit_key, fair_key=new.fair_key
    )
    if job.unique is not None:  # by the rule of its task, so by the new arguments
        before = factory.from_signature(Signature(job.task, tuple(known_args), known_kwargs))
        if job.unique != before.unique:
            raise ConfigError(
                f"the call of schedule {name} has a unique rule of its own: change its arguments "
                "in the code"
            )
        changed = changed._replace(unique=new.unique, unique_key=new.unique_key)
    return {**changes_of(job, changed), "summary": storable(repr(call), SUMMARY)}


def _only_job(name: str, definition: Definition) -> NewJob:
    job = definition.call.job
    if job is None:
        raise ConfigError(
            f"each tick of schedule {name} enqueues several jobs: change their arguments, queues "
            "and priorities in the code, or replace them by a workflow file"
        )
    return job
