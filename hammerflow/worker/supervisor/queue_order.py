"""In which order a worker claims from its queues."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

__all__ = ["QueueOrder"]


class QueueOrder:
    """Smooth weighted round-robin: with ``high:5,default:1`` five of six claims begin with high,
    evenly spread; the room that is left goes to the others, the heaviest first. At each turn every
    queue earns its weight as credit, and the richest one pays for the turn (as nginx does it).

    With None for ``weights`` every queue that appears is served, with equal weights.
    """

    def __init__(self, weights: Mapping[str, int] | None) -> None:
        self.is_open = weights is None
        self._lock = threading.Lock()
        self._weights: dict[str, int] = dict(weights or {})
        self._credit: dict[str, int] = dict.fromkeys(self._weights, 0)
        self._paused: set[str] = set()

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
            self._credit.update(dict.fromkeys(new, 0))
            return bool(new)

    def set_paused(self, names: Iterable[str]) -> bool:
        """Pause these and resume all others; whether one that is served was resumed."""
        with self._lock:
            resumed = (self._paused - set(names)) & self._weights.keys()
            self._paused = set(names)
            return bool(resumed)

    def order(self) -> list[str]:
        """The queues to claim from now, the one whose turn it is first."""
        with self._lock:
            open_ = [name for name in self._weights if name not in self._paused]
            if len(open_) < 2:
                return open_
            for name in open_:
                self._credit[name] += self._weights[name]
            first = max(open_, key=lambda name: self._credit[name])
            self._credit[first] -= sum(self._weights[name] for name in open_)
            rest = sorted(open_, key=lambda name: -self._weights[name])
            return [first, *(name for name in rest if name != first)]
