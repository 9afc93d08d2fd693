"""python -m tests.proof.chaos.sum FILE: the lines of --json, summed into a table in Markdown."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.proof.chaos.record import percentile

__all__ = ["table"]


def table(lines: list[dict[str, Any]]) -> str:
    """One row for each figure."""
    faults: Counter[str] = Counter()
    waits: dict[str, list[float]] = {}
    for line in lines:
        faults.update(line["faults"])
        for kind, values in line["recovery"].items():
            waits.setdefault(kind, []).extend(values)
    databases = Counter(line["database"] for line in lines)
    broken = Counter(name for line in lines for name in line["broken"])
    jobs = sum(line["jobs"] for line in lines)
    rows = [
        ("runs", ", ".join(f"{n} x {name}" for name, n in sorted(databases.items()))),
        ("seconds under faults", f"{sum(line['seconds'] for line in lines):.0f}"),
        ("jobs in the database", f"{jobs}{_bound(jobs, broken)}"),
        ("invariants broken", ", ".join(f"{k}: {n} runs" for k, n in broken.items()) or "none"),
        ("attempts lost", str(sum(line["lost"] for line in lines))),
        ("stale settles refused", str(sum(line["refused"] for line in lines))),
        ("children of spawners", str(sum(line["children"] for line in lines))),
        ("bodies overlapped after a takeover", str(sum(line["overlaps"] for line in lines))),
    ]
    rows += [(kind, str(n)) for kind, n in sorted(faults.items())]
    phases = Counter[str]()
    for line in lines:
        phases.update(line["phases"])
    rows += [(f"hit: {phase}", str(n)) for phase, n in phases.items()]
    for kind, values in waits.items():
        if values:
            half, most = percentile(values, 0.5), percentile(values, 0.99)
            said = f"{half:.2f} s / {most:.2f} s of {len(values)}"
            rows.append((f"recovery, {kind}, p50 / p99", said))
    return "\n".join(["| figure | value |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def _bound(jobs: int, broken: Counter[str]) -> str:
    return f" (nothing broken: rate below {3 / jobs:.1e} by 3/n)" if jobs and not broken else ""


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    print(table([json.loads(line) for line in text.splitlines()]))
