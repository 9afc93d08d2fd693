"""Asking: a question to a worker, through the database, and its answer."""

from __future__ import annotations

import json
import time
from typing import Any

from hammerflow.errors import HammerflowError
from hammerflow.results.pauses import PauseBackend

__all__ = ["ask_worker"]

_POLL = 0.05  # seconds between two reads of an answer


def ask_worker(
    backend: PauseBackend, worker_id: int, kind: str, timeout: float, *, by: str, **question: Any
) -> dict[str, Any]:
    """Ask a worker, and wait for its answer; a question without one is withdrawn.

    Args:
        kind: of the request, as in :meth:`Workers.ask`, which takes the rest.
        timeout: seconds.
        by: who asks.

    Raises:
        HammerflowError: it has not answered in time, or refuses.
    """
    workers = backend.store.workers
    request = workers.ask(worker_id, kind, by=by, **question)
    backend.notifier.ring_control()
    ends_at = time.monotonic() + timeout
    try:
        while (answer := workers.take_answer(worker_id, request)) is None:
            if time.monotonic() >= ends_at:
                raise HammerflowError(
                    f"the worker did not answer within {timeout:g} s: see hammerflow worker "
                    "list for the age of its heartbeat"
                )
            time.sleep(_POLL)
    finally:
        workers.withdraw(worker_id, request)
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise HammerflowError(found["error"])
    return found
