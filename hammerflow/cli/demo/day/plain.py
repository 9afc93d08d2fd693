"""Plain jobs of the day that have ended, in the order of their times."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hammerflow.cli.demo.day.figures import DayFigures
from hammerflow.cli.demo.day.traffic import (
    DAY,
    MERCHANT_TASK,
    TRAFFIC,
    Traffic,
    merchants,
    per_minute,
)
from hammerflow.cli.demo.day.writing import DayWriter, Ids
from hammerflow.codec.codec import Codec
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record
from hammerflow.ids import name_id
from hammerflow.jobs.histogram import bucket_of
from hammerflow.jobs.job import FINAL_CODES, JobState

__all__ = ["FIGURES", "JOB", "PlainJobs", "Source", "sources"]

#: The columns that plain jobs need.
JOB = ("id", "queue_id", "priority", "task_id", "args", "depth", "created_at")
_DONE = (
    "job_id", "started_at", "finished_at", "state", "attempt", "lease", "worker_id", "result",
    "reason",
)  # fmt: skip
_ERROR = (
    "job_id", "lease", "kind", "attempt", "at", "type", "message", "trace", "started_at",
    "worker_id",
)  # fmt: skip
#: The columns of statistics.
FIGURES = (
    "span", "begin", "task_id", "queue_id", "state", "jobs", "run_seconds", "wait_seconds", "runs",
    "waits",
)  # fmt: skip
_COMPLETED, _FAILED = FINAL_CODES[JobState.COMPLETED], FINAL_CODES[JobState.FAILED]
_CANCELLED = FINAL_CODES[JobState.CANCELLED]
_POOL = 256  # durations and arguments of one source, of which jobs take one each
_ATTEMPTS = 3
_BACKOFF = (4.0, 16.0)  # seconds between attempts
_CANCEL_SHARE = 0.0015
_MINUTES = int(DAY // 60)
_LOGGED = 60_000  # of the newest ends, which the log of events has
_MERCHANTS = 0.35  # share of the jobs that is theirs, where there are any


class Source(NamedTuple):
    """Jobs of one task in one queue: numbers, and pools of what they have."""

    traffic: Traffic
    weight: float
    task_id: int
    queue_id: int
    args: Sequence[bytes]
    runs: Sequence[tuple[float, int]]  # (seconds, bucket)


def sources(queues: int, rng: random.Random, codec: Codec) -> list[Source]:
    """All sources; of each queue beyond the shop's own there is one."""
    found = [_source(each, each.queue, each.share, rng, codec) for each in TRAFFIC]
    weights = merchants(queues)
    push = Traffic(MERCHANT_TASK, "", 0, 0.15, 0.5, lambda n: (f"SKU-{n % 900}", n % 50), 2, 0.002,
                   ("requests.HTTPError", "429 Too Many Requests"))  # fmt: skip
    model = _source(push, "", 0, rng, codec)
    own, theirs = sum(each.weight for each in found), sum(weights.values())
    for queue, weight in weights.items():
        share = weight / theirs * own * _MERCHANTS / (1 - _MERCHANTS)
        found.append(model._replace(weight=share, queue_id=name_id(queue)))
    return found


def _source(
    traffic: Traffic, queue: str, weight: float, rng: random.Random, codec: Codec
) -> Source:
    durations = [rng.lognormvariate(0, traffic.spread) * traffic.median for _ in range(_POOL)]
    args = [codec.encode_call(traffic.args(n * 31), {}) for n in range(_POOL)]
    runs = [(run, bucket_of(run)) for run in durations]
    return Source(traffic, weight, name_id(traffic.task), name_id(queue), args, runs)


