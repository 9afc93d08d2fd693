"""Doorbell: rings, listeners and waiters over one transport."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Collection

from hammerflow.notifiers.base import Callback, Listener, Ring, Transport
from hammerflow.notifiers.publisher import Publisher
from hammerflow.notifiers.status import DoorbellStatus
from hammerflow.notifiers.subscriber import Subscriber
from hammerflow.notifiers.waiters import Waiters

__all__ = ["Doorbell"]


class Doorbell:
    """A :class:`Notifier` over any transport; connects at the first use."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._status = DoorbellStatus(transport.label)
        self._publisher = Publisher(transport, self._status)
        self._waiters = Waiters(transport, self._status)
        self._listeners: weakref.WeakSet[Subscriber] = weakref.WeakSet()
        self.ring = self._publisher.ring  # not wrapped: each delay() calls it
        self.ring_done = self._publisher.ring_done
        self.ring_control = self._publisher.ring_control
        self.expect = self._waiters.expect
        self._at_exit = _follow_the_process(self)

    @property
    def is_heard(self) -> bool | None:
        """See :attr:`Notifier.is_heard`."""
        return not self._status.is_down

    def listen(
        self, *, queues: Collection[str], on_work: Callback, on_control: Callback
    ) -> Listener:
        """See :meth:`Notifier.listen`."""
        names = frozenset(queues)

        def received(rings: list[Ring]) -> None:
            kinds = {ring.kind for ring in rings}
            if kinds & {"work", "all"}:
                on_work()
            if kinds & {"control", "all"}:
                on_control()

        listener = Subscriber(
            subscribe=lambda: self._transport.subscribe(names),
            received=received,
            status=self._status,
        )
        self._listeners.add(listener)
        return listener

    def close(self) -> None:
        """See :meth:`Notifier.close`."""
        atexit.unregister(self._at_exit)
        for listener in list(self._listeners):
            listener.close()
        self._waiters.close()
        self._publisher.close()

    def finish(self) -> None:
        """Deliver the rings that are still unsent and remove the waiters' subscription, because
        the process is about to exit."""
        self._waiters.close()
        self._publisher.finish()

    def reset_after_fork(self) -> None:
        """Start from nothing in a forked child: connections and threads are the parent's."""
        self._status.reset_after_fork()
        self._publisher.reset_after_fork()
        self._waiters.reset_after_fork()
        for listener in list(self._listeners):
            listener.reset_after_fork()
        self._listeners = weakref.WeakSet()


def _follow_the_process(doorbell: Doorbell) -> Callable[[], None]:
    """Register the doorbell for forks and for the exit, without keeping it alive.

    Returns:
        The function registered with atexit.
    """
    found = weakref.ref(doorbell)

    def reset() -> None:
        if (doorbell := found()) is not None:
            doorbell.reset_after_fork()

    def finish() -> None:
        if (doorbell := found()) is not None:
            doorbell.finish()

    os.register_at_fork(after_in_child=reset)
    return atexit.register(finish)
