"""SeveralNotifiers: rings more than one doorbell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from hammerflow.notifiers.base import Callback, Listener, Notifier, Waiter

__all__ = ["SeveralNotifiers"]


class SeveralNotifiers(Notifier):
    """Rings all of these doorbells, and listens to the first.

    Workers on one database may listen to different ones: each app has its own namespace.
    """

    def __init__(self, own: Notifier, others: Sequence[Notifier]) -> None:
        self._own = own
        self._all = (own, *others)

    @property
    def is_heard(self) -> bool | None:
        return self._own.is_heard

    def ring(self, queues: Iterable[str]) -> None:
        names = list(queues)
        for notifier in self._all:
            notifier.ring(names)

    def ring_done(self, ids: Sequence[bytes]) -> None:
        for notifier in self._all:
            notifier.ring_done(ids)

    def ring_control(self) -> None:
        for notifier in self._all:
            notifier.ring_control()

    def listen(
        self, *, queues: Collection[str], on_work: Callback, on_control: Callback
    ) -> Listener:
        return self._own.listen(queues=queues, on_work=on_work, on_control=on_control)

    def expect(self, job_id: bytes, on_ring: Callback | None = None) -> Waiter:
        return self._own.expect(job_id, on_ring)

    def close(self) -> None:
        for notifier in self._all:
            notifier.close()
