"""Bulk: all jobs of a filter are counted, and changed in chunks; retries can be undone."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from hammerflow.admin.failures import group_key
from hammerflow.admin.job_filter import JobFilter
from hammerflow.codec.codec import Codec
from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import Job, JobState
from hammerflow.jobs.retention import KEPT_STATES, PurgeFilter
from hammerflow.results.waiting import ResultBackend, announce
from hammerflow.stores.operations import BulkOperation
from hammerflow.stores.retention.retention import Walk
from hammerflow.stores.store import Store

__all__ = [
    "CANCELLABLE",
    "DELETABLE",
    "RETRIABLE",
    "Counted",
    "Selection",
    "begin_operation",
    "cancels",
    "deletions",
    "purge_count",
    "purge_filter",
    "purge_walk",
    "retries",
    "run_operation",
    "undo_operation",
]  # fmt: skip

log = logging.getLogger("hammerflow.admin")
_PAGE, _READ = 10_000, 500  # ids; jobs that are read to be looked at
_LAST = b"\xff" * 16
#: Seconds between two notes of the progress.
_BEAT = 0.5
#: The states of jobs that can be run again, and of those that can be cancelled.
RETRIABLE = (JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED, JobState.PARKED)
CANCELLABLE = tuple(state for state in JobState if not state.is_final)
DELETABLE = tuple(state for state in JobState if state.is_final)


class Counted(NamedTuple):
    """How many jobs match.

    Attributes:
        before: the mark above the newest of them: who agreed to a number must not be taken to mean
            jobs that were enqueued later.
        is_whole: all were counted; else there was no time for more.
    """

    jobs: int
    before: bytes
    is_whole: bool = True


@dataclass(frozen=True)
class Selection:
    """The jobs that filters match.

    Args:
        chosen: the filters state, queue and task.
        states: those in which jobs are looked for if no filter names one.
        wanted: what a job must be like besides.
        group: the key of a group of failures that it must be of.
        given: only these, if there are any.
    """

    store: Store
    codec: Codec
    chosen: Mapping[str, Any]
    states: Iterable[JobState]
    wanted: JobFilter = field(default_factory=JobFilter)
    group: str | None = None
    given: Sequence[bytes] = ()

    def count(self, seconds: float | None = None) -> Counted:
        """How many there are, counted for ``seconds`` at most."""
        number, newest, ends_at = 0, bytes(16), None
        if seconds is not None:
            ends_at = time.monotonic() + seconds
        for ids in self._pages(_LAST):
            number, newest = number + len(ids), max(newest, *ids)
            if ends_at is not None and time.monotonic() > ends_at:
                return Counted(number, _LAST, is_whole=False)
        return Counted(number, (int.from_bytes(newest) + 1).to_bytes(16))

    def ids(self, before: bytes) -> Iterator[bytes]:
        """Their ids, each once: pages go down the ids, so a job that comes back to its state
        meanwhile is not met again."""
        for ids in self._pages(before):
            yield from ids

    def _pages(self, before: bytes) -> Iterator[Sequence[bytes]]:
        if self.given:
            jobs = self.store.jobs.get_many(list(self.given))
            yield from self._chosen([job for job in jobs if job.state in (*self.states,)])
            return
        chosen = self.chosen.get("state")
        for state in self.states if chosen is None else [JobState(chosen)]:
            mark: bytes | None = before
            while mark is not None:
                ids, mark = self.store.jobs.ids_page(
                    state=state, queue=self.chosen.get("queue"), task=self.chosen.get("task"),
                    limit=_PAGE, before=mark,
                )  # fmt: skip
                if ids and not self._is_filtered:
                    yield ids
                elif ids:
                    for at in range(0, len(ids), _READ):
                        yield from self._chosen(self.store.jobs.get_many(ids[at : at + _READ]))

    @property
    def _is_filtered(self) -> bool:
        return bool(self.wanted) or self.group is not None

    def _chosen(self, jobs: Sequence[Job]) -> Iterator[Sequence[bytes]]:
        """The ids of those of these jobs that match, if any do."""
        found = self.wanted.matching(self.store, self.codec, jobs) if self.wanted else [*jobs]
        if self.group is not None:
            errors = self.store.jobs.last_errors([job.id.bytes for job in found])
            found = [job for job in found if self._is_of_group(job, errors)]
        if found:
            yield [job.id.bytes for job in found]

    def _is_of_group(self, job: Job, errors: Mapping[bytes, tuple[str, str]]) -> bool:
        error = errors.get(job.id.bytes)
        return error is not None and group_key(job.task, error[0], error[1][:200]) == self.group


def begin_operation(
    store: Store, action: str, wanted: Mapping[str, Any], *, by: str, total: int
) -> bytes:
    """Note an operation on many jobs; its id."""
    id_ = new_id()
    store.operations.begin(id_, action, wanted, by=by, total=total)
    return id_


def run_operation(
    backend: ResultBackend, id_: bytes, act: Iterator[tuple[int, int]]
) -> BulkOperation | None:
    """Carry an operation out, and note its progress; it ends early where somebody stops it.

    Args:
        act: gives, chunk by chunk, how many jobs were dealt with, and could not be changed.
    """
    operations, done, failed, at = backend.store.operations, 0, 0, time.monotonic()
    try:
        for some, wrong in act:
            done, failed = done + some, failed + wrong
            if time.monotonic() - at >= _BEAT:
                at = time.monotonic()
                if not operations.beat(id_, done, failed):
                    operations.end(id_, "stopped", done, failed)
                    return operations.get(id_)
        operations.end(id_, "done", done, failed)
    except Exception as error:
        log.exception("an operation on many jobs has failed")
        operations.end(id_, "failed", done, failed, f"{type(error).__name__}: {error}")
    return operations.get(id_)


def retries(
    backend: ResultBackend, ids: Iterable[bytes], operation: bytes, *, by: str
) -> Iterator[tuple[int, int]]:
    """Run jobs again, as parts of an operation that can be undone."""
    for job_id in ids:
        try:
            settled = backend.store.dead_letters.replay(job_id, by, operation)
        except HammerflowError:
            yield 1, 1
            continue
        backend.notifier.ring(settled.queues)
        yield 1, 0


def cancels(backend: ResultBackend, ids: Iterable[bytes], reason: str) -> Iterator[tuple[int, int]]:
    """Cancel jobs; workers are told to stop those that run."""
    then = partial(announce, backend)
    for chunk in backend.store.cancellations.of_jobs(ids, reason, then=then):
        if JobState.RUNNING in chunk.values():
            backend.notifier.ring_control()
        late = sum(state.is_final and state is not JobState.CANCELLED for state in chunk.values())
        yield len(chunk), late


def deletions(
    store: Store, ids: Iterable[bytes], *, is_whole: bool = False
) -> Iterator[tuple[int, int]]:
    """Delete ended jobs for good, and with ``is_whole`` all of their workflows and spawn trees."""
    for job_id in ids:
        wrong = 0
        try:
            store.retention.delete(job_id, is_whole=is_whole)
        except JobNotFound:
            pass  # it went with another one
        except HammerflowError:
            wrong = 1
        yield 1, wrong


def purge_count(
    store: Store, wanted: PurgeFilter, seconds: float | None = None
) -> tuple[int, bool]:
    """How many ended jobs a purge would remove, counted for ``seconds`` at most, and whether these
    are all: jobs that match may be few among millions, and no index knows them."""
    ends_at = None if seconds is None else time.monotonic() + seconds
    number = 0
    for some, _ in purge_walk(store, wanted, is_trial=True):
        number += some
        if ends_at is not None and time.monotonic() > ends_at:
            return number, False
    return number, True


def purge_walk(
    store: Store, wanted: PurgeFilter, *, is_trial: bool = False
) -> Iterator[tuple[int, int]]:
    """Remove ended jobs for good, or count those that would be removed."""
    walk = Walk(is_trial=is_trial)
    while not walk.is_over:
        before = walk.removed
        store.retention.step(walk, wanted)
        yield walk.removed - before, 0


def purge_filter(
    state: str | None, queue: str | None, task: str | None, older_than: float
) -> PurgeFilter:
    """Which ended jobs; None for all."""
    return PurgeFilter(
        frozenset(KEPT_STATES if state is None else [state]), older_than,
        None if task is None else name_id(task), None if queue is None else name_id(queue),
    )  # fmt: skip


def undo_operation(backend: ResultBackend, id_: bytes) -> tuple[int, int]:
    """Put the jobs of a retry back that have not started since; (undone, started)."""
    undone = started = 0
    letters = backend.store.dead_letters
    for job_id in letters.replayed(id_):
        settlement = letters.undo(job_id, id_)
        undone, started = undone + (settlement is not None), started + (settlement is None)
        if settlement is not None:
            backend.notifier.ring(settlement.queues)
            backend.notifier.ring_done(settlement.ended)
    return undone, started
