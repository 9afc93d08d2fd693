"""Bounds on the values of labels: each one costs memory here and in every system that reads it."""

from __future__ import annotations

from collections.abc import Mapping

from hammerflow.telemetry.families import OTHER

__all__ = ["JobLabels", "largest"]

#: Tasks, queues, and pairs of them that have labels of their own.
_MOST, _MOST_PAIRS = 200, 1_000


class JobLabels:
    """The labels of tasks and queues by their numbers: the first that come get their names, all
    others share one. A name never changes, as a counter that changed it would seem to run back."""

    def __init__(self) -> None:
        self._tasks: dict[int, str] = {}
        self._queues: dict[int, str] = {}
        self._pairs: dict[tuple[int, int], tuple[str, str]] = {}

    def of(self, task_id: int, queue_id: int, task: str, queue: str) -> tuple[str, str]:
        """The labels of a task in a queue, whose names are these."""
        found = self._pairs.get((task_id, queue_id))
        if found is None:
            if len(self._pairs) >= _MOST_PAIRS:
                return OTHER, OTHER
            found = _label(self._tasks, task_id, task), _label(self._queues, queue_id, queue)
            self._pairs[task_id, queue_id] = found
        return found


def _label(known: dict[int, str], number: int, name: str) -> str:
    if number not in known and len(known) < _MOST:
        known[number] = name
    return known.get(number, OTHER)


def largest(sizes: Mapping[str, float]) -> frozenset[str]:
    """Of these names those that get a label of their own: the ones with the largest sizes."""
    return frozenset(sorted(sizes, key=lambda name: (-sizes[name], name))[:_MOST])
