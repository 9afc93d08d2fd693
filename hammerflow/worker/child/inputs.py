"""Inputs: the results of other jobs that a job takes, as first arguments and by name."""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.enqueue.job_factory import errback_takes_three
from hammerflow.errors import JobFailed
from hammerflow.jobs.job import Claimed, JobState
from hammerflow.results.reading import decoded, decoded_results, tell_deleted
from hammerflow.tasks.task import Task
from hammerflow.workflows.references import (
    ChildrenRef,
    FailedJobs,
    InputRef,
    JobRange,
    ResultRef,
)

__all__ = ["Inputs", "first_arguments"]

#: Children that have not ended, of which it is asked why.
_MOST_NAMED = 100


def first_arguments(
    app: Hammerflow,
    job: Claimed,
    task: Task[..., Any],
    source: InputRef,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Any, ...]:
    """The arguments that come before a job's own, ``args`` and ``kwargs``.

    Args:
        source: results, the jobs that failed (for an errback), or the children of a fan-in.
    """
    if isinstance(source, ChildrenRef):
        return (_children(app, job, source),)
    if isinstance(source, FailedJobs):
        return _failure(app, task, source.ids, args, kwargs)
    return (source.resolve(partial(decoded_results, app)),)


@dataclass(eq=False, repr=False)
class Inputs(Mapping[str, Any]):
    """Results of the nodes that a job depends on, by name, read when they are asked for."""

    _app: Hammerflow
    _references: Mapping[str, Any]
    _read: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        if name not in self._references:
            known = ", ".join(self._references) or "nothing"
            raise KeyError(f"{name!r}: this job depends on {known}")
        if self._references[name] is None:
            raise KeyError(f"{name!r}: its result is not stored (store_result=False)")
        if name not in self._read:
            ref = ResultRef.from_json(self._references[name])
            read = partial(decoded_results, self._app)
            is_range = isinstance(ref.target, JobRange)
            self._read[name] = _Pages(partial(read, ref)) if is_range else ref.resolve(read)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)


@dataclass(frozen=True)
class _Pages(Iterable[Any]):
    """Many results, read page by page at each iteration."""

    _read: Callable[[], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        return self._read()


def _children(app: Hammerflow, job: Claimed, source: ChildrenRef) -> list[Any]:
    """The results of the children that this fan-in waited for, in spawn order."""
    if job.parent_id is None:
        return []
    jobs, parent_id = app.store.jobs, job.parent_id

    def child(index: int) -> bytes:
        return jobs.children(parent_id, after=index - 1, limit=1)[0].id.bytes

    found = [*jobs.results_of_children(parent_id, job.id)]
    if open_ := [index for index, _, has_ended in found if not has_ended]:
        tell_deleted(app, [child(index) for index in open_[:_MOST_NAMED]])
    single = ((index, decoded(app, value, partial(child, index))) for index, value, _ in found)
    refs = ResultRef([ref for _, ref in source.canvases])
    several = zip(
        (i for i, _ in source.canvases), refs.resolve(partial(decoded_results, app)), strict=True
    )
    return [value for _, value in heapq.merge(single, several, key=itemgetter(0))]


def _failure(
    app: Hammerflow,
    task: Task[..., Any],
    ids: list[bytes],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Any, ...]:
    """``(request, exception, traceback)`` or the id of the job that failed, as text."""
    jobs = app.store.jobs
    states = {id_: jobs.result(id_) for id_ in ids}
    order = (JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED)
    failed = min(
        (id_ for id_, found in states.items() if found is not None and found[0] in order),
        key=lambda id_: order.index(states[id_][0]),  # type: ignore[index]
        default=ids[0],
    )
    job_id = uuid.UUID(bytes=failed)
    if not errback_takes_three(task, args, kwargs):
        return (str(job_id),)
    error = jobs.last_error(job_id.bytes)
    found = states[failed]
    fields = error[1:] if error else ("cancelled", (found and found[2]) or "", "")
    seen = jobs.get(job_id.bytes)
    name = seen.task if seen else None
    failure = JobFailed(*fields, job_id=job_id, task=name)
    request = SimpleNamespace(id=str(job_id), task=name, retries=seen.attempt - 1 if seen else 0)
    return request, failure, failure.traceback
