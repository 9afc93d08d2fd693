"""Rota: runs services in one thread, each when it is due, and outlives their errors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from hammerflow.errors import StoreUnavailable
from hammerflow.services.database_status import DatabaseStatus

__all__ = ["Service", "ServiceRunner"]

log = logging.getLogger("hammerflow.services")
_AFTER_ERROR = 5.0


class Service(Protocol):
    """A periodic duty."""

    def tick(self) -> float:
        """Do it once; seconds until the next time."""


class ServiceRunner:
    """A thread and its services.

    Args:
        tries_first: whether it finds out when a lost database is back.
    """

    def __init__(
        self,
        name: str,
        services: Sequence[Service],
        weather: DatabaseStatus,
        *,
        tries_first: bool = False,
    ) -> None:
        self._tries_first = tries_first
        self._services = list(services)
        self._weather = weather
        self._due = {id(service): 0.0 for service in services}
        self._woken = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; each service ticks at once."""
        self._thread.start()

    def wake(self, service: Service, after: float = 0.0) -> None:
        """Let a service tick in ``after`` seconds at the latest."""
        with self._woken:
            due = time.monotonic() + after
            if due < self._due[id(service)]:
                self._due[id(service)] = due
                self._woken.notify()

    def wake_all(self) -> None:
        """Let every service tick now."""
        for service in self._services:
            self.wake(service)

    def stop(self, timeout: float) -> None:
        """End the thread; wait so long for the tick it may be in."""
        with self._woken:
            self._stopping = True
            self._woken.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while (service := self._next()) is not None:
            pause = self._tick(service)
            with self._woken:
                due = self._due[id(service)]  # infinite, unless it was woken meanwhile
                self._due[id(service)] = min(due, time.monotonic() + pause)

    def _next(self) -> Service | None:
        """The next service that is due, once it is; None at the end."""
        with self._woken:
            while not self._stopping:
                service = min(self._services, key=lambda s: self._due[id(s)])
                wait = self._due[id(service)] - time.monotonic()
                if wait <= 0:
                    self._due[id(service)] = float("inf")
                    return service
                self._woken.wait(min(wait, threading.TIMEOUT_MAX))
        return None

    def _tick(self, service: Service) -> float:
        try:
            pause = service.tick()
        except StoreUnavailable as error:
            return self._weather.lost(error, tries_first=self._tries_first)
        except Exception:  # a border: one duty's error must not end the others
            log.exception("%s failed", type(service).__name__)
            return _AFTER_ERROR
        self._weather.fine()
        return pause
