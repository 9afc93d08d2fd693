"""Reports: what both kinds of children tell their supervisor."""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

from hammerflow.worker.logs import facts
from hammerflow.worker.processes import exit_now, resident_mebibytes
from hammerflow.worker.protocol import PROGRESS, pack, write_all

__all__ = ["ChildLimits", "Reports"]

log = logging.getLogger("hammerflow.child")


class ChildLimits(NamedTuple):
    """When a child makes way for a fresh one."""

    max_jobs: int | None = None
    max_memory: int | None = None  # MiB

    def quit_reason(self, jobs_done: int) -> str | None:
        """Why a child that has done ``jobs_done`` jobs is used up; None if it is not."""
        if self.max_jobs is not None and jobs_done >= self.max_jobs:
            return f"{jobs_done} jobs done"
        if self.max_memory is not None and (memory := resident_mebibytes()) > self.max_memory:
            return f"{memory:.0f} MiB of memory held"
        return None


class Reports:
    """The child's end of its pipe of results.

    Args:
        pipe: the descriptor.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._pid = os.getpid()

    def send(self, message: bytes) -> None:
        """Write one or more messages; end this process if nobody reads them any more."""
        try:
            write_all(self._pipe, message)
        except BrokenPipeError:
            exit_now(0)
        except OSError as error:
            log.error("cannot write to the supervisor", extra=facts(error=error))
            exit_now(71)

    def send_progress(self, job_id: bytes, fraction: float, note: str) -> None:
        """What a body has said by ``current_job().progress``."""
        self.send(pack([PROGRESS, job_id, fraction, note]))

    def exit_if_forked(self) -> None:
        """End a copy of this process that a body has forked: its end is not the job's."""
        if os.getpid() != self._pid:
            os._exit(0)
