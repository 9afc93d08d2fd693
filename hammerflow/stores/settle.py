"""Settle: a batch of outcomes, their children and what they release, in one fenced transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hammerflow.job import FINAL_CODES, Claimed, JobState
from hammerflow.outcome import (
    Cancelled,
    Completed,
    Failed,
    Failure,
    Lost,
    Outcome,
    Parked,
    Released,
    Retrying,
    Snoozed,
)
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.inserts import insert_children
from hammerflow.stores.registry import Names
from hammerflow.stores.texts import TRACE, storable

__all__ = ["End", "Settlement", "end_jobs", "release_fan_ins", "settle", "writes_one_statement"]

_FINAL = frozenset({Completed, Failed, Cancelled})
_COMPLETED = FINAL_CODES[JobState.COMPLETED]
_FAILED = FINAL_CODES[JobState.FAILED]
_CANCELLED = FINAL_CODES[JobState.CANCELLED]
_SKIPPED = FINAL_CODES[JobState.SKIPPED]


@dataclass(slots=True)
class Settlement:
    """What a settle did.

    Attributes:
        stale: ids whose lease was not ours any more: nothing was written for them.
        earlier: ids that an earlier try of the same settle had ended, its answer being lost.
        ended: ids in a final state now.
        queues: names of queues in which work became ready.
    """

    stale: set[bytes] = field(default_factory=set)
    earlier: set[bytes] = field(default_factory=set)
    ended: list[bytes] = field(default_factory=list)
    queues: set[str] = field(default_factory=set)


@dataclass(slots=True)
class End:
    """A job that has just reached a final state, for what depends on it."""

    job_id: bytes
    completed: bool
    fan_in_id: bytes | None
    unique_key: str | None


def writes_one_statement(tx_statements: Any, batch: Sequence[tuple[Claimed, Outcome]]) -> bool:
    """Whether the batch is only plain ends that one statement of the dialect can write."""
    return "settle_end" in tx_statements and all(
        type(outcome) is Completed
        and outcome.spawned is None
        and job.fan_in_id is None
        and job.unique_key is None
        for job, outcome in batch
    )


def settle(
    database: Database,
    names: Names,
    tx: Tx,
    worker_id: int,
    batch: Sequence[tuple[Claimed, Outcome]],
    *,
    poison_limit: int,
) -> Settlement:
    """Write the outcomes whose lease is still this worker's; drop the others.

    Order of locks: leases, done, waiting by id, inserts.
    """
    batch = _decide_losses(tx, _newest(batch), poison_limit)
    cancels = _fence(tx, worker_id, batch)
    mine = [(job, outcome) for job, outcome in batch if job.id in cancels]
    result = Settlement(stale={job.id for job, _ in batch if job.id not in cancels})
    if result.stale and tx.repeated:
        _reclaim_committed(tx, batch, result)
    if cancels and any(cancels.values()):
        mine = _honour_cancels(tx, worker_id, mine, cancels)
    ends = [_end(job, outcome) for job, outcome in mine if _is_final(outcome)]
    result.ended.extend(end.job_id for end in ends)
    _write_errors(tx, mine)
    _write_moves(database, names, tx, mine, result)
    _free_keys(tx, ends)  # first, so that a job may spawn the next one under its own key
    _write_children(database, tx, mine, result)
    _after_ends(names, tx, ends, result)
    return result


# -- the fence ----------------------------------------------------------------------------------


def _newest(batch: Sequence[tuple[Claimed, Outcome]]) -> Sequence[tuple[Claimed, Outcome]]:
    """The batch with one outcome for each job: that of its newest lease, as no older one holds."""
    if len({job.id for job, _ in batch}) == len(batch):
        return batch
    newest: dict[bytes, tuple[Claimed, Outcome]] = {}
    for job, outcome in batch:
        if job.id not in newest or newest[job.id][0].lease < job.lease:
            newest[job.id] = job, outcome
    return [*newest.values()]


def _fence(
    tx: Tx, worker_id: int, batch: Sequence[tuple[Claimed, Outcome]], *, again: bool = False
) -> dict[bytes, str | None]:
    """Take away the leases that are ours and insert the ends; id to the cancel asked for."""
    if tx.has("settle_end"):
        ends = [_end_columns(outcome) for _, outcome in batch]
        rows = tx.rows(
            "settle_end",
            worker_id=worker_id,
            ids=[job.id for job, _ in batch],
            leases=[job.lease for job, _ in batch],
            states=[end[0] for end in ends],
            results=[end[1] for end in ends],
            reasons=[end[2] for end in ends],
            ttls=[end[3] for end in ends],
        )
        mine = dict(rows)
        if len(mine) < len(batch) and not again:
            # A row that a cancel was just changing is not found by its place: look once more.
            rest = [(job, outcome) for job, outcome in batch if job.id not in mine]
            mine |= _fence(tx, worker_id, rest, again=True)
        return mine
    return _fence_in_steps(tx, worker_id, batch)


def _fence_in_steps(
    tx: Tx, worker_id: int, batch: Sequence[tuple[Claimed, Outcome]]
) -> dict[bytes, str | None]:
    leases = {job.id: job.lease for job, _ in batch}
    mine = {
        job_id: cancel
        for job_id, lease, cancel in tx.rows("leases_lock", worker_id=worker_id, ids=sorted(leases))
        if leases[job_id] == lease
    }
    if mine:
        tx.run("leases_delete", worker_id=worker_id, ids=sorted(mine))
    done = []
    for job, outcome in batch:
        state, result, reason, ttl = _end_columns(outcome)
        if state is not None and job.id in mine:
            done.append((job.id, state, job.attempt, job.lease, worker_id, result, reason, ttl))
    if done:
        tx.many("done_insert", done)
    return mine


def _end_columns(
    outcome: Outcome,
) -> tuple[int | None, bytes | None, str | None, float | None]:
    if type(outcome) is Completed:
        return _COMPLETED, outcome.result, None, outcome.ttl
    match outcome:
        case Failed():
            return _FAILED, None, None, None
        case Cancelled(reason):
            return _CANCELLED, None, storable(reason), None
        case _:
            return None, None, None, None


def _is_final(outcome: Outcome) -> bool:
    return type(outcome) in _FINAL


def _reclaim_committed(
    tx: Tx, batch: Sequence[tuple[Claimed, Outcome]], result: Settlement
) -> None:
    """After an unknown commit: what stands in ``done`` with our lease was not stale but written."""
    leases = {job.id: job.lease for job, _ in batch}
    for job_id, lease in tx.rows("done_leases", ids=sorted(result.stale)):
        if leases[job_id] == lease:
            result.stale.discard(job_id)
            result.earlier.add(job_id)
            result.ended.append(job_id)


# -- outcomes that depend on what the database says ----------------------------------------------


def _decide_losses(
    tx: Tx, batch: Sequence[tuple[Claimed, Outcome]], poison_limit: int
) -> Sequence[tuple[Claimed, Outcome]]:
    lost = [job.id for job, outcome in batch if isinstance(outcome, Lost)]
    if not lost:
        return batch
    losses: dict[bytes, int] = dict(tx.rows("losses", ids=lost))
    return [
        (job, decide_loss(outcome, losses.get(job.id, 0) + 1, poison_limit))
        if isinstance(outcome, Lost)
        else (job, outcome)
        for job, outcome in batch
    ]


def decide_loss(lost: Lost, losses: int, poison_limit: int) -> Outcome:
    """What the ``losses``-th loss of a job means."""
    if losses >= poison_limit:
        return Parked("poison", lost.failure)
    if lost.delay is None:
        return Failed(lost.failure)
    return Retrying(lost.delay, lost.failure)


def _honour_cancels(
    tx: Tx,
    worker_id: int,
    mine: Sequence[tuple[Claimed, Outcome]],
    cancels: dict[bytes, str | None],
) -> list[tuple[Claimed, Outcome]]:
    """A job that was asked to stop does not run again: it ends as cancelled."""
    kept: list[tuple[Claimed, Outcome]] = []
    done = []
    for job, outcome in mine:
        reason = cancels[job.id]
        if reason is None or _is_final(outcome):
            kept.append((job, outcome))
            continue
        kept.append((job, Cancelled(reason)))
        done.append((job.id, _CANCELLED, job.attempt, job.lease, worker_id, None, reason, None))
    if done:
        tx.many("done_insert", done)
    return kept


# -- what follows ---------------------------------------------------------------------------------


def _write_errors(tx: Tx, mine: Sequence[tuple[Claimed, Outcome]]) -> None:
    rows = [
        (
            job.id, job.lease, f.kind, job.attempt, storable(f.type), storable(f.message, TRACE),
            storable(f.traceback, TRACE),
        )
        for job, outcome in mine
        if (f := _failure(outcome)) is not None
    ]  # fmt: skip
    if rows:
        tx.many("errors_insert", rows)


def _failure(outcome: Outcome) -> Failure | None:
    match outcome:
        case Failed(failure) | Retrying(_, failure) | Parked(_, failure):
            return failure
        case _:
            return None


def _write_moves(
    database: Database,
    names: Names,
    tx: Tx,
    mine: Sequence[tuple[Claimed, Outcome]],
    result: Settlement,
) -> None:
    """Jobs that go on: back to ready, to scheduled, or parked."""
    ready: list[tuple[Any, ...]] = []
    scheduled: list[tuple[Any, ...]] = []
    parked: list[tuple[Any, ...]] = []
    for job, outcome in mine:
        place = (job.queue_id, 4 - job.priority)
        match outcome:
            case Released():
                ready.append((*place, job.id, job.task_id, job.lease, job.attempt - 1))
            case Retrying(delay, _) if delay <= 0:
                ready.append((*place, job.id, job.task_id, job.lease, job.attempt))
            case Retrying(delay, _):
                scheduled.append(
                    (None, delay, job.id, *place, job.task_id, job.lease, job.attempt, "retry")
                )
            case Snoozed(delay):
                back = job.attempt - 1
                scheduled.append(
                    (None, delay, job.id, *place, job.task_id, job.lease, back, "snooze")
                )
            case Parked(why, failure):
                detail = storable(failure.message)
                parked.append((job.id, why, detail, *place, job.task_id, job.lease, job.attempt))
            case _:
                pass
    for name, rows in (
        ("parked_insert", parked),
        ("scheduled_insert", scheduled),
        ("ready_insert", ready),
    ):
        if rows:
            tx.many(name, rows)
    result.queues.update(names.queue(row[0]) for row in ready)


def _write_children(
    database: Database, tx: Tx, mine: Sequence[tuple[Claimed, Outcome]], result: Settlement
) -> None:
    spawns = [
        (job.id, outcome.spawned)
        for job, outcome in mine
        if isinstance(outcome, Completed) and outcome.spawned is not None
    ]
    if not spawns:
        return
    tx.many(
        "spawns_insert",
        [(job_id, s.handler, s.operation_id, s.spawned, s.metadata) for job_id, s in spawns],
    )
    children = [child for _, s in spawns for child in s.children]
    if children:
        result.queues |= insert_children(database, tx, children, Counter())


def _end(job: Claimed, outcome: Outcome) -> End:
    return End(job.id, type(outcome) is Completed, job.fan_in_id, job.unique_key)


def _after_ends(names: Names, tx: Tx, ends: Iterable[End], result: Settlement) -> None:
    """Release the fan-ins of jobs that have just ended, level by level where they are skipped."""
    level = list(ends)
    while level:
        level = release_fan_ins(names, tx, level, result)
        _free_keys(tx, level)
        result.ended.extend(end.job_id for end in level)


def _free_keys(tx: Tx, ends: Iterable[End]) -> None:
    keyed = sorted((end.unique_key, end.job_id) for end in ends if end.unique_key is not None)
    if keyed:
        keys, ids = zip(*keyed, strict=True)
        tx.run("unique_release", ukeys=keys, ids=ids)


def end_jobs(names: Names, tx: Tx, ends: Iterable[End]) -> Settlement:
    """The follow-ups of jobs that were ended outside a settle (cancelled by hand)."""
    result = Settlement()
    ends = list(ends)
    result.ended.extend(end.job_id for end in ends)
    _free_keys(tx, ends)
    _after_ends(names, tx, ends, result)
    return result


def release_fan_ins(names: Names, tx: Tx, ends: Sequence[End], result: Settlement) -> list[End]:
    """Count down the jobs that wait for these; release or skip those that wait for nothing more.

    Returns the skipped ones: they have ended too.
    """
    good = Counter(end.fan_in_id for end in ends if end.fan_in_id is not None and end.completed)
    bad = Counter(end.fan_in_id for end in ends if end.fan_in_id is not None and not end.completed)
    ids = sorted(set(good) | set(bad))
    if not ids:
        return []
    waiting = tx.rows("waiting_lock", ids=ids)
    ready: list[tuple[Any, ...]] = []
    skipped: list[tuple[bytes, int]] = []
    steps: dict[tuple[int, int], list[bytes]] = {}
    for job_id, pending, failed, queue_id, lane, task_id in waiting:
        n, failures = good[job_id] + bad[job_id], bad[job_id]
        if pending > n:
            steps.setdefault((n, failures), []).append(job_id)
        elif failed + failures:
            skipped.append((job_id, failed + failures))
        else:
            ready.append((queue_id, lane, job_id, task_id, 0, 0))
    for (n, failures), group in sorted(steps.items()):
        tx.run("waiting_decrement", n=n, bad=failures, ids=group)
    if ready or skipped:
        tx.run("waiting_delete", ids=sorted([row[2] for row in ready] + [s[0] for s in skipped]))
    if ready:
        tx.many("ready_insert", ready)
        result.queues.update(names.queue(row[0]) for row in ready)
    return _skip(tx, skipped) if skipped else []


def _skip(tx: Tx, skipped: Sequence[tuple[bytes, int]]) -> list[End]:
    tx.many(
        "done_insert",
        [
            (job_id, _SKIPPED, 0, 0, None, None, f"{n} of its dependencies did not complete", None)
            for job_id, n in skipped
        ],
    )
    links = tx.rows("ended_links", ids=[job_id for job_id, _ in skipped])
    return [End(job_id, False, fan_in_id, key) for job_id, fan_in_id, key in links]