class PlainJobs:
    """Writes the jobs.

    Args:
        now: when the day ends, in seconds since 1970.
        workers: numbers of those that ran them.
    """

    def __init__(
        self, writer: DayWriter, figures: DayFigures, found: Sequence[Source],
        rng: random.Random, *, now: float, workers: Sequence[int], codec: Codec,
    ) -> None:  # fmt: skip
        self._writer, self._figures, self._sources = writer, figures, found
        self._rng, self._ids, self._now = rng, Ids(rng), now
        self._workers = workers
        self._waits = [(wait, bucket_of(wait)) for wait in _waits(rng)]
        self._result = codec.encode({"ok": True})
        self.records: list[tuple[float, Record]] = []

    def write(self, jobs: int) -> Iterator[int]:
        """Write this number of jobs; gives after each minute of the day how many there are."""
        begin = self._now - DAY
        counts = per_minute(jobs, _MINUTES, self._rng)
        weights = [*itertools.accumulate(each.weight for each in self._sources)]
        choices, uniform = self._rng.choices, self._rng.random
        logged_from, written = max(0, jobs - _LOGGED), 0
        for minute, count in enumerate(counts):
            start = begin + 60 * minute
            times = sorted(start + 60 * uniform() for _ in range(count))
            chosen = choices(self._sources, cum_weights=weights, k=count)
            is_logged = written + count > logged_from
            self._write_minute(times, chosen, is_logged=is_logged)
            self._writer.add("statistics", FIGURES, self._figures.take(start - 1_800))
            written += count
            yield written

    def _write_minute(
        self, times: Sequence[float], chosen: Sequence[Source], *, is_logged: bool
    ) -> None:
        jobs: list[list[Any]] = []
        done: list[list[Any]] = []
        errors: list[list[Any]] = []
        bits, workers, waits = self._rng.getrandbits, self._workers, self._waits
        id_at, result, add_ended = self._ids.at, self._result, self._figures.add_ended
        for created, source in zip(times, chosen, strict=True):
            draw = bits(32)
            traffic, run = source.traffic, source.runs[draw >> 8 & 255]
            wait = waits[draw >> 16 & 255]
            started = created + wait[0]
            id_ = id_at(created)
            end = self._end(source, id_, created, started, run[0], errors)
            state, attempt, started, reason = end
            finished = min(started + run[0], self._now - 0.2)
            jobs.append([
                id_, source.queue_id, traffic.priority, source.task_id, source.args[draw & 255], 0,
                created,
            ])  # fmt: skip
            done.append([
                id_, started, finished, state, attempt, attempt, workers[draw % len(workers)],
                result if state == _COMPLETED else None, reason,
            ])  # fmt: skip
            first = wait if attempt == 1 else None
            add_ended(source.task_id, source.queue_id, state, finished, run, first)
            self._figures.add_enqueued(source.task_id, source.queue_id, created)
            if is_logged:
                kind = _KINDS[state]
                self.records.append((finished, Record(kind, id_, attempt, attempt)))
        self._writer.add("jobs", JOB, jobs)
        self._writer.add("done", _DONE, done)
        self._writer.add("errors", _ERROR, errors)

    def _end(
        self, source: Source, id_: bytes, created: float, started: float, run: float,
        errors: list[list[Any]],
    ) -> tuple[int, int, float, str | None]:  # fmt: skip
        """State, attempt and start of the last attempt, and the reason; notes what failed."""
        chance, traffic = self._rng.random(), source.traffic
        ago = (self._now - created) / 3_600
        failure = traffic.failure(ago, chance)
        if failure is None:
            if chance > 1 - _CANCEL_SHARE:
                return _CANCELLED, 1, started, "cancelled by ann@office: order withdrawn"
            return _COMPLETED, 1, started, None
        # A half of what fails succeeds when it is tried again; what is near its end fails at once.
        last = _ATTEMPTS if self._rng.random() < 0.5 else 2
        type_, pattern = failure
        message = pattern.replace("{n}", str(480_000 + int(chance * 1e7) % 20_000))
        for attempt in range(1, last + 1):
            is_last = attempt == last
            if not (is_last and last == 2):
                at = min(started + run, self._now - 0.3)
                trace = traffic.trace(type_, message)
                worker = self._workers[id_[-1] % len(self._workers)]
                errors.append([
                    id_, attempt, "failed", attempt, at, type_, message, trace, started, worker,
                ])  # fmt: skip
            if not is_last:
                started = min(started + run + _BACKOFF[attempt - 1], self._now - 0.3)
        return (_FAILED if last == _ATTEMPTS else _COMPLETED), last, started, None


_KINDS = {
    _COMPLETED: EventKind.JOB_COMPLETED, _FAILED: EventKind.JOB_FAILED,
    _CANCELLED: EventKind.JOB_CANCELLED,
}  # fmt: skip


def _waits(rng: random.Random) -> list[float]:
    """Seconds that jobs wait for a worker: most next to nothing, a few for one that is busy."""
    return [rng.lognormvariate(-4.2, 1.1) for _ in range(_POOL)]
