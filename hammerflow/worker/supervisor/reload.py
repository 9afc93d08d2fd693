"""Brings new fork servers to a running worker: one at a time, and after a failure with a pause."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from hammerflow.errors import ConfigError
from hammerflow.worker.logs import facts
from hammerflow.worker.supervisor.fork_server_client import ForkServerClient, Greeting

__all__ = ["Reload"]

log = logging.getLogger("hammerflow.worker")

_LONGEST_PAUSE = 60.0
#: A fork server that dies before it has served for this many seconds delays the next one.
_QUICK_DEATH = 10.0
#: Fork servers that wait for the last jobs of their children, at most. Each holds the app's memory.
_MOST_RETIRED = 4


@dataclass
class Reload:
    """The next fork server of a worker, from the wish for it until its children can be forked.

    Whatever goes wrong is one log line and a pause, while the old children go on; and nothing here
    waits, so that signals are obeyed and leases are watched meanwhile.

    Args:
        start: starts a fork server.
        use: takes children from it from now on.
        retired: how many older fork servers still have children.
    """

    start: Callable[[], ForkServerClient]
    use: Callable[[ForkServerClient, Greeting], None]
    _: KW_ONLY
    retired: Callable[[], int]
    _why: str | None = None
    _is_needed: bool = False  # there is no fork server
    _importing: ForkServerClient | None = None
    _used_at: float = 0.0
    _not_before: float = 0.0
    _failures: int = 0
    _is_told: bool = False  # that it waits for retired ones

    @property
    def sockets(self) -> list[int]:
        """What becomes readable when :meth:`step` has something to do."""
        return [] if self._importing is None else [self._importing.control.fileno()]

    @property
    def is_under_way(self) -> bool:
        """Whether fresh code is about to be used; not if that has failed and is tried later."""
        return self._importing is not None or (self._why is not None and not self._failures)

    def ask(self, why: str) -> None:
        """A person, or a changed file, asks for fresh code: begin at once, or as soon as the fork
        server that imports now is in use. It may have read the code before the change."""
        self._why, self._not_before, self._failures = why, 0.0, 0

    def ask_for_lost(self, why: str, now: float) -> None:
        """There is no fork server any more. One after another that lives briefly comes later and
        later: what kills them would keep the machine busy."""
        self._why, self._is_needed = self._why or why, True
        if now < self._used_at + _QUICK_DEATH:
            self._pause(now)
        else:
            self._failures = 0

    def step(self, now: float) -> None:
        """Do what is due: start a fork server, or look whether the new one has imported the app."""
        try:
            if self._importing is not None:
                self._greet(now)
            elif self._why is not None and now >= self._not_before and self._has_room():
                why, self._why = self._why, None
                log.info("starting children with fresh code", extra=facts(why=why))
                self._importing = self.start()
        except ConfigError as error:
            self._fail(str(error), now)
        except Exception as error:  # a border: the worker outlives all failures of a replacement
            log.exception("a replacement of the fork server failed")
            self._fail(f"{type(error).__name__}: {error}", now)

    def close(self) -> None:
        """End what is being started."""
        if self._importing is not None:
            self._importing.kill()  # its import may hang
            self._importing.close()
            self._importing = None

    def _greet(self, now: float) -> None:
        client = self._importing
        if client is not None and (greeting := client.greet()) is not None:
            self.use(client, greeting)
            self._importing, self._is_needed = None, False
            self._used_at = now

    def _has_room(self) -> bool:
        retired = self.retired()
        if self._is_needed or retired < _MOST_RETIRED:
            self._is_told = False
            return True
        if not self._is_told:
            self._is_told = True
            log.warning(
                "the reload waits: %d fork servers of earlier ones still have jobs that run",
                retired,
            )
        return False

    def _fail(self, why: str, now: float) -> None:
        self.close()
        self._why = self._why or "the last start failed"
        seconds = self._pause(now)
        log.error("the app cannot be loaded: %s; the next try is in %g s", why, seconds)

    def _pause(self, now: float) -> float:
        self._failures += 1
        seconds = min(2.0**self._failures, _LONGEST_PAUSE)
        self._not_before = now + seconds
        return seconds
