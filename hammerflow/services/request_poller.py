"""RequestPoller: finds what people have asked of this worker, and answers."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from hammerflow.errors import ConfigError, StoreUnavailable
from hammerflow.stores.store import Store
from hammerflow.stores.workers import Request

__all__ = ["RequestPoller"]

_POLL = 2.0  # seconds between two polls while no ring arrives


@dataclass(eq=False)
class RequestPoller:
    """Polls the database, and is woken by rings of control."""

    store: Store
    _: KW_ONLY
    worker_ids: Callable[[], Iterable[int]]  # the registrations of this worker
    stop: Callable[[str], None]  # called once for each request to stop, with who has asked
    stack_of: Callable[[bytes], Mapping[str, str]]  # what a body does; it may take seconds
    #: Changes the number of children, as somebody has asked; ConfigError where it cannot.
    resize: Callable[[Mapping[str, Any], str], Mapping[str, Any]]
    _taken: set[int] = field(init=False, default_factory=set)

    def tick(self, now: float) -> float:
        """Obey each request that came since the last tick."""
        for worker_id in self.worker_ids():
            for request in self.store.workers.requests(worker_id):
                if request.id not in self._taken:
                    self._taken.add(request.id)
                    self._obey(worker_id, request)
        return _POLL

    def _obey(self, worker_id: int, request: Request) -> None:
        if request.kind == "stop":
            self.stop(request.asked_by)
            self.store.workers.answer(worker_id, request.id, "draining")
        elif request.kind == "pool":
            self.store.workers.answer(worker_id, request.id, json.dumps(self._resized(request)))
        elif request.job_id is not None:
            job_id = request.job_id

            def answer() -> None:
                text = json.dumps(dict(self.stack_of(job_id)))
                with contextlib.suppress(StoreUnavailable):  # who has asked waits in vain
                    self.store.workers.answer(worker_id, request.id, text)

            # A thread of its own: the other services must not wait for a body.
            threading.Thread(target=answer, name="stack", daemon=True).start()

    def _resized(self, request: Request) -> Mapping[str, Any]:
        try:
            return self.resize(json.loads(request.detail or ""), request.asked_by)
        except (ConfigError, OSError, ValueError, TypeError) as error:  # of the host, or the row
            return {"error": str(error)}
