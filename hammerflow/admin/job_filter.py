"""JobFilter: which jobs an operator means, by what the database has no index for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hammerflow.admin.page import Page
from hammerflow.codec.codec import Codec
from hammerflow.durations import parsed_seconds
from hammerflow.errors import ConfigError, NotDecodable
from hammerflow.ids import first_id_at
from hammerflow.jobs.job import DependencyStatus, Job, JobState
from hammerflow.options.checks import MOMENT, Unfit, ValueCheck
from hammerflow.stores.pages.job_search import newest
from hammerflow.stores.store import Store
from hammerflow.telemetry.trace_context import TraceContext
from hammerflow.text import safe_repr

__all__ = ["WHEN", "JobFilter", "chosen_jobs", "filter_page"]

_SCANNED, _PAGE = 10_000, 500  # jobs
_SEARCH = 0.1  # seconds after which a page is cut
_SKEW = 1.0  # seconds
_TRACES = 100  # of the members of one workflow
_HIGHEST = b"\xff" * 16
_LONGEST_CALL = 100_000  # characters of a call that are searched


def _moment(value: Any) -> datetime:
    """An instant, or a duration before now."""
    if not isinstance(value, str):
        return MOMENT.read(value)  # type: ignore[no-any-return]
    try:
        return datetime.now(UTC) - timedelta(seconds=parsed_seconds(value, "it"))
    except (ConfigError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise Unfit from None
    return MOMENT.read(found if found.tzinfo else found.astimezone())  # type: ignore[no-any-return]


WHEN = ValueCheck(
    "datetime | str", "an instant such as 2026-11-27T08:00, or a duration before now such as 2h",
    _moment,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What a job must be like besides its state, queue and task; None does not matter.

    Attributes:
        error: the type of its last error, or a part of the message.
        says: what of a message is searched; None: all of it.
        argument: a part of its call as ``job show`` writes it.
        since: it ended, or was enqueued if it has not ended, at this time or later.
        until: likewise, before this time.
        trace_id: of the trace that it or its call belongs to, or that its workflow was given.
        correlation_id: that its workflow was given, or its header ``correlation_id``.
    """

    dependency: DependencyStatus | None = None
    error: str | None = None
    says: Callable[[str], str] | None = None
    argument: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    trace_id: str | None = None
    correlation_id: str | None = None

    def __bool__(self) -> bool:
        return self != _ANY

    @property
    def newest(self) -> bytes | None:
        """An id above those of all jobs that may match, unless a client's clock was wrong by more
        than a second or the id was given by hand: people need not read through all that came
        later."""
        return None if self.until is None else first_id_at(self.until.timestamp() + _SKEW)

    def narrowed(self, store: Store, ids: Sequence[bytes]) -> Sequence[bytes]:
        """Those of these jobs that may match, by what needs no whole row."""
        if self.error is None:
            return ids
        errors = store.jobs.last_errors(ids)
        return [id_ for id_ in ids if self._has_error(errors.get(id_))]

    def matching(self, store: Store, codec: Codec, jobs: Iterable[Job]) -> list[Job]:
        """Those of these jobs that it matches."""
        found = [job for job in jobs if self._matches(job)]
        if self.trace_id is not None:
            traces = store.dependencies.traces_of([job.id.bytes for job in found])
            ids = {id_: TraceContext.read(text).trace_ids for id_, text in traces.items()}
            found = [job for job in found if self.trace_id in ids.get(job.id.bytes, ())]
        if self.correlation_id is not None:
            known = {job.workflow_id.bytes for job in found if job.workflow_id is not None}
            given = store.workflows.correlation_ids(sorted(known))
            found = [job for job in found if self._correlates(job, given)]
        if self.error is not None:
            errors = store.jobs.last_errors([job.id.bytes for job in found])
            found = [job for job in found if self._has_error(errors.get(job.id.bytes))]
        if self.argument is not None:
            calls = store.dead_letters.args_of([job.id.bytes for job in found])
            found = [job for job in found if self.argument in _call(codec, calls[job.id.bytes])]
        return found

    def _matches(self, job: Job) -> bool:
        at = job.finished_at or job.created_at
        return (
            (self.dependency is None or job.dependency_status is self.dependency)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )

    def _correlates(self, job: Job, given: Mapping[bytes, str]) -> bool:
        workflow = None if job.workflow_id is None else given.get(job.workflow_id.bytes)
        return self.correlation_id in (workflow, job.headers.get("correlation_id"))

    def _has_error(self, error: tuple[str, str] | None) -> bool:
        if error is None or self.error is None:
            return False
        type_, message = error
        if self.error in (type_, type_.rpartition(".")[2]):
            return True
        if self.says is None or not (self.error in message or "*" in self.error):
            return self.error in message
        return self.error in self.says(message)


