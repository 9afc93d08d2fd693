"""``hammerflow schedule``: when a cron expression is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import click

from hammerflow.cli.options import argument, checked, number_option, shared
from hammerflow.cli.session import Session
from hammerflow.options.checks import EARLIEST, LATEST, Unfit, ValueCheck, text
from hammerflow.schedules.cron import Cron
from hammerflow.schedules.description import description
from hammerflow.text import timestamp

__all__ = ["command"]


def _instant(given: str) -> datetime:
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise Unfit from None
    if not EARLIEST.year <= found.year < LATEST.year:
        raise Unfit
    return found


_TIME = ValueCheck("datetime", 'a time since 1970, such as "2026-03-29 01:00"', _instant)


@click.group("schedule")
def command() -> None:
    """Show when a cron expression is due."""


@command.command("next")
@argument("cron", text(200, least=1))
@checked("--tz", check=text(100), metavar="ZONE", default="UTC", help="IANA time zone.")
@checked("--after", check=_TIME, metavar="TIME", help="Time in ZONE instead of now.")
@number_option("--count", 1, 1_000, default=5, help="Times to show.")
@shared
def show_next(session: Session, cron: str, tz: str, after: datetime | None, count: int) -> None:
    """Say in words when a cron expression is due, and list the next times.

    It has five fields (minute, hour, day of month, month, day of week), or six with the second
    first.

    \b
    Example:
      hammerflow schedule next "30 2 * * 1-5" --tz Europe/Berlin
    """
    parsed = Cron.parse(cron, tz)
    begin = datetime.now(UTC) if after is None else after
    begin = begin if begin.tzinfo is not None else begin.replace(tzinfo=parsed.zone)
    ticks = list(islice(_ticks(parsed, begin), count))
    words = description(parsed)
    session.tell(
        {"cron": parsed.text, "tz": tz, "description": words, "ticks": ticks},
        f"{words} ({tz})",
        *(timestamp(tick.astimezone(parsed.zone)) for tick in ticks),
    )


def _ticks(cron: Cron, after: datetime) -> Iterator[datetime]:
    tick: datetime | None = after
    while tick is not None and (tick := cron.next_after(tick)) is not None:
        yield tick
