"""Ends: how a job or workflow ended, and how that counts for what depends on it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, NamedTuple

from hammerflow.jobs.job import FINAL_CODES, ORDER, JobState
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import Row

__all__ = ["DependencyOutcome", "JobEnd", "Tally", "outcome_of", "release_keys"]

_COMPLETED = FINAL_CODES[JobState.COMPLETED]
_SKIPPED = FINAL_CODES[JobState.SKIPPED]


class DependencyOutcome(enum.IntEnum):
    """How an end counts for the dependents."""

    COMPLETED = 0
    SKIPPED = 1  # by a condition, or because its rule did not apply
    FAILED = 2  # failed, was cancelled, or was skipped because something before it failed

    @classmethod
    def good_if(cls, is_good: Any) -> DependencyOutcome:
        """COMPLETED or FAILED."""
        return cls.COMPLETED if is_good else cls.FAILED


class JobEnd(NamedTuple):
    """A job or workflow that has just ended."""

    id: bytes
    dependent_id: bytes | None
    unique_key: str | None
    workflow_id: bytes | None
    flags: int
    outcome: DependencyOutcome
    is_own: bool = False  # it failed or was cancelled itself, so its workflow's policy applies
    cause: bytes | None = None  # the job that failed first
    is_counted: bool = False  # the barrier of its workflow has counted it already

    @classmethod
    def of(
        cls, link: Row, outcome: DependencyOutcome, is_own: bool = False, cause: bytes | None = None
    ) -> JobEnd:
        """The end of a job, from its row of ``ended_links``."""
        id_, dependent_id, unique_key, workflow_id, flags = link
        return cls(id_, dependent_id, unique_key, workflow_id, flags, outcome, is_own, cause)


class Tally:
    """The ends that arrive together at one dependent."""

    __slots__ = ("cause", "failed", "n", "skipped")

    def __init__(self, n: int = 0) -> None:
        self.n = n
        self.failed = self.skipped = 0
        self.cause: bytes | None = None

    def add(self, end: JobEnd, kind: int) -> None:
        """Count one more end; of an edge of the kind ORDER only that it is over."""
        self.n += 1
        if kind == ORDER:
            return
        if end.outcome is DependencyOutcome.SKIPPED:
            self.skipped += 1
        elif end.outcome is DependencyOutcome.FAILED:
            self.failed += 1
            self.cause = self.cause or end.cause or end.id

    def merge(self, other: Tally | None) -> None:
        """Count what has arrived there by another way, too."""
        if other is not None:
            self.n += other.n
            self.failed += other.failed
            self.skipped += other.skipped
            self.cause = other.cause or self.cause


def outcome_of(job_id: bytes, state: int, cause: bytes | None) -> DependencyOutcome:
    """How the end in a row of ``done`` counts.

    A job that was skipped because of a failure names the failed job as its cause. One that a person
    has skipped, so that its dependents run, names itself.
    """
    if state == _COMPLETED or (state == _SKIPPED and cause == job_id):
        return DependencyOutcome.COMPLETED
    if state == _SKIPPED and cause is None:
        return DependencyOutcome.SKIPPED
    return DependencyOutcome.FAILED


def release_keys(tx: Tx, ends: Iterable[JobEnd]) -> None:
    """Release the unique keys of jobs that have ended."""
    keyed = sorted((end.unique_key, end.id) for end in ends if end.unique_key is not None)
    if keyed:
        keys, ids = zip(*keyed, strict=True)
        tx.run("unique_release", ukeys=keys, ids=ids)