_ANY = JobFilter()


def _call(codec: Codec, encoded: bytes) -> str:
    try:
        args, kwargs = codec.decode_call(encoded)
    except NotDecodable:
        return ""
    parts = [safe_repr(value, _LONGEST_CALL) for value in args]
    parts += [f"{name}={safe_repr(value, _LONGEST_CALL)}" for name, value in kwargs.items()]
    return ", ".join(parts)


def chosen_jobs(given: Mapping[str, Any]) -> tuple[JobFilter, dict[str, Any]]:
    """The filter of the values of :func:`job_options`; and state, queue and task."""
    chosen = {name: given[name] for name in ("state", "queue", "task")}
    dependency = given["dependency"]
    if dependency == DependencyStatus.WAITING and chosen["state"] is None:
        chosen["state"] = "waiting"  # only these jobs can wait for dependencies
    if chosen["state"] is not None:
        chosen["state"] = JobState(chosen["state"])
    wanted = JobFilter(
        dependency=None if dependency is None else DependencyStatus(dependency),
        **{name: given[name] for name in ("error", "argument", "since", "until")},
        **{name: given[name] for name in ("trace_id", "correlation_id") if name in given},
    )
    return wanted, chosen


def filter_page(
    store: Store, codec: Codec, wanted: JobFilter, chosen: Mapping[str, Any], limit: int,
    before: bytes | None,
) -> Page[Job]:  # fmt: skip
    """Matching jobs among those that the filters of :meth:`Jobs.page` find next: the first 500,
    and as many of the next 10 000 as can be looked at in a tenth of a second.

    Args:
        chosen: state, queue and task.
    """
    if not wanted:
        page, after = store.jobs.page(**chosen, limit=limit, before=before)
        return Page(page, after, is_tired=after is not None and len(page) < limit)
    if wanted.trace_id is not None or wanted.correlation_id is not None:
        return _search_page(store, codec, wanted, chosen, limit, before)
    found: list[Job] = []
    until = time.monotonic() + _SEARCH
    for _ in range(_SCANNED // _PAGE):
        ids, after = store.jobs.ids_page(**chosen, limit=_PAGE, before=before)
        jobs = store.jobs.get_many(wanted.narrowed(store, ids))
        found += wanted.matching(store, codec, [job for job in jobs if _is_chosen(job, chosen)])
        if len(found) > limit:
            return Page(found[:limit], found[limit - 1].id.bytes)
        if after is None or len(found) == limit:
            return Page(found, after)
        before = after
        if len(ids) < _PAGE // 2 or time.monotonic() > until:
            break
    return Page(found, before, is_tired=True)


def _search_page(
    store: Store, codec: Codec, wanted: JobFilter, chosen: Mapping[str, Any], limit: int,
    before: bytes | None,
) -> Page[Job]:  # fmt: skip
    """The same by trace or correlation id, whose jobs are found without reading others."""
    ids = _searched(store, wanted, before or _HIGHEST)
    found: list[Job] = []
    for at in range(0, len(ids), _PAGE):
        jobs = [job for job in store.jobs.get_many(ids[at : at + _PAGE]) if _is_chosen(job, chosen)]
        found += wanted.matching(store, codec, jobs)
        if len(found) > limit:
            return Page(found[:limit], found[limit - 1].id.bytes)
    if len(ids) < _SCANNED:
        return Page(found, None)
    return Page(found, ids[-1], is_tired=True)


def _searched(store: Store, wanted: JobFilter, before: bytes) -> Sequence[bytes]:
    """Ids of jobs that may match, newest first, at most 10 000."""
    search = store.search
    values: dict[str, Any] = {"before": before, "limit": _SCANNED}
    if wanted.trace_id is None:
        id_ = str(wanted.correlation_id)
        members = search.members("correlation_id", id_, **values)
        return newest({*search.correlated(id_, **values), *members}, _SCANNED)
    members = search.members("trace_id", wanted.trace_id, **values)
    found = {*search.traced(wanted.trace_id, **values), *members}
    # The row of a job that a tracer has seen has the id of its workflow behind the tracer's own; so
    # have those that members have spawned.
    others: set[str] = set()
    for at in range(0, len(members), _PAGE):
        texts = store.dependencies.traces_of(members[at : at + _PAGE]).values()
        others |= {id_ for text in texts for id_ in TraceContext.read(text).trace_ids}
    for trace_id in sorted(others - {wanted.trace_id})[:_TRACES]:
        found.update(search.traced(trace_id, **values))
    return newest(found, _SCANNED)


def _is_chosen(job: Job, chosen: Mapping[str, Any]) -> bool:
    return all(value is None or getattr(job, name) == value for name, value in chosen.items())
