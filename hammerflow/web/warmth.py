"""Warmth: what costs most of the first page is read before somebody asks for it."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import partial

__all__ = ["LazyWarmth", "Warmth"]

log = logging.getLogger("hammerflow.web")
#: Seconds between two checks whether the first page is old.
_WARM = 15.0


class Warmth:
    """A thread that keeps the first page of a server ready, from before it can be asked for.

    Args:
        warm: reads what is old.
    """

    def __init__(self, warm: Callable[[], None]) -> None:
        self._warm = warm
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warmth", daemon=True)
        self._try()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._is_over.wait(_WARM):
            self._try()

    def _try(self) -> None:
        _try(self._warm)


class LazyWarmth:
    """Does the same for an app inside another one, whose start it must not delay, and which may
    fork after it: each request has what is old read in a thread, of which there is one at a time.

    Args:
        warm: reads what is old.
        start: runs what it is given in a thread of this name.
    """

    def __init__(
        self, warm: Callable[[], None], start: Callable[[Callable[[], object], str], None]
    ) -> None:
        self._warm = warm
        self._start = start
        self._checked_at = -math.inf
        self._lock = threading.Lock()

    def touch(self) -> None:
        """Somebody is here, and may ask for the first page next."""
        with self._lock:
            now = time.monotonic()
            if now - self._checked_at < _WARM:
                return
            self._checked_at = now
        self._start(partial(_try, self._warm), "warmth")


def _try(warm: Callable[[], None]) -> None:
    try:
        warm()
    except Exception as error:  # noqa: BLE001 - a border: whoever asks for the page is told
        log.debug("the first page could not be read: %s", error)
