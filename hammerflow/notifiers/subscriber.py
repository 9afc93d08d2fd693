"""Subscriber: a thread that keeps a subscription, and reconnects after a failure."""

from __future__ import annotations

import logging
import random
import selectors
import socket
import threading
from collections.abc import Callable
from time import monotonic

from hammerflow.notifiers.base import Ring, Subscription
from hammerflow.notifiers.debounce import Debouncer
from hammerflow.notifiers.status import DoorbellStatus

__all__ = ["Subscriber"]

log = logging.getLogger("hammerflow.notifiers")

#: Quiet seconds after which the other side is pinged, and seconds that its reply may take: a
#: server that hangs looks like an idle one.
QUIET = 2.0
REPLY = 1.0
#: Seconds between two attempts to subscribe: the first pause, doubled each time, and the longest.
FIRST_BACKOFF = 0.1
LAST_BACKOFF = 5.0


class Subscriber:
    """Keeps one subscription and calls back for its rings, in a thread of its own.

    Args:
        subscribe: makes the subscription; may block for some seconds.
        received: called with the rings that arrived together; after each subscription with the ring
            "all", because rings may have been missed before it.
        retire: called after each quiet time; True ends the thread.
        name: of the thread.

    Attributes:
        tried: set once the first attempt to subscribe has succeeded or failed.
    """

    def __init__(
        self,
        *,
        subscribe: Callable[[], Subscription],
        received: Callable[[list[Ring]], None],
        status: DoorbellStatus,
        retire: Callable[[], bool] = lambda: False,
        name: str = "hammerflow-listen",
    ) -> None:
        self.tried = threading.Event()
        self._subscribe = subscribe
        self._received = received
        self._status = status
        self._retire = retire
        self._subscription: Subscription | None = None
        self._ended = threading.Event()
        self._wake_end, self._wait_end = socket.socketpair()  # closing one wakes the thread
        self._debouncer = Debouncer()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. No callback begins after this has returned."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._wake_end.close()
        if self._thread is not threading.current_thread():
            self._thread.join(QUIET + REPLY)

    def reset_after_fork(self) -> None:
        """Drop everything in a forked child, where the thread does not run."""
        self._ended = threading.Event()
        self._ended.set()
        self._wake_end.close()
        self._wait_end.close()
        if self._subscription is not None:
            self._subscription.abandon()

    def _run(self) -> None:
        backoff = 0.0
        try:
            while not self._ended.is_set():
                began = monotonic()
                if self._subscribe_and_listen():
                    return
                backoff = 0.0 if monotonic() - began > LAST_BACKOFF else backoff
                backoff = min(max(FIRST_BACKOFF, backoff * 2), LAST_BACKOFF)
                self._ended.wait(backoff * random.uniform(0.5, 1.0))
        finally:
            self._wake_end.close()  # close() was not called if it retired
            self._wait_end.close()

    def _subscribe_and_listen(self) -> bool:
        """Run until the thread is to end (True) or the subscription is lost (False)."""
        try:
            subscription = self._subscription = self._subscribe()
            try:
                self._status.mark_up()
                self.tried.set()
                self._deliver([Ring("all")])
                self._listen(subscription)
            finally:
                self._subscription = None
                subscription.close()
            return True
        except Exception as error:  # noqa: BLE001 - whatever the cause, it tries again
            if not self._ended.is_set():
                self._status.mark_down(error)
            return False
        finally:
            self.tried.set()

    def _listen(self, subscription: Subscription) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wait_end, selectors.EVENT_READ)
            selector.register(subscription.fileno(), selectors.EVENT_READ)
            is_pinged = more = False
            while not self._ended.is_set():
                ready = selector.select(0.0 if more else REPLY if is_pinged else QUIET)
                if any(key.fileobj is self._wait_end for key, _ in ready):
                    return
                if ready or more:
                    rings, more = subscription.receive()
                    is_pinged = False
                    if rings:
                        self._deliver(rings)
                elif is_pinged:
                    raise TimeoutError(f"no reply to a ping within {REPLY:g} s")
                elif self._retire():
                    return
                else:
                    is_pinged = subscription.ping()

    def _deliver(self, rings: list[Ring]) -> None:
        if self._ended.is_set():
            return
        try:
            self._received(rings)
        except Exception:  # a border: the callback is not ours
            log.exception("a callback of the doorbell failed")
        if not self._debouncer.passes(monotonic()):  # rings of the next milliseconds become one
            self._ended.wait(self._debouncer.remaining(monotonic()))
