"""Filters: what lists of jobs and workflows take."""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import Any

from hammerflow.ids import plain_id
from hammerflow.jobs.job import JobState
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.options.checks import MOMENT, NAME_CHECK, Unfit, ValueCheck, choice, whole
from hammerflow.options.option import Option, OptionTable

__all__ = ["JOB_FILTERS", "OLDER_JOBS", "WORKFLOW_FILTERS"]


def _id(value: Any) -> bytes:
    plain = plain_id(value)
    if plain is None:
        raise Unfit
    return plain.bytes


def _member(kind: type[enum.StrEnum], name: str) -> ValueCheck:
    """A member of the enum, or its text; kept as the member."""
    known = choice(*kind, type=f"{name} | str")
    return replace(known, read=lambda value: kind(known.read(value)))


_LIMIT = Option("limit", whole(0, 1_000_000), "100", "The most to return.")
_BEFORE = Option(
    "before", ValueCheck("uuid.UUID | str", "an id, as a UUID or its text", _id), "None",
    "Only those older than this one: the last of the previous page.",
)  # fmt: skip

#: Jobs older than ``since`` among which ``app.jobs`` finds those that ended later.
OLDER_JOBS = 100_000

#: What ``app.jobs(...)`` takes.
JOB_FILTERS = OptionTable((
    Option("state", _member(JobState, "JobState"), "None", "Only jobs in this state."),
    Option("queue", NAME_CHECK, "None", "Only jobs of this queue."),
    Option("task", NAME_CHECK, "None", "Only jobs of this task."),
    Option(
        "since", MOMENT, "None",
        "Only those that ended, or were enqueued if they have not ended, at this time or later. Of "
        f"jobs that were enqueued before it, the newest {OLDER_JOBS:,} with that state, queue and "
        "task are looked through.",
    ),
    Option("until", MOMENT, "None", "Likewise, before this time."),
    _LIMIT,
    _BEFORE,
))  # fmt: skip

#: What ``app.workflows(...)`` takes.
WORKFLOW_FILTERS = OptionTable((
    Option(
        "status", _member(WorkflowStatus, "WorkflowStatus"), "None",
        "Only workflows with this status.",
    ),
    Option(
        "since", MOMENT, "None",
        "Only those that ended, or were created if they have not ended, at this time or later.",
    ),
    Option("until", MOMENT, "None", "Likewise, before this time."),
    _LIMIT,
    _BEFORE,
))  # fmt: skip
