"""Edits: other arguments for a job, checked as those of a new call are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.admin.calls import check_task, check_values
from hammerflow.app import Hammerflow
from hammerflow.enqueue.job_factory import JobFactory, fed
from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import Job, NewJob
from hammerflow.stores.dead_letters import JobChange

__all__ = ["edit_of_arguments", "kept_keys_text"]

#: The keys of a call by the options that make them.
_KEYS = {"unique": "unique key", "limit_key": "limit key", "fair_by": "fairness key"}


def edit_of_arguments(
    app: Hammerflow, job: Job, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None,
    *, by: str,
) -> JobChange:  # fmt: skip
    """Other arguments for a job, and the unique key, limit_key and fair_by that follow them, as
    those of a new call would.

    Args:
        args: None leaves them as they are; likewise ``kwargs``.

    Raises:
        HammerflowError: it is a mapped call.
        TypeError: they do not fit the function.
    """
    check_task(app, job.task)
    if "each" in job.options:
        raise HammerflowError(f"job {job.id} is a mapped call, whose arguments are in its options")
    old_args, old_kwargs = app.codec.decode_call(app.store.jobs.args(job.id.bytes) or b"")
    new_args = tuple(old_args if args is None else args)
    new_kwargs = dict(old_kwargs if kwargs is None else kwargs)
    feeds, factory = _feeds(job), JobFactory(app.tasks, app.codec)
    task = app.tasks[job.task]
    factory.check(task, app.signature(job.task, new_args, new_kwargs), feeds=feeds)
    given = () if args is None else fed(task, new_args, new_kwargs, feeds, object())
    check_values(app, job.task, given, kwargs or {})
    call = factory.make(task, job.task, new_args, new_kwargs, {}, feeds=feeds)
    before: NewJob | None = None
    try:
        before = factory.make(task, job.task, tuple(old_args), old_kwargs, {}, feeds=feeds)
    except HammerflowError:
        pass  # its keys cannot be made of what it has
    return JobChange(by, call, before)


def kept_keys_text(kept: Sequence[str]) -> str:
    """Which keys an edit has not changed; empty if it has changed them all."""
    if not kept:
        return ""
    names = " and ".join(_KEYS[option] for option in kept)
    verb = "was" if len(kept) == 1 else "were"
    return f"its {names} stayed, which {verb} not made from its arguments by the code of its task"


def _feeds(job: Job) -> int:
    """How many results come before the arguments; -1 for an errback."""
    source = job.options.get("input_ref")
    is_errback = isinstance(source, dict) and "failed" in source
    return 0 if source is None else -1 if is_errback else 1
