"""Preloaded by a worker: it asks its children all the time what they run."""

from __future__ import annotations

import sys
import threading
import time

from hammerflow.worker.supervisor import child_lifecycle
from hammerflow.worker.supervisor.pool import Pool

child_lifecycle._ASK_INTERVAL = 0.0


def _ask_always(pool: Pool) -> None:
    while True:
        pool.ask_children()
        sys.stderr.write("asked\n")
        time.sleep(0.002)


_start = Pool.start


def _start_asking(pool: Pool) -> None:
    _start(pool)
    threading.Thread(target=_ask_always, args=(pool,), daemon=True).start()


Pool.start = _start_asking  # type: ignore[method-assign]
