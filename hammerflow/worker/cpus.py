"""How many CPUs this process may use: affinity, and the quota of its control groups.

The search for control groups is here, too, for all that they limit.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["control_groups", "usable_cpus"]


def usable_cpus(root: Path = Path("/")) -> int:
    """The number of CPUs, at least 1; a quota of 1.5 CPUs counts as 2.

    Args:
        root: where proc and sys are mounted.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:  # macOS
        count = os.cpu_count() or 1
    for folder, is_v1 in control_groups("cpu", root):
        with contextlib.suppress(OSError, ValueError):  # none there: no quota
            count = min(count, math.ceil(_quota(folder, is_v1=is_v1)))
    return max(1, count)


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[Path, bool]]:
    """Folders that may be of this process's control group and those above it (cgroups(7)), and
    whether they are of version 1.

    A container may see its own group as the root, or only the mounted part of the path.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    base = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controllers and controller not in names:
            continue
        first, second = (controllers, controller) if controllers else (".", "unified")
        for mount in (base / first, base / second):
            for group in [*PurePosixPath(path).parents, PurePosixPath(path)]:
                yield mount / str(group).lstrip("/"), bool(controllers)


def _quota(folder: Path, *, is_v1: bool) -> float:
    """In CPUs; infinite, or an error, where there is none."""
    if is_v1:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    else:
        first, second = (folder / "cpu.max").read_text().split()
        quota, period = int(first), int(second)  # ValueError for "max"
    if quota <= 0 or period <= 0:
        raise ValueError("no quota")
    return quota / period
