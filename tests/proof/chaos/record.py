"""Record: what a run of chaos has come to, as one line that can be summed with others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.acceptance.ledger import Run

__all__ = ["Kill", "percentile", "recoveries"]


class Kill(NamedTuple):
    """A kill: `at` is when those that it hit could start again at the earliest."""

    kind: str  # child, supervisor or database
    at: float  # of the monotonic clock
    pids: frozenset[int] = frozenset()  # of the children that died by it


def recoveries(kills: Iterable[Kill], runs: list[Run]) -> dict[str, list[float]]:
    """Seconds to the next start of each job whose body was hit; after a database, of any job."""
    starts = sorted(run.began for run in runs)
    by_pid: dict[int, list[Run]] = {}
    by_job: dict[str, list[float]] = {}
    for run in runs:
        by_pid.setdefault(run.pid, []).append(run)
        by_job.setdefault(run.job, []).append(run.began)
    found: dict[str, list[float]] = {"child": [], "supervisor": [], "database": []}
    for kill in kills:
        if kill.kind == "database":
            found["database"] += [at - kill.at for at in starts if at > kill.at][:1]
            continue
        for run in (run for pid in kill.pids for run in by_pid.get(pid, ())):
            if run.began < kill.at and run.ended is None:
                later = [at for at in by_job[run.job] if at > kill.at]
                found[kill.kind] += [min(later) - kill.at] if later else []
    return found


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
