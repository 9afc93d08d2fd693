"""The body that every contender runs, and the ledger's lines; runs in any interpreter."""

from __future__ import annotations

import os
import time

__all__ = ["DATABASE", "LEASE", "REDIS", "note", "work"]

DATABASE = os.environ.get("CHAOS_DATABASE_URL", "")
REDIS = os.environ.get("CHAOS_REDIS_URL", "")
LEASE = float(os.environ.get("CHAOS_LEASE", "10"))


def note(what: str, key: str) -> None:
    """One line, one write: what happened to which job, in which process, and when."""
    line = f"{what} {key} {os.getpid()} {time.monotonic():.6f}\n".encode()
    fd = os.open(os.environ["CHAOS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


def work(key: str, seconds: float) -> None:
    """The job."""
    note("start", key)
    time.sleep(seconds)
    note("end", key)
