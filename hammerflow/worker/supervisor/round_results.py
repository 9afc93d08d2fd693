"""What the children reported in one round of the pool, sorted by who needs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Cancelled, Completed, Outcome, Released
from hammerflow.stores.rows import JobLogRow

__all__ = ["EndedJob", "HeldJob", "RoundResults", "Runs"]

#: Attempts that have ended, and the seconds that each of them took.
Runs = tuple[Sequence[tuple[Claimed, Outcome]], float]


class HeldJob(NamedTuple):
    """A job and the registration that claimed it, under which it must be settled."""

    worker_id: int
    job: Claimed


class EndedJob(NamedTuple):
    """How a job ended, for the log. A child reports tiny jobs in batches: their time is shared
    evenly."""

    job: Claimed
    outcome: Outcome
    child: int | None  # pid
    seconds: float | None


@dataclass
class RoundResults:
    """Collects ends and notes; the pool delivers them when the round is over.

    Attributes:
        logs_all: whether completed jobs go to the log, too. They come by the thousand, so
            without it they cost no work per job.
        ended: pairs for the settler, by the registration that claimed the jobs.
        notes: progress: job id, fraction, note.
        released: how many of the jobs give their leases back.
        runs: the durations of attempts; None where nobody wants them.
        logs: the lines that attempts keep.
        has_lines: running bodies have logged.
    """

    logs_all: bool = False
    ended: dict[int, list[tuple[Claimed, Outcome]]] = field(default_factory=dict)
    to_log: list[EndedJob] = field(default_factory=list)
    notes: list[tuple[bytes, float, str]] = field(default_factory=list)
    released: int = 0
    runs: list[Runs] | None = None
    logs: list[JobLogRow] = field(default_factory=list)
    has_lines: bool = False

    def add(
        self, held: HeldJob, outcome: Outcome, child: int | None, seconds: float | None
    ) -> None:
        """A job ended, in a child after ``seconds``, or without having been started."""
        self.ended.setdefault(held.worker_id, []).append((held.job, outcome))
        self.released += type(outcome) is Released
        if self.runs is not None and seconds is not None:
            self.runs.append(([(held.job, outcome)], seconds))
        if self.logs_all or type(outcome) is not Completed:
            self.to_log.append(EndedJob(held.job, outcome, child, seconds))

    def add_completed(
        self,
        worker_id: int,
        pairs: list[tuple[Claimed, Completed]],
        pid: int | None,
        seconds: float,
    ) -> None:
        """Many jobs completed, after ``seconds`` each."""
        if self.logs_all:
            self.to_log += [EndedJob(job, outcome, pid, seconds) for job, outcome in pairs]
        if self.runs is not None:
            self.runs.append((pairs, seconds))
        self.ended.setdefault(worker_id, []).extend(pairs)

    def add_stopped(self, held: HeldJob, child: int | None, seconds: float) -> None:
        """A job was stopped by its cancellation: its lease carries the request, and settling turns
        the release into the end of the job."""
        self.ended.setdefault(held.worker_id, []).append((held.job, Released()))
        if self.runs is not None:
            self.runs.append(([(held.job, Released())], seconds))
        self.to_log.append(EndedJob(held.job, Cancelled(""), child, seconds))

    def release(self, held: Iterable[HeldJob]) -> None:
        """Give back jobs that were not started."""
        for one in held:
            self.add(one, Released(), None, None)
