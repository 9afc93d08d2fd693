"""Kills children whose bodies take more memory or CPU time than their limits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from hammerflow.jobs.outcome import Failure
from hammerflow.worker.failures import cpu_limit_exceeded, memory_limit_exceeded
from hammerflow.worker.memory import cpu_seconds, held_bytes, private_bytes
from hammerflow.worker.processes import family
from hammerflow.worker.protocol import LimitedBody
from hammerflow.worker.supervisor.child_group import Group, Handle
from hammerflow.worker.supervisor.child_handle import KillReason

__all__ = ["LimitWatch"]

log = logging.getLogger("hammerflow.pool")

#: Seconds between two measurements; more where one takes long, so that it takes a twentieth.
_INTERVAL = 0.02
_SHARE = 20
#: Seconds of CPU time that a body gets to end after CpuLimitExceeded was raised in it, if they are
#: not more than its limit.
_CPU_GRACE = 1.0
_AFTER_ERROR = 1.0


class LimitWatch:
    """Measures the bodies with limits while they run, in a thread that the first of them starts.

    It is the supervisor that measures, and the memory that was written, not the address space: a
    limit of the kernel (RLIMIT_AS, RLIMIT_DATA) counts the stacks of threads and buffers that
    nobody fills, is inherited by each program that a body starts instead of holding for all of
    them together, and makes C code crash that does not check what it was given.

    Args:
        lock: the pool's, which guards the groups. It is not held while processes are measured.
        kill: called with the lock.
    """

    def __init__(
        self,
        lock: threading.RLock,
        groups: Sequence[Group],
        kill: Callable[[Handle, KillReason], None],
    ) -> None:
        self._lock = lock
        self._groups = groups
        self._kill = kill
        self._woken = threading.Event()
        self._is_over = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """A body with limits begins. The caller holds the lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="limit-watch", daemon=True)
            self._thread.start()
        self._woken.set()

    def stop(self) -> None:
        """End the thread."""
        self._is_over = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._is_over:
            try:
                begun = time.monotonic()
                if self._measure_all():
                    time.sleep(max(_INTERVAL, _SHARE * (time.monotonic() - begun)))
                else:
                    self._woken.wait()
            except Exception:  # a border: the next measurement may do
                log.exception("measuring bodies with limits failed")
                time.sleep(_AFTER_ERROR)

    def _measure_all(self) -> bool:
        """Kill the children that are over a limit; False if no body has one."""
        self._woken.clear()
        with self._lock:
            limited = [
                (child, child.pid, child.limited)
                for group in self._groups
                for child in group.children
                if child.limited is not None and child.pid is not None and not child.is_killed
            ]
        for child, pid, body in limited:
            failure = _exceeded(pid, body)
            if failure is None:
                continue
            with self._lock:
                if child.limited is body and child.kill_reason is None:
                    why = f"its job exceeded a limit: {failure.message}"
                    self._kill(child, KillReason(why, body.job_id, failure))
        return bool(limited)


def _exceeded(pid: int, body: LimitedBody) -> Failure | None:
    members = [*family(pid)]
    if body.memory_limit is not None:
        taken = _memory_taken(members, body)
        if taken > body.memory_limit:
            return memory_limit_exceeded(body.memory_limit, taken)
    if body.cpu_limit is not None:
        used = sum(map(cpu_seconds, members)) - body.cpu
        if used > body.cpu_limit + min(body.cpu_limit, _CPU_GRACE):
            return cpu_limit_exceeded(body.cpu_limit, used)
    return None


def _memory_taken(members: list[int], body: LimitedBody) -> int:
    """What the child holds more than before the body, and what the processes hold that the body has
    started. Of copies of the child that is only what they have written; it is read page by page, so
    only where the rest does not decide."""
    child, *others = members
    taken = held_bytes(child) - body.memory
    if body.memory_limit is None or taken + sum(map(held_bytes, others)) <= body.memory_limit:
        return taken
    return taken + sum(map(private_bytes, others))
