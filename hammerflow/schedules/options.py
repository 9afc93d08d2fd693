"""The options of a schedule: what ``app.cron``, ``app.every`` and ``app.schedule`` take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from hammerflow.introspection.kinds import is_a
from hammerflow.options.checks import (
    ARGS,
    EARLIEST,
    FLAG,
    KWARGS,
    LATEST,
    NAME_CHECK,
    Unfit,
    ValueCheck,
    choice,
    duration,
    text,
)
from hammerflow.options.option import Option, OptionTable

__all__ = ["DECORATOR_OPTIONS", "INTERVAL", "SCHEDULE_OPTIONS", "ScheduleOptions", "TaskSchedule"]


def _date(value: Any) -> datetime:
    if not is_a(value, datetime):
        raise Unfit
    local = value.replace(tzinfo=UTC) if value.utcoffset() is None else value
    if not EARLIEST <= local <= LATEST:
        raise Unfit
    return datetime.combine(value.date(), value.time(), value.tzinfo)  # of a subclass, too


_DATE = ValueCheck(
    "datetime", 'a time since 1970, such as "2026-03-29 01:00"', _date, "",
    "1970 to 9999", datetime.fromisoformat,
)  # fmt: skip
_ZONE = ValueCheck(
    "str | ZoneInfo", 'the name of a time zone, such as "Europe/Berlin"',
    lambda value: text(100, least=1).read(getattr(value, "key", value)), "", "IANA names",
)  # fmt: skip

#: The interval of ``app.every``.
INTERVAL = duration(zero=False, most=100 * 366 * 86_400)
#: What ``app.schedule(name, when, work, ...)`` takes.
SCHEDULE_OPTIONS = OptionTable((
    Option("tz", _ZONE, '"UTC"', "The time zone of a cron expression."),
    Option(
        "misfire", choice("skip", "once", "all"), '"once"',
        "What happens to ticks while no worker was alive: none runs, one job for all of them, or "
        "one for each.",
    ),
    Option(
        "catch_up", duration(), "None", "Maximum age of a missed tick that runs [default: one day "
        'with misfire="all", else any age].',
    ),
    Option(
        "overlap", choice("allow", "skip", "queue_one", "cancel_old"), '"allow"',
        "What a tick does while the previous run has not ended: start as well, do nothing, start "
        "after it (at most one waits), or cancel it.",
    ),
    Option(
        "jitter", duration(), "0",
        "Start up to this much later; the delay is derived from the name and the tick.",
    ),
    Option("start", _DATE, "None", "No tick before this time; without a time zone, it is in tz."),
    Option("end", _DATE, "None", "No tick after this time; likewise."),
    Option("paused", FLAG, "False", "Whether it begins paused."),
    Option(
        "after", NAME_CHECK, "None",
        "Another schedule, whose run of the same local day must have completed first.",
    ),
))  # fmt: skip
#: What ``@app.cron(...)`` and ``@app.every(...)`` take.
DECORATOR_OPTIONS = OptionTable(
    (
        Option("name", NAME_CHECK, "the task's", "The schedule's name."),
        Option("args", ARGS, "()", "The positional arguments of each call."),
        Option("kwargs", KWARGS, "{}", "Its keyword arguments."),
        *SCHEDULE_OPTIONS,
    )
)


class ScheduleOptions(TypedDict, total=False):
    """The keywords of ``app.schedule(...)``; :data:`SCHEDULE_OPTIONS` describes them."""

    tz: Any  # str | ZoneInfo
    misfire: str
    catch_up: float | timedelta
    overlap: str
    jitter: float | timedelta
    start: datetime
    end: datetime
    paused: bool
    after: str


class TaskSchedule(ScheduleOptions, total=False):
    """The keywords of ``@app.cron(...)``; :data:`DECORATOR_OPTIONS` describes them."""

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
