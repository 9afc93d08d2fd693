"""The route of what jobs have logged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from hammerflow.admin.ids import find_job, get_job
from hammerflow.admin.shown_texts import ShownTexts
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
    """What a job has logged, oldest attempt first.

    Attributes:
        values_hidden: who asks may not see arguments and results, so no lines either.
    """

    items: list[AttemptLogShown]
    values_hidden: bool


def show_logs(call: ApiCall[LogsQuery, None]) -> JobLogsShown:
    """Show what the attempts of a job have logged, if its task keeps it.

    Lines may hold arguments and results, so who may not see these gets the numbers of lines only.
    """
    store = call.backend.store
    key = find_job(store, call.path["job_id"])
    found = store.job_logs.get(key, call.query.attempt)
    if not found:
        get_job(store, call.path["job_id"])  # which says so if there is none
    return JobLogsShown([_shown(log, call.texts) for log in found], not call.who.sees_values)


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
