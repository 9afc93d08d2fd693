"""No doorbell: everything is found by polling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Self

from hammerflow.notifiers.base import Listener, Waiter

__all__ = ["NullNotifier"]


class NullNotifier:
    """A :class:`Notifier` that neither rings nor hears."""

    def ring(self, queues: Iterable[str]) -> None:
        """Do nothing."""

    def ring_done(self, ids: Sequence[bytes]) -> None:
        """Do nothing."""

    def ring_control(self) -> None:
        """Do nothing."""

    def listen(
        self,
        *,
        queues: Collection[str],
        on_work: Callable[[], None],
        on_control: Callable[[], None],
    ) -> Listener:
        """A listener that hears nothing."""
        return _NullListener()

    def expect(self, job_id: bytes) -> Waiter:
        """A bell that is never rung."""
        return _NullWaiter()

    def close(self) -> None:
        """Do nothing."""


class _NullListener:
    def close(self) -> None:
        pass


class _NullWaiter:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, timeout: float) -> bool:
        return threading.Event().wait(max(0.0, timeout))
