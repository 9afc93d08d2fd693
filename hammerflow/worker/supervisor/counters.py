"""What a worker counts for /metrics: plain numbers, written once for each batch that is settled."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hammerflow.ids import time_of
from hammerflow.jobs.job import Claimed, RowFlags
from hammerflow.jobs.outcome import Cancelled, Completed, Failed, Lost, Outcome, Released, Settled
from hammerflow.jobs.settlement import Settlement
from hammerflow.telemetry.families import DURATIONS, FAMILIES, WORKER, BucketCounts, Readings
from hammerflow.telemetry.labels import JobLabels

__all__ = ["Pair", "WorkerCounters"]

Pair = tuple[Claimed, Outcome]
_FINAL = {Completed: "completed", Failed: "failed", Cancelled: "cancelled"}
#: Seconds after which it is asked again which tasks and queues are used most.
_FOLLOW = 60.0
_DELAYED = RowFlags.DELAYED


@dataclass(slots=True)
class _Series:
    """What is counted of one task in one queue."""

    ended: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    attempts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    runs: BucketCounts = field(default_factory=lambda: _tally("hammerflow_job_run_seconds"))
    waits: BucketCounts = field(default_factory=lambda: _tally("hammerflow_job_wait_seconds"))


@dataclass(slots=True)
class _Pair:
    """A task in a queue.

    Attributes:
        names: of the two.
        series: where it is counted now: its own, or one that it shares.
        ends: how many attempts were counted; those that are used most have series of their own.
    """

    names: tuple[str, str]
    series: _Series
    ends: int = 0


class WorkerCounters:
    """Counts attempts and ends once their outcome is written, and never one that is stale: the
    worker that has taken over the job counts that one.

    Args:
        task_of: the name of a job's task.
        queue_of: the name of a queue by its number.
    """

    def __init__(
        self, *, task_of: Callable[[Claimed], str], queue_of: Callable[[int], str]
    ) -> None:
        self._task_of = task_of
        self._queue_of = queue_of
        self._labels = JobLabels()
        self._lock = threading.Lock()
        self._pairs: dict[tuple[int, int], _Pair] = {}
        self._follow_at = 0.0
        self._named: dict[tuple[str, str], _Series] = {}
        # Seconds of attempts whose outcome is not written yet, and when they ended.
        self._ran: dict[tuple[bytes, int], tuple[float, float]] = {}
        self._numbers: dict[str, int] = defaultdict(int)
        self._tallies: dict[str, BucketCounts] = {
            name: _tally(f"hammerflow_{name}")
            for name in ("claim_seconds", "settle_seconds", "settle_batch")
        }

    def note_runs(self, runs: Sequence[tuple[Sequence[Pair], float]]) -> None:
        """Attempts have just ended; with the seconds that each of them took."""
        ended_at = time.time()
        for pairs, seconds in runs:
            for job, _ in pairs:
                self._ran[job.id, job.lease] = seconds, ended_at

    def note_claim(self, seconds: float, jobs: int) -> None:
        """A claim has been answered."""
        with self._lock:
            _add(self._tallies["claim_seconds"], DURATIONS, seconds)
            self._numbers["claimed_jobs_total"] += jobs

    def count(self, name: str, number: int) -> None:
        """Add to a counter that has no labels; without ``hammerflow_``."""
        with self._lock:
            self._numbers[name] += number

    def note_settled(self, settlement: Settlement, pairs: Sequence[Pair], seconds: float) -> None:
        """Outcomes were written in one transaction, or were stale."""
        ended = set(settlement.ended) if not _is_simple(pairs) else frozenset[bytes]()
        newest: dict[bytes, int] = {}  # of jobs that come twice, under two leases
        if len({job.id for job, _ in pairs}) < len(pairs):
            newest = {job.id: job.lease for job, _ in sorted(pairs, key=_lease_of)}
        with self._lock:
            _add(self._tallies["settle_seconds"], DURATIONS, seconds)
            bounds = FAMILIES["hammerflow_settle_batch"].bounds
            _add(self._tallies["settle_batch"], bounds, len(pairs))
            for job, outcome in pairs:
                run = self._ran.pop((job.id, job.lease), None)
                if job.id in settlement.stale or newest.get(job.id, job.lease) != job.lease:
                    self._numbers["stale_settles_total"] += 1
                    continue
                label, state = _what(job, outcome, settlement, ended, has_run=run is not None)
                self._count(job, label, state, run)

    def note_settled_by_children(self, settled: Sequence[tuple[Claimed, Settled]]) -> None:
        """Children have settled jobs themselves: such a job has completed."""
        with self._lock:
            for job, outcome in settled:
                run = self._ran.pop((job.id, job.lease), None)
                if outcome.stale:
                    self._numbers["stale_settles_total"] += 1
                else:
                    self._count(job, "completed", "completed", run)

    def _count(
        self, job: Claimed, label: str | None, state: str | None,
        run: tuple[float, float] | None,
    ) -> None:  # fmt: skip
        pair = self._pairs.get((job.task_id, job.queue_id)) or self._new_pair(job)
        pair.ends += 1
        series = pair.series
        if state is not None:
            series.ended[state] += 1
        if label is None:
            return
        series.attempts[label] += 1
        if run is not None:
            seconds, ended_at = run
            _add(series.runs, DURATIONS, seconds)
            if job.lease == 1 and not job.flags & _DELAYED:
                wait = ended_at - seconds - time_of(job.id)
                _add(series.waits, DURATIONS, max(0.0, wait))

    def _new_pair(self, job: Claimed) -> _Pair:
        key, names = (job.task_id, job.queue_id), (self._task_of(job), self._queue_of(job.queue_id))
        pair = self._pairs[key] = _Pair(names, self._series_of(key, names))
        return pair

    def _series_of(self, key: tuple[int, int], names: tuple[str, str]) -> _Series:
        return self._named.setdefault(self._labels.of(*key, *names), _Series())

    def _follow(self) -> None:
        """Let what is used most have series of its own."""
        self._follow_at = time.monotonic() + _FOLLOW
        uses = {key: pair.ends for key, pair in self._pairs.items()}
        names = {key: pair.names for key, pair in self._pairs.items()}
        if self._labels.follow(uses, names):
            for key, pair in self._pairs.items():
                pair.series = self._series_of(key, pair.names)

    def readings(self) -> Readings:
        """All that was counted."""
        found = Readings()
        found.declare(*WORKER)
        with self._lock:
            if time.monotonic() >= self._follow_at:
                self._follow()
            for name, number in self._numbers.items():
                found.set(f"hammerflow_{name}", number)
            for name, tally in self._tallies.items():
                found.tallies[f"hammerflow_{name}"] = {(): _copy(tally)}
            for labels in self._labels.shown(self._named):
                series = self._named[labels]
                for state, number in series.ended.items():
                    found.set("hammerflow_jobs_ended_total", number, *labels, state)
                for outcome, number in series.attempts.items():
                    found.set("hammerflow_attempts_total", number, *labels, outcome)
                found.tallies["hammerflow_job_run_seconds"][labels] = _copy(series.runs)
                found.tallies["hammerflow_job_wait_seconds"][labels] = _copy(series.waits)
        return found


def _what(
    job: Claimed, outcome: Outcome, settlement: Settlement, ended: set[bytes] | frozenset[bytes],
    *, has_run: bool,
) -> tuple[str | None, str | None]:  # fmt: skip
    """The outcome of the attempt, if there was one, and the state of the job, if it has ended."""
    kind = type(outcome)
    if job.id in settlement.stopped:
        return "cancelled" if has_run else None, "cancelled"
    if kind in _FINAL:
        return _FINAL[kind], _FINAL[kind]
    state = None
    if job.id in ended:  # its workflow was ended meanwhile, or no attempt is left
        state = "failed" if isinstance(outcome, Lost) and outcome.delay is None else "cancelled"
    if kind is Released and not has_run:
        return None, state
    return kind.__name__.lower(), state


def _is_simple(pairs: Sequence[Pair]) -> bool:
    return all(type(outcome) in _FINAL for _, outcome in pairs)


def _lease_of(pair: Pair) -> int:
    return pair[0].lease


def _tally(name: str) -> BucketCounts:
    return BucketCounts([0] * (len(FAMILIES[name].bounds) + 1))


def _copy(tally: BucketCounts) -> BucketCounts:
    return BucketCounts([*tally.counts], tally.total)


def _add(tally: BucketCounts, bounds: Sequence[float], value: float) -> None:
    tally.counts[min(bisect_left(bounds, value), len(tally.counts) - 1)] += 1
    tally.total += value
