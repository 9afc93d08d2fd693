"""Caps of queues: how many jobs of one queue a worker holds at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from hammerflow.stores.events.webhooks import WEBHOOK_QUEUE
from hammerflow.worker.options import WorkerOptions

__all__ = ["QueueCaps", "caps_of"]


class QueueCaps:
    """Keeps a queue of slow jobs from taking all children.

    Args:
        caps: the largest number of jobs, by the name of the queue.
        held: counts the jobs of a queue that are held now.
        shares: the same as ``caps``, of queues that have none there, asked at each claim.
    """

    def __init__(
        self, caps: Mapping[str, int], held: Callable[[str], int],
        shares: Mapping[str, Callable[[], int]] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._caps = caps
        self._held = held
        self._shares = {name: share for name, share in shares.items() if name not in caps}
        self._lock = threading.Lock()  # two threads claim: for sync jobs and for async ones

    @contextlib.contextmanager
    def room_of(self, queue: str, wanted: int) -> Iterator[int]:
        """How many of ``wanted`` jobs may be claimed; claim them before the block ends."""
        share = self._shares.get(queue)
        most = self._caps.get(queue) if share is None else share()
        if most is None:
            yield wanted
            return
        with self._lock:
            yield max(0, min(wanted, most - self._held(queue)))


class _Pool(Protocol):
    @property
    def size(self) -> int: ...

    def count_of(self, queue: str) -> int: ...


def caps_of(options: WorkerOptions, pool: _Pool) -> QueueCaps:
    """The caps of a worker. Endpoints of webhooks that answer slowly get half of its children at
    most, unless it serves nothing else."""

    def half() -> int:
        return max(1, pool.size // 2)

    has_others = options.weights is None or options.weights.keys() != {WEBHOOK_QUEUE}
    shares = {WEBHOOK_QUEUE: half} if has_others else {}
    return QueueCaps(options.caps, pool.count_of, shares)
