"""ServiceRunner: runs services in one thread, each when it is due, and survives their errors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from hammerflow.services.base import Service
from hammerflow.services.database_status import PATIENCE, DatabaseStatus
from hammerflow.services.lease_clock import now

__all__ = ["ServiceRunner"]

log = logging.getLogger("hammerflow.services")
_AFTER_ERROR = 5.0  # seconds


class ServiceRunner:
    """A thread that ticks its services in turn; a slow service delays the others of its runner.

    Args:
        services: each ticks at once after :meth:`start`.
        probes: this runner retries quickly while the database is down, to find out when it is
            back; the others wait to be woken. One runner of a process probes.
    """

    def __init__(
        self, name: str, services: Sequence[Service], database_status: DatabaseStatus,
        *, probes: bool = False,
    ) -> None:  # fmt: skip
        self._services = list(services)
        self._database_status = database_status
        self._probes = probes
        self._due = dict.fromkeys(self._services, 0.0)  # by time.monotonic()
        self._woken = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self, service: Service, after: float = 0.0) -> None:
        """Let a service tick in ``after`` seconds at the latest."""
        due = time.monotonic() + after
        with self._woken:
            if due < self._due[service]:
                self._due[service] = due
                self._woken.notify()

    def wake_all(self) -> None:
        """Let every service tick now."""
        for service in self._services:
            self.wake(service)

    def stop(self, timeout: float) -> None:
        """End the thread; wait up to ``timeout`` seconds for a tick under way."""
        with self._woken:
            self._stopping = True
            self._woken.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while (service := self._next()) is not None:
            pause = self._tick(service)
            with self._woken:
                # _next has set it to infinity; a wake() during the tick has brought it forward.
                self._due[service] = min(self._due[service], time.monotonic() + pause)

    def _next(self) -> Service | None:
        """Wait for the next service that is due; None once the runner stops."""
        with self._woken:
            while not self._stopping:
                service = min(self._due, key=self._due.__getitem__)
                wait = self._due[service] - time.monotonic()
                if wait <= 0:
                    self._due[service] = float("inf")
                    return service
                self._woken.wait(min(wait, threading.TIMEOUT_MAX))
        return None

    def _tick(self, service: Service) -> float:
        if self._database_status.is_silent and not self._probes:
            return PATIENCE
        try:
            pause = service.tick(now())
        except Exception as error:  # a border: one duty's error must not end the others
            retry = self._database_status.note(error, service, probes=self._probes)
            if retry is None:
                log.exception("%s failed", type(service).__name__)
            return _AFTER_ERROR if retry is None else retry
        self._database_status.mark_up(service, probes=self._probes)
        return pause
