"""Whether a worker is alive, and ready to run jobs: for probes over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from hammerflow.services.heartbeat import Heartbeat
from hammerflow.worker.supervisor.claimer import Claimer
from hammerflow.worker.supervisor.http_server import Answer, Route
from hammerflow.worker.supervisor.pool import Pool

__all__ = ["Health", "complaints_of"]

#: Seconds since the main thread of the worker went round its loop last, at most. While it opens
#: the database it may wait for a connection.
_LOOP_BOUND = 30.0
#: Seconds in which a claim must be answered, or a sixth of a lease if that is less.
_CLAIM_BOUND = 5.0
_LEAST_BOUND = 1.0


def complaints_of(
    pool: Pool, claimers: Iterable[Claimer], heartbeat: Heartbeat, lease: float
) -> list[str]:
    """Why a worker that has started is not ready to run jobs, a sentence each."""
    found, now = [], time.monotonic()
    if not pool.has_fork_server:
        found.append("the fork server is gone: no child can be replaced")
    if not pool.have_started.is_set():
        found.append("the first children have not started")
    waits = max(now - claimer.unanswered_since for claimer in claimers)
    if waits > max(_LEAST_BOUND, min(_CLAIM_BOUND, lease / 6)):
        found.append(f"the database has answered no claim for {waits:.1f} s")
    if (silent_for := heartbeat.silent_for) > lease / 2:
        found.append(f"no heartbeat was written for {silent_for:.1f} s")
    return found


class Health:
    """What the probes ask: the main thread tells it how it does, and never waits for it.

    Attributes:
        state: what the worker does instead of its work, as a sentence; None once it works.
        complaints: why it is not ready although it works.
    """

    def __init__(self) -> None:
        self.state: str | None = "the worker starts"
        self.complaints: Callable[[], list[str]] = list
        self._turned_at = time.monotonic()

    def turn(self, now: float) -> None:
        """The main thread goes round its loop."""
        self._turned_at = now

    @property
    def routes(self) -> Mapping[str, Route]:
        """For an HTTP server."""
        return {
            "/livez": lambda _: _answer("live", self.why_dead()),
            "/readyz": lambda _: _answer("ready", self.why_unready()),
        }

    def why_dead(self) -> list[str]:
        """Why the worker should be killed and started again."""
        seconds = time.monotonic() - self._turned_at
        if seconds <= _LOOP_BOUND:
            return []
        return [f"the worker's loop has not turned for {seconds:.0f} s"]

    def why_unready(self) -> list[str]:
        """Why it runs no jobs now."""
        return self.why_dead() + ([self.state] if self.state is not None else self.complaints())


def _answer(what: str, complaints: list[str]) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if complaints else HTTPStatus.OK
    body = json.dumps({what: not complaints, "why": complaints}) + "\n"
    return Answer(status, body.encode(), "application/json")
