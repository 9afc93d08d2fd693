"""ClusterReader: reads the metrics of the whole database, while it is this process's turn."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.ids import worker_number
from hammerflow.stores.diagnosis.cluster_metrics import ClusterMetrics
from hammerflow.telemetry.families import Readings

__all__ = ["ClusterReader"]

#: Seconds between two reads, and until the turn of a process that reads no more passes to another.
_EVERY, _HOLD = 15.0, 40.0


@dataclass(eq=False)
class ClusterReader:
    """One process at a time has the turn, and keeps it as long as it reads."""

    metrics: ClusterMetrics
    _: KW_ONLY
    _holder: int = field(init=False, default_factory=worker_number)
    _found: tuple[float, Readings] | None = field(init=False, default=None)
    _due_at: float = field(init=False, default=0.0)  # by time.monotonic(), where nobody ticks
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def tick(self, now: float) -> float:
        """Read, if it is our turn."""
        if not self.metrics.take_turn(self._holder, _HOLD):
            self._found = None
            return _EVERY + random.uniform(0.0, 1.0)
        begun = time.monotonic()
        self._found = begun, self.metrics.read()
        return max(_EVERY, 10 * (time.monotonic() - begun))

    def readings(self) -> Readings:
        """What was read last; nothing if another process has the turn, or if it is too old."""
        found = self._found
        age = 0.0 if found is None else time.monotonic() - found[0]
        if found is None or age > _HOLD:
            return Readings()
        shown = Readings({**found[1].numbers})
        shown.numbers["hammerflow_cluster_read_age_seconds"] = {(): age}
        return shown

    def read_if_due(self) -> Readings:
        """Tick if that is due, where no runner does it.

        Raises:
            StoreUnavailable: the database cannot be used now; the next call tries again.
        """
        with self._lock:
            now = time.monotonic()
            if now >= self._due_at:
                self._due_at = now + self.tick(now)
        return self.readings()

    def leave(self) -> None:
        """Let another process read at once."""
        if self._found is not None:
            self._found = None
            self.metrics.give_turn(self._holder)
