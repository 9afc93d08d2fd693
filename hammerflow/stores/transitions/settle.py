"""Settle: a batch of outcomes, their children and what they release, in one fenced transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hammerflow.jobs.job import FINAL_CODES, Claimed, JobState, NewJob
from hammerflow.jobs.outcome import (
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
    Spawned,
)
from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.transitions.children import add_children, flows_of, write_children
from hammerflow.stores.transitions.dependents import (
    BAD,
    DONE,
    DependencyResolver,
    JobEnd,
    free_keys,
)
from hammerflow.text import TRACE, storable

__all__ = [
    "decide_loss",
    "end_jobs",
    "settle",
    "settle_streaming",
    "writes_one_statement",
]

_FINAL = frozenset({Completed, Failed, Cancelled})
_COMPLETED = FINAL_CODES[JobState.COMPLETED]
_FAILED = FINAL_CODES[JobState.FAILED]
_CANCELLED = FINAL_CODES[JobState.CANCELLED]


def writes_one_statement(tx_statements: Any, batch: Sequence[tuple[Claimed, Outcome]]) -> bool:
    """Whether the batch is only plain ends that one statement of the dialect can write."""
    return "settle_end" in tx_statements and _is_plain(batch)


def _is_plain(batch: Sequence[tuple[Claimed, Outcome]]) -> bool:
    """Whether nothing follows from these ends, as far as their claims knew."""
    return all(
        type(outcome) is Completed
        and outcome.spawned is None
        and job.dependent_id is None
        and job.unique_key is None
        and job.workflow_id is None
        and not job.flags
        for job, outcome in batch
    )


def settle(
    database: Database,
    names: NameTable,
    tx: Tx,
    worker_id: int,
    batch: Sequence[tuple[Claimed, Outcome]],
    *,
    poison_limit: int,
    single: bool = False,
) -> Settlement:
    """Write the outcomes whose lease is still this worker's; drop the others.

    Order of locks: leases, done, workflows, waiting by id, barriers by id, inserts.

    Args:
        single: only plain ends, written by one statement; a job for which more is waiting than
            its claim knew is left as stale, for a second settle.
    """
    plain = single or _is_plain(batch)
    batch = _newest(batch)
    if not plain:
        batch = _decide_losses(tx, batch, poison_limit)
    held = _fence(tx, worker_id, batch, single=single)
    mine = [(job, outcome) for job, outcome in batch if job.id in held]
    result = Settlement(stale={job.id for job, _ in batch if job.id not in held})
    if result.stale and tx.repeated:
        _reclaim_committed(tx, batch, result)
    if single or (plain and not any(flags for _, flags in held.values())):
        result.ended.extend(held)
        return result
    release = DependencyResolver(database, names, tx, result)
    _lock_flows(release, mine)
    stops = {job_id: cancel for job_id, (cancel, _) in held.items() if cancel is not None}
    stops |= _halted(release, mine, stops)
    if stops:
        mine = _honour_stops(tx, worker_id, mine, stops)
    ends = [_end(job, o, held[job.id][1]) for job, o in mine if _is_final(o)]
    result.ended.extend(end.id for end in ends)
    _write_errors(tx, mine)
    _write_operations(tx, mine)
    _write_moves(database, names, tx, mine, result)
    free_keys(tx, ends)  # first, so that a job may spawn the next one under its own key
    grafted = write_children(database, tx, release, mine, result)
    release.after(end for end in ends if end.id not in grafted)
    return result


def _lock_flows(release: DependencyResolver, mine: Sequence[tuple[Claimed, Outcome]]) -> None:
    """Workflows of members: shared, or exclusive where a failure may change their state."""
    members = [(job.workflow_id, outcome) for job, outcome in mine if job.workflow_id is not None]
    if members:
        hard = flows_of(flow for flow, outcome in members if type(outcome) is not Completed)
        release.flows.load(hard, exclusive=True)
        release.flows.load(flows_of(flow for flow, _ in members))


def _halted(
    release: DependencyResolver, mine: Sequence[tuple[Claimed, Outcome]], stops: Mapping[bytes, str]
) -> dict[bytes, str]:
    """Members of ended workflows that would go on: they do not."""
    return {
        job.id: "its workflow was ended"
        for job, outcome in mine
        if job.workflow_id is not None
        and not _is_final(outcome)
        and job.id not in stops
        and release.flows[job.workflow_id].state.is_halted
    }


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
    tx: Tx,
    worker_id: int,
    batch: Sequence[tuple[Claimed, Outcome]],
    *,
    single: bool,
    again: bool = False,
) -> dict[bytes, tuple[str | None, int]]:
    """Take away the leases that are ours and insert the ends; id to the cancel asked for, and
    whether edges start there."""
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
            watches=[0 if single else 1] * len(batch),
        )
        mine = {job_id: (cancel, flags) for job_id, cancel, flags in rows}
        if len(mine) < len(batch) and not again:
            # A row that a cancel was just changing is not found by its place: look once more.
            rest = [(job, outcome) for job, outcome in batch if job.id not in mine]
            mine |= _fence(tx, worker_id, rest, single=single, again=True)
        return mine
    return _fence_in_steps(tx, worker_id, batch)


def _fence_in_steps(
    tx: Tx, worker_id: int, batch: Sequence[tuple[Claimed, Outcome]]
) -> dict[bytes, tuple[str | None, int]]:
    leases = {job.id: job.lease for job, _ in batch}
    rows = tx.rows("leases_lock", worker_id=worker_id, ids=sorted(leases))
    mine = {
        job_id: (cancel, flags) for job_id, lease, cancel, flags in rows if leases[job_id] == lease
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


def _honour_stops(
    tx: Tx,
    worker_id: int,
    mine: Sequence[tuple[Claimed, Outcome]],
    stops: Mapping[bytes, str],
) -> list[tuple[Claimed, Outcome]]:
    """A job that was asked to stop does not run again: it ends as cancelled."""
    kept: list[tuple[Claimed, Outcome]] = []
    done = []
    for job, outcome in mine:
        reason = stops.get(job.id)
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
    names: NameTable,
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


def _write_operations(tx: Tx, mine: Sequence[tuple[Claimed, Outcome]]) -> None:
    """What spawners did, those that failed included."""
    rows = []
    for job, outcome in mine:
        match outcome:
            case Completed(spawned=Spawned(operation=operation, spawned=count)):
                error = None
            case Failed(Failure(message=message), operation) | Retrying(
                _, Failure(message=message), operation
            ) if operation is not None:
                count, error = 0, storable(message)
            case _:
                continue
        rows.append(
            (
                job.id, job.lease, operation.requested, count, -operation.seconds,
                operation.handler, operation.operation_id, operation.metadata, error,
            )
        )  # fmt: skip
    if rows:
        tx.many("spawns_insert", rows)


def _end(job: Claimed, outcome: Outcome, flags: int) -> JobEnd:
    completed = type(outcome) is Completed
    return JobEnd(
        job.id,
        DONE if completed else BAD,
        job.dependent_id,
        job.unique_key,
        job.workflow_id,
        job.flags or flags,
        not completed,
    )


def end_jobs(
    database: Database,
    names: NameTable,
    tx: Tx,
    ends: Iterable[JobEnd],
    result: Settlement | None = None,
) -> Settlement:
    """The follow-ups of jobs that were ended outside a settle (cancelled by hand, not rescued)."""
    result = result or Settlement()
    ends = list(ends)
    release = DependencyResolver(database, names, tx, result)
    release.flows.load(flows_of(end.workflow_id for end in ends), exclusive=True)
    result.ended.extend(end.id for end in ends)
    free_keys(tx, ends)
    release.after(ends)
    return result


def settle_streaming(
    database: Database,
    names: NameTable,
    tx: Tx,
    worker_id: int,
    job: Claimed,
    outcome: Completed,
    chunks: Iterable[Sequence[NewJob]],
) -> Settlement:
    """Settle a spawner and insert its children chunk by chunk.

    Args:
        outcome: with ``spawned`` set and no children in it.
    """
    result = settle(database, names, tx, worker_id, [(job, outcome)], poison_limit=0)
    if job.id not in result.stale | result.earlier:
        release = DependencyResolver(database, names, tx, result)
        left_out: Counter[bytes | None] = Counter()
        for chunk in chunks:
            add_children(database, tx, release, chunk, left_out, result)
    return result
