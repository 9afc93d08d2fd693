"""Figures: what the ledger and the kills come to, and the table of many runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.proof.chaos.peers.faults import Kill

__all__ = ["Book", "Run", "figures", "table"]


@dataclass
class Run:
    """One start of a body."""

    key: str
    pid: int
    began: float
    ended: float | None = None


@dataclass
class Book:
    """The ledger, read as it grows."""

    path: Path
    acknowledged: dict[str, float] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    runs: list[Run] = field(default_factory=list)
    bodies: set[int] = field(default_factory=set)  # processes that have begun one
    _open: dict[tuple[str, int], list[Run]] = field(default_factory=dict)
    _read_to: int = 0

    def read(self) -> bool:
        """The lines that are new; whether there were any."""
        if not self.path.exists():
            return False
        with open(self.path, "rb") as file:
            file.seek(self._read_to)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.decode().splitlines():
            what, key, pid, at = line.split()
            self._take(what, key, int(pid), float(at))
        return bool(whole)

    def _take(self, what: str, key: str, pid: int, at: float) -> None:
        match what:
            case "acknowledged":
                self.acknowledged[key] = at
            case "refused":
                self.refused.add(key)
            case "start":
                self.bodies.add(pid)
                run = Run(key, pid, at)
                self.runs.append(run)
                self._open.setdefault((key, pid), []).append(run)
            case "end":
                self._open[key, pid].pop().ended = at

    @property
    def undone(self) -> set[str]:
        """Acknowledged, and no body has come to its end."""
        return set(self.acknowledged) - {run.key for run in self.runs if run.ended is not None}


def figures(book: Book, kills: Iterable[Kill], unfinished: set[str]) -> dict[str, Any]:
    """Of one run; ``unfinished`` is what the contender still has on record."""
    runs = [run for run in book.runs if not run.key.startswith("probe-")]
    ends: dict[str, list[float]] = {}
    starts: dict[str, list[float]] = {}
    for run in runs:
        starts.setdefault(run.key, []).append(run.began)
        if run.ended is not None:
            ends.setdefault(run.key, []).append(run.ended)
    recovery, cut, never = _recovery(runs, starts, ends, kills)
    waits = [max(0.0, min(ends[key]) - at) for key, at in book.acknowledged.items() if key in ends]
    return {
        "acknowledged": len(book.acknowledged),
        "refused": len(book.refused),
        "refused_but_ran": len(book.refused & set(starts)),
        "starts": len(runs),
        "cut": cut,
        "lost": len(book.undone - unfinished),
        "lost_before_start": len(book.undone - unfinished - set(starts)),
        "stuck": len(book.undone & unfinished),
        "doubled": sum(len(found) > 1 for found in ends.values()),
        "never": never,
        "recovery": recovery,
        "wait_p99": round(percentile(waits, 0.99), 3) if waits else None,
        "wait_most": round(max(waits), 3) if waits else None,
    }


def _recovery(
    runs: Sequence[Run],
    starts: dict[str, list[float]],
    ends: dict[str, list[float]],
    kills: Iterable[Kill],
) -> tuple[dict[str, list[float]], int, int]:
    """Seconds from each kill to the next start of each job whose body it cut; how many were cut,
    and how many of them never came to an end. After the servers were back: to any start.
    """
    found: dict[str, list[float]] = {"child": [], "worker": [], "database": []}
    cut = never = 0
    for kill in kills:
        if kill.kind == "database":
            found["database"] += sorted(
                round(run.began - kill.at, 3) for run in runs if run.began > kill.at
            )[:1]
        for run in runs:
            if run.pid in kill.pids and run.began < kill.at and run.ended is None:
                cut += 1
                later = [at for at in starts[run.key] if at > kill.at]
                found[kill.kind] += [round(min(later) - kill.at, 3)] if later else []
                never += run.key not in ends
    return found, cut, never


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


_HEAD = (
    "contender", "runs", "acknowledged", "refused", "bodies cut", "lost", "stuck", "doubled",
    "cut and never done", "child killed: p50 / p99", "worker killed: p50 / p99",
    "servers back: most", "acknowledged to end: p99 / most",
)  # fmt: skip


def table(lines: Sequence[dict[str, Any]]) -> str:
    """In Markdown, a row for each contender: its runs summed."""
    rows = [_HEAD, ("---",) * len(_HEAD)]
    names = dict.fromkeys(line["contender"] for line in lines)
    rows += [_row([line for line in lines if line["contender"] == name]) for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(lines: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    def total(key: str) -> str:
        return str(sum(line[key] for line in lines))

    def spread(kind: str) -> str:
        waits = [wait for line in lines for wait in line["recovery"][kind]]
        if not waits:
            return "none began again"
        half, most = percentile(waits, 0.5), percentile(waits, 0.99)
        return f"{half:.2f} / {most:.2f} s of {len(waits)}"

    back = [wait for line in lines for wait in line["recovery"]["database"]]
    waits = [(line["wait_p99"], line["wait_most"]) for line in lines if line["wait_most"]]
    title = f"{lines[-1]['title']} {lines[-1]['version']}".strip()
    return (
        title, str(len(lines)), total("acknowledged"), total("refused"), total("cut"),
        total("lost"), total("stuck"), total("doubled"), total("never"), spread("child"),
        spread("worker"), f"{max(back):.2f} s" if back else "never",
        f"{max(p99 for p99, _ in waits):.1f} / {max(most for _, most in waits):.1f} s"
        if waits else "",
    )  # fmt: skip
