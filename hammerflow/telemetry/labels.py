"""Bounds on the values of labels: each one costs memory here and in every system that reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from hammerflow.telemetry.families import OTHER

__all__ = ["JobLabels", "largest"]

#: Tasks, queues, and pairs of them that have labels of their own.
_MOST, _MOST_PAIRS = 200, 1_000
#: A name takes over the label of the least used one from this multiple of its use on, and from this
#: use on; otherwise names of about the same use would change places at each turn.
_FACTOR, _LEAST = 2, 100
#: Names that may change places at once.
_CHANGES = 10


class _Labels:
    """The names of tasks, or of queues, that have a label of their own: the first that come, and
    later those that are used most."""

    def __init__(self, own: Mapping[int, str]) -> None:
        self.own = dict(own)

    def of(self, number: int, name: str) -> str:
        if number not in self.own and len(self.own) < _MOST:
            self.own[number] = name
        return self.own.get(number, OTHER)

    def changes(self, uses: Mapping[int, int]) -> list[tuple[int, int]]:
        """(number that gets a label, number that gives it away)."""
        if len(self.own) < _MOST:
            return []
        others = sorted((n for n in uses if n not in self.own), key=lambda n: -uses[n])
        weakest = sorted(self.own, key=lambda number: uses.get(number, 0))
        pairs = zip(others[:_CHANGES], weakest, strict=False)
        return [
            (new, old) for new, old in pairs if uses[new] >= max(_LEAST, _FACTOR * uses.get(old, 0))
        ]

    def change(self, new: int, name: str, old: int) -> None:
        del self.own[old]
        self.own[new] = name


class JobLabels:
    """The labels of tasks and queues by their numbers: the first that come get their names, all
    others share one. Whoever counts calls :meth:`follow` from time to time, which gives the names
    that are used much more than others a label in their place.

    A series whose label has gone is shown no more, and goes on where it was if it comes back; what
    is counted meanwhile is counted under the shared label and stays there. So no series ever runs
    back.

    Args:
        tasks: those that have a label already, by number.
        queues: likewise.
    """

    def __init__(
        self, tasks: Mapping[int, str] | None = None, queues: Mapping[int, str] | None = None
    ) -> None:
        self._tasks = _Labels(tasks or {})
        self._queues = _Labels(queues or {})
        self._pairs: dict[tuple[int, int], tuple[str, str]] = {}

    @property
    def tasks(self) -> Mapping[int, str]:
        """The tasks that have a label of their own."""
        return self._tasks.own

    @property
    def queues(self) -> Mapping[int, str]:
        """The queues that have a label of their own."""
        return self._queues.own

    def of(self, task_id: int, queue_id: int, task: str, queue: str) -> tuple[str, str]:
        """The labels of a task in a queue, whose names are these."""
        found = self._pairs.get((task_id, queue_id))
        if found is None:
            if len(self._pairs) >= _MOST_PAIRS:
                return OTHER, OTHER
            found = self._tasks.of(task_id, task), self._queues.of(queue_id, queue)
            self._pairs[task_id, queue_id] = found
        return found

    def shown(self, series: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of these labels under which something is counted now, and the shared ones."""
        used = {*self._pairs.values()}
        tasks, queues = {*self.tasks.values(), OTHER}, {*self.queues.values(), OTHER}
        return [
            (task, queue)
            for task, queue in series
            if (task, queue) in used
            or (OTHER in (task, queue) and task in tasks and queue in queues)
        ]

    def follow(
        self, uses: Mapping[tuple[int, int], int], names: Mapping[tuple[int, int], tuple[str, str]]
    ) -> bool:
        """Give the names that are used most a label; whether any has changed: then ask :meth:`of`
        again for all pairs.

        Args:
            uses: jobs of each task in each queue.
            names: of each of these pairs.
        """
        is_changed = False
        for place, labels in enumerate((self._tasks, self._queues)):
            sums: Counter[int] = Counter()
            known: dict[int, str] = {}
            for pair, jobs in uses.items():
                sums[pair[place]] += jobs
                known[pair[place]] = names[pair][place]
            for new, old in labels.changes(sums):
                labels.change(new, known[new], old)
                is_changed = True
        if is_changed:
            kept = sorted(self._pairs, key=lambda pair: -uses.get(pair, 0))
            self._pairs = {}
            for pair in [*kept, *sorted(uses, key=lambda pair: -uses[pair])]:
                if pair in names:
                    self.of(*pair, *names[pair])
        return is_changed


def largest(sizes: Mapping[str, float]) -> frozenset[str]:
    """Of these names those that get a label of their own: the ones with the largest sizes."""
    return frozenset(sorted(sizes, key=lambda name: (-sizes[name], name))[:_MOST])
