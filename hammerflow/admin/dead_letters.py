"""Dead letters counted by error, by task and by day: jobs that have failed, or are parked."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from hammerflow.stores.dead_letters import DeadLetter
from hammerflow.stores.store import Store

__all__ = ["NEWEST", "DeadCount", "DeadFilter", "dead_counts"]

#: Errors, and parked jobs, that are counted.
NEWEST = 3_000


class DeadFilter(NamedTuple):
    """Which dead letters are meant; None does not matter.

    Attributes:
        error: the type of its error, with or without its module, or why it is parked.
        since: it ended or was parked at this time or later.
        until: likewise, before this time.
    """

    queue: str | None = None
    task: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class DeadCount(NamedTuple):
    """How many dead letters have one error, or task, or day.

    Attributes:
        by: error, task or day.
        last: when the last of them ended or was parked; that one is the example.
    """

    by: str
    value: str
    jobs: int
    last: datetime
    example: bytes


def dead_counts(store: Store, wanted: DeadFilter) -> tuple[list[DeadCount], bool]:
    """The counts, the largest of each kind first; and whether all dead letters were looked at."""
    found = store.dead_letters.newest(NEWEST)
    kept = [
        each
        for each in found
        if wanted.queue in (None, each.queue)
        and wanted.task in (None, each.task)
        and wanted.error in (None, each.error, _short(each.error))
        and (wanted.since is None or each.at >= wanted.since)
        and (wanted.until is None or each.at < wanted.until)
    ]
    return [*_counted(kept)], len(found) < NEWEST


@functools.cache
def _short(error: str) -> str:
    return error.rpartition(".")[2]


def _counted(letters: Sequence[DeadLetter]) -> Iterator[DeadCount]:
    for by, value_of in (
        ("error", lambda each: _short(each.error)),
        ("task", lambda each: each.task),
        ("day", lambda each: _day(int(each.at.timestamp() // 900))),
    ):
        newest: dict[str, DeadLetter] = {}
        counts: Counter[str] = Counter()
        for each in letters:
            value = value_of(each)
            counts[value] += 1
            if (known := newest.get(value)) is None or each.at >= known.at:
                newest[value] = each
        for value, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            yield DeadCount(by, value, count, newest[value].at, newest[value].job_id)


@functools.cache
def _day(quarter: int) -> str:
    """The local day of a quarter of an hour, in which no zone changes it."""
    return f"{datetime.fromtimestamp(quarter * 900).astimezone():%Y-%m-%d}"
