"""Inputs: the results of other jobs that a job takes, as first arguments and by name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.enqueue.job_factory import errback_takes_three
from hammerflow.errors import JobFailed
from hammerflow.jobs.job import Claimed, JobState
from hammerflow.tasks.task import Task

__all__ = ["Inputs", "first_arguments"]


def first_arguments(
    app: Hammerflow,
    job: Claimed,
    task: Task[..., Any],
    feed: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Any, ...]:
    """The arguments that come before a job's own.

    Args:
        app: whose database holds the results.
        job: the job that takes them.
        task: its task.
        feed: ``children`` (the results of those that this fan-in waited for), ``failed`` with ids
            (an errback), or a reference to results as ``plan.reference`` writes it.
        args, kwargs: the job's own arguments.
    """
    if feed == "children":
        return (_children(app, job),)
    if isinstance(feed, Mapping) and "failed" in feed:
        return _failure(app, task, feed["failed"], args, kwargs)
    return (resolve(app, feed),)


def resolve(app: Hammerflow, reference: Any) -> Any:
    """The decoded results of a reference, whole."""
    if isinstance(reference, Mapping) and "names" in reference:
        return {name: resolve(app, part) for name, part in reference["names"].items()}
    if isinstance(reference, list) and any(not isinstance(part, str) for part in reference):
        return [resolve(app, part) for part in reference]
    values = _values(app, reference)
    return next(iter(values), None) if isinstance(reference, str) else list(values)


class Inputs(Mapping[str, Any]):
    """Results of the nodes that a job depends on, by name, read when they are asked for."""

    def __init__(self, app: Hammerflow, references: Mapping[str, Any]) -> None:
        self._app = app
        self._references = references
        self._read: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._references:
            known = ", ".join(self._references) or "nothing"
            raise KeyError(f"{name!r}: this job depends on {known}")
        if name not in self._read:
            reference = self._references[name]
            if isinstance(reference, Mapping) and "from" in reference:
                self._read[name] = _Pages(lambda: _values(self._app, reference))
            else:
                self._read[name] = resolve(self._app, reference)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)


class _Pages(Iterable[Any]):
    """Many results, read page by page at each iteration."""

    def __init__(self, read: Callable[[], Iterable[Any]]) -> None:
        self._values = read

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values())


def _values(app: Hammerflow, reference: Any) -> Iterator[Any]:
    decode = app.codec.decode
    for _, value in app.store.workflows.results(reference):
        yield None if value is None else decode(value)


def _children(app: Hammerflow, job: Claimed) -> list[Any]:
    """The results of the jobs that this fan-in waited for, in spawn order."""
    if job.parent_id is None:
        return []
    decode = app.codec.decode
    found = app.store.jobs.results_of_children(job.parent_id, job.id)
    return [None if value is None else decode(value) for _, value in found]


def _failure(
    app: Hammerflow,
    task: Task[..., Any],
    ids: list[str],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Any, ...]:
    """``(request, exception, traceback)`` or the id of the job that failed, as text."""
    jobs = app.store.jobs
    states = {text: jobs.result(bytes.fromhex(text)) for text in ids}
    order = (JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED)
    failed = min(
        (text for text, found in states.items() if found is not None and found[0] in order),
        key=lambda text: order.index(states[text][0]),  # type: ignore[index]
        default=ids[0],
    )
    job_id = uuid.UUID(failed)
    if not errback_takes_three(task, args, kwargs):
        return (str(job_id),)
    error = jobs.last_error(job_id.bytes)
    found = states[failed]
    failure = JobFailed(*(error[1:] if error else ("cancelled", (found and found[2]) or "", "")))
    seen = jobs.get(job_id.bytes)
    request = SimpleNamespace(
        id=str(job_id), task=seen.task if seen else None, retries=seen.attempt - 1 if seen else 0
    )
    return request, failure, failure.traceback
