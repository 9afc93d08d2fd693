"""Memory and CPU time that processes take, and memory that is left, as Linux tells it."""

from __future__ import annotations

import contextlib
import math
import os
import re
from pathlib import Path

from hammerflow.worker.cpus import control_groups

__all__ = ["available_bytes", "cpu_seconds", "held_bytes", "private_bytes"]

#: Anonymous pages, shared memory, and what of them was swapped out. Pages of files are left out:
#: the kernel takes them back when it needs them.
_HELD = re.compile(rb"^(?:RssAnon|RssShmem|VmSwap):\s*([0-9]+) kB$", re.MULTILINE)
_PRIVATE = re.compile(rb"^(?:Private_Dirty|Swap):\s*([0-9]+) kB$", re.MULTILINE)
_AVAILABLE = re.compile(r"^MemAvailable:\s*([0-9]+) kB$", re.MULTILINE)
_INACTIVE = re.compile(r"^(?:total_)?inactive_file ([0-9]+)$", re.MULTILINE)
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


def available_bytes(root: Path = Path("/")) -> float:
    """Memory that the host, and the control groups of this process, have left; infinity where
    nobody tells.

    Args:
        root: where proc and sys are mounted.
    """
    left = math.inf
    with contextlib.suppress(OSError):
        found = _AVAILABLE.search((root / "proc/meminfo").read_text())
        left = math.inf if found is None else 1024 * int(found[1])
    for folder, is_v1 in control_groups("memory", root):
        with contextlib.suppress(OSError, ValueError):  # none there, or no limit
            left = min(left, _left_in_group(folder, is_v1=is_v1))
    return left


def _left_in_group(folder: Path, *, is_v1: bool) -> int:
    """What a control group may still take: pages of files that nobody uses are taken back first."""
    names = ("limit_in_bytes", "usage_in_bytes") if is_v1 else ("max", "current")
    most, taken = (int((folder / f"memory.{name}").read_text()) for name in names)
    inactive = _INACTIVE.findall((folder / "memory.stat").read_text())
    return max(0, most - taken + int(inactive[-1] if inactive else 0))


def _sum(pid: int | str, name: str, pattern: re.Pattern[bytes]) -> int:
    try:
        text = Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return 0
    return 1024 * sum(map(int, pattern.findall(text)))
