"""What is known of the past, over time: points of a chart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hammerflow.admin.statistics import Summary, merged, summary_json
from hammerflow.stores.statistics import Counts, Window

__all__ = ["Series", "series_of"]


class Series(NamedTuple):
    """Points in the order of time, one for each span, also where nothing happened.

    Attributes:
        span: seconds of a point.
    """

    span: int
    points: list[dict[str, Any]]


def series_of(window: Window, found: Iterable[Counts]) -> Series:
    """The points of what was read of a window."""
    by_begin: dict[datetime, list[Counts]] = {}
    for counts in found:
        by_begin.setdefault(counts.begin, []).append(counts)
    points = []
    begin, step = datetime.fromtimestamp(window.begin, UTC), timedelta(seconds=window.span)
    while begin.timestamp() < window.end:
        summaries = merged(by_begin.get(begin, ()), lambda _: "")
        point = summary_json("name", summaries[0] if summaries else Summary(""))
        del point["name"]
        points.append({"at": begin, **point})
        begin += step
    return Series(window.span, points)
