"""Listening: one thread that hears rings, and subscribes again by itself."""

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

#: After so many quiet seconds a sign of life is asked for, and awaited for so many: a server that
#: was stopped in its tracks looks idle for ever.
QUIET = 2.0
ANSWER = 1.0
#: Seconds between two tries to subscribe, first and at most.
FIRST_BACKOFF = 0.1
LAST_BACKOFF = 5.0


class Subscriber:
    """A subscription kept up by a thread.

    Args:
        tune: makes the subscription; may block for some seconds.
        heard: is given the rings that came together.
        missed: is called after each subscription: something may have been rung before it.
        retire: is asked after some quiet whether to end by itself.
    """

    def __init__(
        self,
        *,
        tune: Callable[[], Subscription],
        heard: Callable[[list[Ring]], None],
        missed: Callable[[], None],
        health: DoorbellStatus,
        retire: Callable[[], bool] = lambda: False,
        name: str = "hammerflow-listen",
    ) -> None:
        self.tried = threading.Event()  # the first try to subscribe has ended, well or not
        self._tune = tune
        self._heard = heard
        self._missed = missed
        self._health = health
        self._retire = retire
        self._ear: Subscription | None = None
        self._ended = threading.Event()
        self._wake, self._waked = socket.socketpair()
        self._pace = Debouncer()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. No callback begins after this has returned."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._wake.close()  # the other end becomes readable
        if self._thread is not threading.current_thread():
            self._thread.join(QUIET + ANSWER)

    def forget(self) -> None:
        """Let go of everything in a forked child, where the thread does not run."""
        self._ended = threading.Event()
        self._ended.set()
        self._wake.close()
        self._waked.close()
        if self._ear is not None:
            self._ear.abandon()

    # -- in the thread

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
            self._wake.close()  # nobody else does when it retires by itself
            self._waked.close()

    def _subscribe_and_listen(self) -> bool:
        """Until it is asked to end (True) or the subscription is lost (False)."""
        try:
            ear = self._ear = self._tune()
            try:
                self._health.up()
                self.tried.set()
                self._tell(self._missed)
                self._listen(ear)
            finally:
                self._ear = None
                ear.close()
            return True
        except Exception as error:  # noqa: BLE001  # whatever the cause: it is tried again
            if not self._ended.is_set():
                self._health.down(error)
            return False
        finally:
            self.tried.set()

    def _listen(self, ear: Subscription) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._waked, selectors.EVENT_READ)
            selector.register(ear.fileno(), selectors.EVENT_READ)
            asked = more = False
            while not self._ended.is_set():
                ready = selector.select(0.0 if more else ANSWER if asked else QUIET)
                if any(key.fileobj is self._waked for key, _ in ready):
                    return
                if ready or more:
                    rings, more = ear.hear()
                    asked = False
                    if rings:
                        self._tell(lambda rings=rings: self._heard(rings))  # type: ignore[misc]
                elif asked:
                    raise TimeoutError(f"no answer to a ping within {ANSWER:g} s")
                elif self._retire():
                    return
                else:
                    asked = ear.ping()

    def _tell(self, callback: Callable[[], None]) -> None:
        if self._ended.is_set():
            return
        try:
            callback()
        except Exception:  # the border to a caller's code
            log.exception("a callback of the doorbell failed")
        if not self._pace.passes(monotonic()):
            self._ended.wait(self._pace.rest(monotonic()))
