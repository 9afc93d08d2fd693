"""Waiters: those who wait for ends in this process, and their one subscription."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Self

from hammerflow.notifiers.base import Callback, Ring, Transport, Waiter
from hammerflow.notifiers.status import DoorbellStatus
from hammerflow.notifiers.subscriber import Subscriber

__all__ = ["Waiters"]

#: Seconds that entering a waiter blocks until the subscription is confirmed.
PATIENCE = 0.5
#: Seconds that the subscription is kept with nobody waiting: who waits for one job after another
#: needs it again at once.
LINGER = 2.0


class Waiters:
    """All waiters of one doorbell. There is a subscription only while somebody waits."""

    def __init__(self, transport: Transport, status: DoorbellStatus) -> None:
        self._transport = transport
        self._status = status
        self._closed = False
        self._subscriber: Subscriber | None = None
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._by_job: dict[bytes, list[_Waiter]] = {}
        self._left_at = 0.0

    def expect(self, job_id: bytes, on_ring: Callback | None = None) -> Waiter:
        """See :meth:`Notifier.expect`."""
        return _Waiter(self, job_id, on_ring)

    def close(self) -> None:
        """End the subscription; later waiters wait for their whole timeout."""
        with self._lock:
            self._closed = True
            subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            subscriber.close()

    def reset_after_fork(self) -> None:
        """Start from nothing in a forked child."""
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            subscriber.reset_after_fork()
        self._start()

    def add(self, waiter: _Waiter) -> None:
        """Register a waiter. Returns once a ring can reach it, or soon if the doorbell is down."""
        with self._lock:
            self._by_job.setdefault(waiter.job_id, []).append(waiter)
            if self._subscriber is None and not self._closed:
                self._subscriber = Subscriber(
                    subscribe=lambda: self._transport.subscribe(None),
                    received=self._received,
                    status=self._status,
                    retire=self._retire,
                    name="hammerflow-wait",
                )
            subscriber = self._subscriber
        if subscriber is not None and not self._status.is_down:
            subscriber.tried.wait(PATIENCE)

    def remove(self, waiter: _Waiter) -> None:
        """Unregister a waiter."""
        with self._lock:
            waiters = self._by_job.get(waiter.job_id, [])
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters:
                self._by_job.pop(waiter.job_id, None)
            self._left_at = monotonic()

    def _received(self, rings: list[Ring]) -> None:
        for kind, body in rings:
            if kind not in ("all", "done"):
                continue
            ids = [body[at : at + 16] for at in range(0, len(body), 16)]
            with self._lock:
                for job_id in ids or list(self._by_job):
                    for waiter in self._by_job.get(job_id, ()):
                        waiter.ring()

    def _retire(self) -> bool:
        with self._lock:
            idle = not self._by_job and monotonic() - self._left_at >= LINGER
            if idle:
                self._subscriber = None
            return idle


class _Waiter:
    """One waiter for one job."""

    def __init__(self, waiters: Waiters, job_id: bytes, on_ring: Callback | None) -> None:
        self.job_id = job_id
        self._rang = threading.Event()
        self._waiters = waiters
        self.ring = on_ring or self._rang.set

    def __enter__(self) -> Self:
        self._waiters.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._waiters.remove(self)

    def wait(self, timeout: float) -> bool:
        if not self._rang.wait(max(0.0, timeout)):
            return False
        self._rang.clear()
        return True
