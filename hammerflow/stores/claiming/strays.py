"""Strays: ready jobs whose ids put them behind jobs that were inserted later.

Claims take jobs in the order of their ids, which carry the clock of the client that made them. Its
clock may be ahead, or the id was given by hand and carries no clock: such a job would wait for as
long as its queue has a backlog. One whose clock is behind would hold up all others that way.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from hammerflow.ids import first_id_at, time_of
from hammerflow.jobs.job import Claimed
from hammerflow.stores.database import Database

__all__ = ["Strays"]

#: Rows of ``ready`` that a search reads: twice as many as the last one if it has found nothing.
_WINDOW, _WIDEST = 100, 3200
#: Seconds by which the order of ids and that of insertion may differ.
_SLACK = 1.0


@dataclass(slots=True)
class _Backlog:
    """Where the last claim has left a backlog."""

    priority_order: int
    last: bytes  # the last job that it took
    search_at: float  # by the monotonic clock
    bound: bytes | None = None  # where the next search begins; None for behind the jobs' own clock
    window: int = _WINDOW


class Strays:
    """Finds jobs that are older than those which the claims of a queue with a backlog take.

    Only the database's clock counts: the age of the last job claimed is compared with that of jobs
    far behind it in the order of ids. Where all clocks agree, there are none, and a search is
    three short reads.

    Args:
        every: seconds between two searches of one queue.
    """

    def __init__(self, database: Database, every: float) -> None:
        self._database = database
        self._every = every
        self._backlogs: dict[tuple[int, int], _Backlog] = {}

    def note(self, key: tuple[int, int], claimed: list[Claimed], *, is_full: bool) -> None:
        """Remember how a claim in the usual order ended.

        Args:
            key: queue and tasks.
            is_full: whether it took all it could, so that jobs may be left.
        """
        if not is_full:
            self._backlogs.pop(key, None)
            return
        order, last = 4 - claimed[-1].priority, claimed[-1].id
        backlog = self._backlogs.get(key)
        if backlog is None or backlog.priority_order != order:
            search_at = time.monotonic() + self._every
            self._backlogs[key] = _Backlog(order, last, search_at)
        else:
            backlog.last = last

    def find(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, *, is_strict: bool
    ) -> tuple[int, list[bytes]]:
        """The order of their priority, and the ids of up to ``limit`` strays; mostly none.

        Args:
            is_strict: none while there is a job of a better priority.
        """
        backlog = self._backlogs.get(key)
        if backlog is None or time.monotonic() < backlog.search_at:
            return 0, []
        ages = self._database.column("job_age", id=backlog.last)
        if not ages:  # deleted by hand
            del self._backlogs[key]
            return 0, []
        age = float(ages[0])
        bound = backlog.bound or first_id_at(time_of(backlog.last) + age + _SLACK)
        lane: dict[str, Any] = {
            "queue_id": wanted["queue_id"], "priority_order": backlog.priority_order,
            "bound": bound, "window": max(backlog.window, limit),
        }  # fmt: skip
        found = self._database.column(
            "strays",
            age=age,
            task_ids=wanted["task_ids"],
            n=limit,
            is_strict=int(is_strict),
            **lane,
        )
        if found:
            backlog.window = _WINDOW
            return backlog.priority_order, found  # there may be more: the next claim searches again
        rest = self._database.column("strays_next", **lane)
        backlog.bound = rest[0] if rest else None
        backlog.window = min(2 * backlog.window, _WIDEST) if rest else _WINDOW
        backlog.search_at = time.monotonic() + self._every
        return 0, []
