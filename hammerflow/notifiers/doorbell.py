"""Doorbell: ringing, listening and waiting over one transport."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Collection

from hammerflow.notifiers.base import Listener, Ring, Transport, Waiter
from hammerflow.notifiers.publisher import Publisher
from hammerflow.notifiers.status import DoorbellStatus
from hammerflow.notifiers.subscriber import Subscriber
from hammerflow.notifiers.waiters import Waiters

__all__ = ["Doorbell"]


class Doorbell:
    """A :class:`Notifier` over any transport; connects at the first use."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._health = DoorbellStatus(transport.label)
        self._ringer = Publisher(transport, self._health)
        self._bells = Waiters(transport, self._health)
        self._listenings: weakref.WeakSet[Subscriber] = weakref.WeakSet()
        self.ring = self._ringer.ring  # not wrapped: it stands on the short trip of a delay()
        self.ring_done = self._ringer.ring_done
        self.ring_control = self._ringer.ring_control
        self._at_exit = _follow_the_process(self)

    def listen(
        self,
        *,
        queues: Collection[str],
        on_work: Callable[[], None],
        on_control: Callable[[], None],
    ) -> Listener:
        """See :meth:`Notifier.listen`."""

        def heard(rings: list[Ring]) -> None:
            kinds = {ring.kind for ring in rings}
            if kinds & {"work", "all"}:
                on_work()
            if kinds & {"control", "all"}:
                on_control()

        def missed() -> None:
            on_work()
            on_control()

        names = frozenset(queues)
        listening = Subscriber(
            tune=lambda: self._transport.tune(names),
            heard=heard,
            missed=missed,
            health=self._health,
        )
        self._listenings.add(listening)
        return listening

    def expect(self, job_id: bytes) -> Waiter:
        """See :meth:`Notifier.expect`."""
        return self._bells.expect(job_id)

    def close(self) -> None:
        """See :meth:`Notifier.close`."""
        atexit.unregister(self._at_exit)
        for listening in list(self._listenings):
            listening.close()
        self._bells.close()
        self._ringer.close()

    def finish(self) -> None:
        """See to it that what was rung has gone out, and that nothing stays behind of those who
        waited: the process may end now."""
        self._bells.close()
        self._ringer.finish()

    def forget(self) -> None:
        """Begin anew in a forked child: its parent's connections and threads are not its own."""
        self._health.forget()
        self._ringer.forget()
        self._bells.forget()
        for listening in list(self._listenings):
            listening.forget()
        self._listenings = weakref.WeakSet()


def _follow_the_process(doorbell: Doorbell) -> Callable[[], None]:
    """Have the doorbell called at each fork and at the exit, while it lives; the call at exit."""
    found = weakref.ref(doorbell)

    def forget() -> None:
        doorbell = found()
        if doorbell is not None:
            doorbell.forget()

    def finish() -> None:
        doorbell = found()
        if doorbell is not None:
            doorbell.finish()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
    return atexit.register(finish)
