"""Caps of queues: how many jobs of one queue a worker holds at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

__all__ = ["QueueCaps"]


class QueueCaps:
    """Keeps a queue of slow jobs from taking all children.

    Args:
        caps: the largest number of jobs, by the name of the queue.
        held: counts the jobs of a queue that are held now.
    """

    def __init__(self, caps: Mapping[str, int], held: Callable[[str], int]) -> None:
        self._caps = caps
        self._held = held
        self._lock = threading.Lock()  # two threads claim: for sync jobs and for async ones

    @contextlib.contextmanager
    def room_of(self, queue: str, wanted: int) -> Iterator[int]:
        """How many of ``wanted`` jobs may be claimed; claim them before the block ends."""
        most = self._caps.get(queue)
        if most is None:
            yield wanted
            return
        with self._lock:
            yield max(0, min(wanted, most - self._held(queue)))
