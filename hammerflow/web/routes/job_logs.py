"""The route of what jobs have logged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from hammerflow.admin.ids import find_job, get_job
from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.jobs.job import JobState
from hammerflow.jobs.log_lines import AttemptLog
from hammerflow.web.routing import ApiCall, Route

__all__ = ["ROUTES"]


class LogsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which attempts."""

    attempt: Annotated[
        int, Meta(ge=1, le=2**31 - 1, description="Only attempts with this number.")
    ] | None = None  # fmt: skip


class LogLineShown(msgspec.Struct):
    """A line that a body has logged."""

    at: datetime
    level: str
    logger: str
    message: str


class AttemptLogShown(msgspec.Struct):
    """What one attempt has logged.

    Attributes:
        lease: tells attempts of one number apart: those that came before a replay, or were given
            back.
        line_count: how many lines are kept.
        dropped: how many lines were not kept.
        dropped_at: before which of the lines they were.
        lines: none for who may not see arguments and results.
    """

    attempt: int
    lease: int
    line_count: int
    dropped: int
    dropped_at: int
    lines: list[LogLineShown]


class JobLogsShown(msgspec.Struct):
    """What a job has logged and printed, oldest attempt first.

    Attributes:
        values_hidden: who asks may not see arguments and results, so no lines either.
        is_over: the job has ended or is parked, so that no line comes unless it runs again.
    """

    items: list[AttemptLogShown]
    values_hidden: bool
    is_over: bool


def show_logs(call: ApiCall[LogsQuery, None]) -> JobLogsShown:
    """Show what the attempts of a job have logged and printed, if its task keeps it.

    The lines of a running attempt are there after about a second. To follow them, ask each second
    with the header If-None-Match, until is_over.

    Lines may hold arguments and results, so who may not see these gets the numbers of lines only.
    """
    store = call.backend.store
    key = find_job(store, call.path["job_id"])
    state = get_job(
        store, call.path["job_id"]
    ).state  # before its lines: the last ones come with it
    shown = [_shown(log, call.texts) for log in store.job_logs.get(key, call.query.attempt)]
    is_over = state.is_final or state is JobState.PARKED
    return JobLogsShown(shown, not call.who.sees_values, is_over)


def _shown(log: AttemptLog, texts: ShownTexts) -> AttemptLogShown:
    lines = [
        LogLineShown(line.at, line.level, line.logger, texts.answer(line.message))
        for line in (log.lines if texts.sees_values else ())
    ]
    return AttemptLogShown(
        log.attempt, log.lease, len(log.lines), log.dropped, log.dropped_at, lines
    )


ROUTES: Sequence[Route] = (
    Route("GET", "/api/jobs/{job_id}/logs", show_logs, JobLogsShown, query=LogsQuery),
)
