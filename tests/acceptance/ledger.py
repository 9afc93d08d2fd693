"""Ledger: a file outside the database in which each body writes when it begins and when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Ledger", "Run"]


class Run(NamedTuple):
    """One start of a body; times are seconds of the system's monotonic clock."""

    job: str  # the id in hex
    lease: int
    attempt: int
    pid: int
    task: str
    args: Any
    began: float
    ended: float | None  # None: it never came to its end, or has not yet


class Ledger:
    """Append-only; a line is one write and is synced before the body goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0
        self._lines: list[dict[str, Any]] = []

    def write(self, what: str, **facts: Any) -> None:
        """One line, from any process."""
        line = json.dumps({"what": what, "pid": os.getpid(), "at": time.monotonic(), **facts})
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(fd, line.encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)

    def lines(self, what: str) -> list[dict[str, Any]]:
        """All lines of a kind so far; each is read once, as tests look often."""
        with contextlib.suppress(FileNotFoundError), open(self._path, "rb") as file:
            file.seek(self._read_to)
            new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read_to += len(whole)
            self._lines += map(json.loads, whole.splitlines())
        return [line for line in self._lines if line["what"] == what]

    def runs(self, job: str | None = None) -> list[Run]:
        """All runs of bodies so far (of one job), in order of their beginnings."""
        ends = {(line["run"]): line["at"] for line in self.lines("end")}
        return [
            Run(
                line["job"], line["lease"], line["attempt"], line["pid"], line["task"],
                line["args"], line["at"], ends.get(line["run"]),
            )
            for line in self.lines("start")
            if job is None or line["job"] == job
        ]  # fmt: skip

    def counts(self, jobs: Iterable[str]) -> Counter[int]:
        """How many of these jobs' bodies have run how often."""
        runs = Counter(run.job for run in self.runs())
        return Counter(runs[job] for job in jobs)
