"""Memory and CPU time that processes take, as Linux tells it in /proc."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["cpu_seconds", "held_bytes", "private_bytes"]

#: Anonymous pages, shared memory, and what of them was swapped out. Pages of files are left out:
#: the kernel takes them back when it needs them.
_HELD = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s*([0-9]+) kB$", re.MULTILINE)
_PRIVATE = re.compile(rb"^(?:Private_Dirty|Swap):\s*([0-9]+) kB$", re.MULTILINE)
_TICKS = os.sysconf("SC_CLK_TCK")


def held_bytes(pid: int | str) -> int:
    """Memory that a process holds, with what it shares with the process that has forked it.

    0 for a process that has ended, and on systems without /proc.
    """
    return _sum(pid, "status", _HELD)


def private_bytes(pid: int) -> int:
    """Memory that only this process holds: what it has written since it was forked.

    Where that may not be read, as of a process of another user, it is what the process holds.
    """
    return _sum(pid, "smaps_rollup", _PRIVATE) or held_bytes(pid)


def cpu_seconds(pid: int | str) -> float:
    """CPU time of a process and of those it has waited for; 0 as in :func:`held_bytes`."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    except (OSError, ValueError):
        return 0.0


def _sum(pid: int | str, name: str, pattern: re.Pattern[bytes]) -> int:
    try:
        text = Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return 0
    return 1024 * sum(map(int, pattern.findall(text)))
