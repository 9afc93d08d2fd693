"""What is known of the past, over time: points of a chart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from hammerflow.admin.statistics import summary_json
from hammerflow.results.statistics import to_jobs_over_time
from hammerflow.stores.statistics.statistics import Counts, Window

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
    points = []
    for each in to_jobs_over_time(window, found):
        point = summary_json("name", each)
        del point["name"]
        points.append({"at": each.at, **point})
    return Series(window.span, points)
