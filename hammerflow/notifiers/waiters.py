"""Bells: those who wait for the end of a job, and the one subscription of the process for them."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Self

from hammerflow.notifiers.base import Ring, Transport, Waiter
from hammerflow.notifiers.status import DoorbellStatus
from hammerflow.notifiers.subscriber import Subscriber

__all__ = ["Waiters"]

#: Seconds that entering a bell waits for the subscription; and after which, with nobody waiting,
#: it is given up (not at once: who waits for one job after another needs it again and again).
PATIENCE = 0.5
LINGER = 2.0


class Waiters:
    """All bells of one doorbell in this process. Subscribed only while somebody waits."""

    def __init__(self, transport: Transport, health: DoorbellStatus) -> None:
        self._transport = transport
        self._health = health
        self._closed = False
        self._listening: Subscriber | None = None
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._bells: dict[bytes, list[_Waiter]] = {}
        self._left_at = 0.0

    def expect(self, job_id: bytes) -> Waiter:
        """See :meth:`Notifier.expect`."""
        return _Waiter(self, job_id)

    def close(self) -> None:
        """End the subscription; bells no longer ring."""
        with self._lock:
            self._closed = True
            listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    def forget(self) -> None:
        """Begin anew in a forked child."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.forget()
        self._begin()

    def join(self, bell: _Waiter) -> None:
        """Count the bell in, and return when it can be rung (or soon, if the doorbell is down)."""
        with self._lock:
            self._bells.setdefault(bell.job_id, []).append(bell)
            if self._listening is None and not self._closed:
                self._listening = Subscriber(
                    tune=lambda: self._transport.tune(None),
                    heard=self._heard,
                    missed=self._ring_all,
                    health=self._health,
                    retire=self._retire,
                    name="hammerflow-wait",
                )
            listening = self._listening
        if listening is not None and not self._health.is_down:
            listening.tried.wait(PATIENCE)

    def leave(self, bell: _Waiter) -> None:
        """Count the bell out."""
        with self._lock:
            bells = self._bells.get(bell.job_id, [])
            if bell in bells:
                bells.remove(bell)
            if not bells:
                self._bells.pop(bell.job_id, None)
            self._left_at = monotonic()

    # -- in the listening thread

    def _heard(self, rings: list[Ring]) -> None:
        for kind, body in rings:
            if kind == "all" or (kind == "done" and not body):
                self._ring_all()
            elif kind == "done":
                with self._lock:
                    for at in range(0, len(body), 16):
                        for bell in self._bells.get(body[at : at + 16], ()):
                            bell.rung.set()

    def _ring_all(self) -> None:
        with self._lock:
            for bells in self._bells.values():
                for bell in bells:
                    bell.rung.set()

    def _retire(self) -> bool:
        with self._lock:
            idle = not self._bells and monotonic() - self._left_at >= LINGER
            if idle:
                self._listening = None
            return idle


class _Waiter:
    """One waiter's bell for one job."""

    def __init__(self, bells: Waiters, job_id: bytes) -> None:
        self.job_id = job_id
        self.rung = threading.Event()
        self._bells = bells

    def __enter__(self) -> Self:
        self._bells.join(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._bells.leave(self)

    def wait(self, timeout: float) -> bool:
        if not self.rung.wait(max(0.0, timeout)):
            return False
        self.rung.clear()
        return True
