"""Routes of what jobs have logged: all of it, and as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from hammerflow.admin.ids import find_job, get_job
from hammerflow.admin.log_follow import LogPosition
from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.jobs.job import JobState
from hammerflow.jobs.log_lines import AttemptLog
from hammerflow.web.log_streams import LogsWanted
from hammerflow.web.routing import ApiCall, Route, refuse_unseen

__all__ = ["ROUTES"]


Attempt = Annotated[int, Meta(ge=1, le=2**31 - 1, description="Only attempts with this number.")]


class LogsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which attempts."""

    attempt: Attempt | None = None


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

    The lines of a running attempt are there after about a second. To follow them, read the stream
    .../logs/stream, or ask each second with the header If-None-Match, until is_over.

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


class LogStreamQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which lines; all of them without after, and without the header Last-Event-ID."""

    attempt: Attempt | None = None
    after: Annotated[
        str, Meta(pattern=r"^[0-9]{1,10}-[0-9]{1,10}$", description="The id of a message.")
    ] | None = None  # fmt: skip


def stream_logs(call: ApiCall[LogStreamQuery, None]) -> LogsWanted:
    """Stream what a job logs and prints until it has ended or is parked, as server-sent events.

    The data of each event of the type lines has the attempt, its lease, up to 100 lines, and
    how many before them were missed, because no more were kept. With its id as the header
    Last-Event-ID a stream resumes right after it. The last event has the type end, and the state
    of the job as data; null if the job is gone.
    """
    query, texts = call.query, call.texts
    refuse_unseen(call, "you may not see what it has logged")
    job_id = find_job(call.backend.store, call.path["job_id"])
    after = LogPosition(0, 0) if query.after is None else LogPosition.of(query.after)
    return LogsWanted(job_id, query.attempt, after, texts)


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
    Route("GET", "/api/jobs/{job_id}/logs/stream", stream_logs, str, query=LogStreamQuery,
          text="text/event-stream", is_stream=True),
)  # fmt: skip
