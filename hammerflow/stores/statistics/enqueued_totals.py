"""EnqueuedTotals: how many jobs of each task and queue were ever enqueued, for a counter."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator

from hammerflow.stores.names import NameTable
from hammerflow.telemetry.families import OTHER
from hammerflow.telemetry.labels import JobLabels

__all__ = ["EnqueuedTotals"]

#: Pairs of task and queue that are kept apart; and the series.
_MOST = 2_000
_Pair = tuple[int, int]  # numbers of task and queue; 0 for those without a label of their own


class EnqueuedTotals:
    """What one holder hands on to the next: the totals of each series, and how much each pair of
    task and queue is used, which decides on the labels."""

    def __init__(
        self, names: NameTable, tasks: Iterable[int], queues: Iterable[int],
        series: Iterable[tuple[int, int, int]], uses: Iterable[tuple[int, int, int]],
    ) -> None:  # fmt: skip
        self._names = names
        self._labels = JobLabels(
            {number: names.task(number) for number in tasks},
            {number: names.queue(number) for number in queues},
        )
        self._series = Counter({(task, queue): jobs for task, queue, jobs in series})
        self._uses = Counter({(task, queue): jobs for task, queue, jobs in uses})
        for pair in self._uses:
            self._label(pair)

    @classmethod
    def from_json(cls, text: str, names: NameTable) -> EnqueuedTotals:
        """What :meth:`to_json` has written."""
        return cls(names, *(json.loads(text) or ([], [], [], [])))

    def to_json(self) -> str:
        """All of it, as a text."""
        series = [(*pair, jobs) for pair, jobs in self._series.items()]
        uses = [(*pair, jobs) for pair, jobs in self._uses.items()]
        return json.dumps([[*self._labels.tasks], [*self._labels.queues], series[-_MOST:], uses])

    def add(self, rows: Iterable[tuple[_Pair, int]]) -> None:
        """Jobs that were enqueued, by task and queue: they stay in the series of this moment."""
        for pair, jobs in rows:
            if pair in self._uses or len(self._uses) < _MOST:
                self._uses[pair] += jobs
            self._series[self._label(pair)] += jobs

    def follow(self, recent: Iterable[tuple[_Pair, int]]) -> None:
        """Let what is used most have series of its own.

        Args:
            recent: jobs that are shown already, and will be added later: they stay shown where
                they were, so that no series runs back and no job is shown twice.
        """
        recent = [*recent]
        before = [self._label(pair) for pair, _ in recent]
        self._labels.follow(self._uses, {pair: self._named(pair) for pair in self._uses})
        for (pair, jobs), old in zip(recent, before, strict=True):
            new = self._label(pair)
            if new != old:
                self._series[old] += jobs
                self._series[new] -= jobs

    def shown(self, recent: Iterable[tuple[_Pair, int]]) -> Iterator[tuple[tuple[str, str], int]]:
        """The labels and the value of each series, with the jobs that will be added later."""
        sums = Counter(self._series)
        for pair, jobs in recent:
            sums[self._label(pair)] += jobs
        by_name = {self._named(pair): jobs for pair, jobs in sums.items()}
        for labels in self._labels.shown(by_name):
            yield labels, by_name[labels]

    def _label(self, pair: _Pair) -> _Pair:
        """The pair of the series that shows this one."""
        if pair not in self._uses and len(self._uses) >= _MOST:
            return 0, 0
        task, queue = self._labels.of(*pair, *self._named(pair))
        return (0 if task == OTHER else pair[0]), (0 if queue == OTHER else pair[1])

    def _named(self, pair: _Pair) -> tuple[str, str]:
        task, queue = pair
        return (
            self._names.task(task) if task else OTHER,
            self._names.queue(queue) if queue else OTHER,
        )
