"""In which order a worker claims from its queues."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from hammerflow.ids import name_id
from hammerflow.jobs.shares import Shares

__all__ = ["QueueOrder"]

#: Queues that are claimed from in turn without asking which of them have jobs.
_FEW = 8


class QueueOrder:
    """Shares of the jobs that are started: with ``high:5,default:1`` five of six that a worker
    claims are of high while both queues have jobs, however long these run. What one queue cannot
    fill goes to the others at once, the heaviest first. It is owed to that queue only if it has
    jobs that were passed over, as another worker's claim was at them.

    Without weights every queue that appears is served. They take turns at being first, and each
    claim takes what it can get: one statement is enough where the first queue fills the room. Where
    there are many, most of them empty, the claimer asks which one is the next with jobs.
    """

    def __init__(self, weights: Mapping[str, int] | None) -> None:
        self.is_open = weights is None
        self._lock = threading.Lock()
        self._weights: dict[str, int] = dict(weights or {})
        #: By who claims: sync and async jobs are claimed apart.
        self._shares: defaultdict[str, Shares[str]] = defaultdict(Shares)
        self._turn = 0
        self._paused: set[str] = set()
        self._names: dict[int, str] = {}  # by number; only where every queue is served

    @property
    def names(self) -> list[str]:
        """All queues that are served, paused ones included."""
        with self._lock:
            return sorted(self._weights)

    def add(self, names: Iterable[str]) -> bool:
        """Serve these, too, if every queue is served; whether any of them is new."""
        with self._lock:
            new = [name for name in names if name not in self._weights] if self.is_open else []
            self._weights.update(dict.fromkeys(new, 1))
            self._names.update((name_id(name), name) for name in new)
            return bool(new)

    def set_paused(self, names: Iterable[str]) -> bool:
        """Pause these and resume all others; whether one that is served was resumed."""
        with self._lock:
            resumed = (self._paused - set(names)) & self._weights.keys()
            self._paused = set(names)
            return bool(resumed)

    @property
    def is_long(self) -> bool:
        """Whether every queue is served, and there are many."""
        return len(self._names) > _FEW

    def name_of(self, queue_id: int) -> str | None:
        """The name of a queue that is served and not paused, where every queue is."""
        with self._lock:
            name = self._names.get(queue_id)
            return None if name in self._paused else name

    def shares(self, room: int, claimer: str) -> list[tuple[str, int]]:
        """The queues to claim from now, in order, and how many jobs from each at most. A queue is
        named again after all others for what they have left."""
        with self._lock:
            open_ = [name for name in self._weights if name not in self._paused]
            if len(open_) < 2:
                return [(name, room) for name in open_]
            if self.is_open:
                self._turn = (self._turn + 1) % len(open_)
                turns = open_[self._turn :] + open_[: self._turn]
                return [(name, room) for name in turns]
            rest = sorted(open_, key=lambda name: -self._weights[name])
            return self._split(room, open_, claimer) + [(name, room) for name in rest]

    def note(
        self, claimer: str, room: int, given: Mapping[str, int], empty: Collection[str]
    ) -> None:
        """Note how many jobs a claim has brought.

        Args:
            room: that was asked for.
            given: jobs by queue.
            empty: queues that had no more jobs to give.
        """
        with self._lock:
            open_ = {n: w for n, w in self._weights.items() if n not in self._paused}
            if self.is_open or len(open_) < 2:
                return
            shares = self._shares[claimer]
            for name in empty:
                shares.forget(name)
            sharing = {name: weight for name, weight in open_.items() if name not in empty}
            shares.note(given, sharing, room)

    def _split(self, room: int, names: list[str], claimer: str) -> list[tuple[str, int]]:
        """The room by weight in whole jobs."""
        weights = {name: self._weights[name] for name in names}
        return list(self._shares[claimer].split(room, weights).items())
