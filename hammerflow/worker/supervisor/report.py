"""A report of what a worker does at this moment, for its log."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import uuid

from hammerflow.worker.logs import facts
from hammerflow.worker.supervisor.pool import Pool

__all__ = ["log_report"]

log = logging.getLogger("hammerflow.worker")

_MOST_JOBS = 100


def log_report(pool: Pool) -> None:
    """Log the jobs that children hold, and where each thread of the supervisor is."""
    jobs = [str(uuid.UUID(bytes=held.job.id)) for held in pool.held()]
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = [
        f"thread {names.get(number, number)}:\n{''.join(traceback.format_stack(frame)).rstrip()}"
        for number, frame in sys._current_frames().items()
    ]
    fields = facts(running=pool.running(), held=len(jobs), jobs=",".join(jobs[:_MOST_JOBS]))
    log.info("report, asked for by SIGUSR1\n%s", "\n".join(stacks), extra=fields)
