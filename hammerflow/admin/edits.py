"""Edits: other arguments for a job, checked as those of a new call are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.admin.calls import check_task
from hammerflow.app import Hammerflow
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import Job

__all__ = ["edit_arguments"]


def edit_arguments(
    app: Hammerflow, job: Job, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None,
    *, by: str,
) -> None:  # fmt: skip
    """Write other arguments of a job that has not started or did not complete.

    Args:
        args: None leaves them as they are; likewise ``kwargs``.

    Raises:
        HammerflowError: the job is in another state, or a mapped call.
        TypeError: they do not fit the function.
    """
    check_task(app, job.task)
    known_args, known_kwargs = app.codec.decode_call(app.store.jobs.args(job.id.bytes) or b"")
    encoded = _encoded(
        app, job, known_args if args is None else args, known_kwargs if kwargs is None else kwargs
    )
    app.store.dead_letters.edit(job.id.bytes, encoded, by)


def _encoded(app: Hammerflow, job: Job, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """The arguments as they are stored; refused if they do not fit the function."""
    if "each" in job.options:
        raise HammerflowError(f"job {job.id} is a mapped call, whose arguments are in its options")
    task, source = app.tasks[job.task], job.options.get("input_ref")
    is_errback = isinstance(source, dict) and "failed" in source
    feeds = 0 if source is None else -1 if is_errback else 1
    signature = app.signature(job.task, args, kwargs)
    JobFactory(app.tasks, app.codec).check(task, signature, feeds=feeds)
    return app.codec.encode_call(tuple(args), dict(kwargs), task.defaults.serializer)
