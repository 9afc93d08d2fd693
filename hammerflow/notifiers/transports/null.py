"""No doorbell: everything is found by polling."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Self

from hammerflow.notifiers.base import Callback, Listener, Notifier, Waiter

__all__ = ["NullNotifier"]


class NullNotifier(Notifier):
    """A :class:`Notifier` that never rings: a wait lasts the poll interval."""

    def listen(
        self, *, queues: Collection[str], on_work: Callback, on_control: Callback
    ) -> Listener:
        return _NeverRings()

    def expect(self, job_id: bytes, on_ring: Callback | None = None) -> Waiter:
        return _NeverRings()


class _NeverRings:
    """A :class:`Listener` and a :class:`Waiter`."""

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, timeout: float) -> bool:
        return threading.Event().wait(max(0.0, timeout))
