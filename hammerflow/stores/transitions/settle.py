"""Settle: a batch of outcomes, their children and what they release, in one fenced transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.events.kinds import EventKind, mask_of
from hammerflow.events.record import RecordRun
from hammerflow.jobs.job import FINAL_CODES, Claimed, JobState, NewJob, RowFlags
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
    Suspected,
)
from hammerflow.stores.database import Tx
from hammerflow.stores.outbox import Outbox
from hammerflow.stores.rows import (
    ErrorRow,
    JobLogRow,
    ReadyRow,
    Row,
    done_row,
    parked_row,
    scheduled_row,
    spawn_row,
)
from hammerflow.stores.transitions.children import add_children, write_children
from hammerflow.stores.transitions.dependents import DependencyResolver
from hammerflow.stores.transitions.ends import DependencyOutcome, JobEnd, release_keys
from hammerflow.stores.transitions.insert import LeftOut
from hammerflow.stores.transitions.unit import Unit
from hammerflow.text import TRACE, storable

__all__ = [
    "Batch", "decide_loss", "end_jobs", "is_plain", "mark_suspects", "settle", "settle_streaming",
]  # fmt: skip

#: Claimed jobs with how they went.
Batch = Sequence[tuple[Claimed, Outcome]]

_FINAL = frozenset({Completed, Failed, Cancelled})
_COMPLETED = FINAL_CODES[JobState.COMPLETED]
_FAILED = FINAL_CODES[JobState.FAILED]
_ENDS = mask_of({EventKind.JOB_COMPLETED, EventKind.JOB_CANCELLED})
_KINDS: Mapping[type[Any], EventKind] = {
    Completed: EventKind.JOB_COMPLETED, Failed: EventKind.JOB_FAILED,
    Cancelled: EventKind.JOB_CANCELLED,
}  # fmt: skip
#: Flags that nothing follows from when a job ends.
_PLAIN = (0, RowFlags.LIMITED, RowFlags.DELAYED, RowFlags.LIMITED | RowFlags.DELAYED)
_CANCELLED = FINAL_CODES[JobState.CANCELLED]


class _TakenLease(NamedTuple):
    """What a lease said when the fence took it away."""

    cancel: str | None  # the reason, if the job was asked to stop
    flags: int  # of RowFlags; may have come after the claim
    started_at: Any


def is_plain(batch: Batch) -> bool:
    """Whether nothing follows from these ends, by what their claims knew."""
    return all(
        type(outcome) is Completed
        and outcome.spawned is None
        and job.dependent_id is None
        and job.unique_key is None
        and job.workflow_id is None
        and job.flags in _PLAIN
        for job, outcome in batch
    )


def settle(
    unit: Unit, worker_id: int, batch: Batch, *, poison_limit: int, single: bool = False,
    patience: float | None = None, logs: Sequence[JobLogRow] = (),
) -> None:  # fmt: skip
    """Write the outcomes whose lease is still this worker's; drop the others.

    Order of locks: leases, workflows (the youngest first), waiting by id, barriers by id, inserts.

    Args:
        poison_limit: the loss of a job that parks it.
        single: the batch is plain, and one statement writes it. A job that something has come to
            depend on since its claim is left as stale, for a second settle.
        patience: seconds to wait for locks that other transactions hold; of leases, none at all.
        logs: what bodies of these attempts have logged; not of a ``single`` batch.
    """
    plain = single or is_plain(batch)
    batch = _newest(batch)
    if not plain:
        batch = _decide_losses(unit.tx, batch, poison_limit)
    taken = _fence(unit, worker_id, batch, single=single, patience=patience)
    if len(taken) < len(batch):
        unit.settlement.stale.update(job.id for job, _ in batch if job.id not in taken)
        if patience is not None and not single:
            _note_held(unit, worker_id, batch)
        if unit.tx.repeated:
            _reclaim_committed(unit, batch)
    _note_limited(unit, batch)
    if logs:
        held = {(job.id, job.lease) for job, _ in batch if job.id in taken}
        _write_logs(unit, [row for row in logs if row[:2] in held])
    unit.settlement.stopped.update(id_ for id_, lease in taken.items() if lease[0] is not None)
    if single or (plain and not any(lease[1] for lease in taken.values())):
        if unit.records.wanted and not single:
            _note_ends(unit, batch, taken)
        unit.settlement.ended.extend(taken)
        return
    mine = [(job, outcome) for job, outcome in batch if job.id in taken]
    _write_consequences(unit, worker_id, mine, taken)


def _write_logs(unit: Unit, rows: Sequence[JobLogRow]) -> None:
    """Replace what was written while the attempts ran."""
    kept = [row for row in rows if row.line_count]
    if kept:
        unit.tx.many("job_logs_put", kept)
    dropped: dict[int, list[bytes]] = defaultdict(list)
    for row in rows:
        if not row.line_count:
            dropped[row.lease].append(row.job_id)
    for lease, ids in dropped.items():
        unit.tx.run("job_logs_drop", lease=lease, ids=sorted(ids))


def _note_limited(unit: Unit, batch: Batch) -> None:
    """The places of jobs with a limit are free now: others may start."""
    queue_ids = {job.queue_id for job, _ in batch if job.flags & RowFlags.LIMITED}
    unit.settlement.queues.update(map(unit.names.queue, queue_ids))


def _write_consequences(
    unit: Unit, worker_id: int, mine: Batch, taken: Mapping[bytes, _TakenLease]
) -> None:
    """Everything that follows from the outcomes of leases that were taken."""
    resolver = DependencyResolver(unit)
    _lock_workflows(resolver, mine)
    _write_errors(unit, worker_id, mine, taken)  # of those that are stopped, too
    if unit.records.wanted:
        _note_ends(unit, mine, taken)
    mine = _honour_stops(unit, worker_id, resolver, mine, taken)
    ends = [_end_of(job, o, taken[job.id][1]) for job, o in mine if type(o) in _FINAL]
    unit.settlement.ended.extend(end.id for end in ends)
    _write_operations(unit, mine)
    _write_traces(unit.tx, mine)
    _move_unfinished(unit, mine)
    release_keys(unit.tx, ends)  # first, so that a job may spawn the next one under its own key
    waits_for_children = write_children(unit, resolver, mine)
    resolver.resolve(end for end in ends if end.id not in waits_for_children)


def _lock_workflows(resolver: DependencyResolver, mine: Batch) -> None:
    """Lock the members' workflows: shared, or exclusive where a failure may change their state."""
    modes: dict[bytes, bool] = {}
    for job, outcome in mine:
        if job.workflow_id is not None:
            modes[job.workflow_id] = modes.get(job.workflow_id, False) or (
                type(outcome) is not Completed
            )
    if modes:
        _lock_trees(resolver, modes)


def _lock_trees(resolver: DependencyResolver, modes: dict[bytes, bool]) -> None:
    """Lock workflows; with the trees of those whose failure may halt others."""
    if failing := [id_ for id_, exclusive in modes.items() if exclusive]:
        modes |= dict.fromkeys(resolver.workflows.with_trees(failing), True)
    resolver.workflows.load_each(modes)


def _newest(batch: Batch) -> Batch:
    """The batch with one outcome for each job: that of its newest lease, as no older one holds."""
    if len({job.id for job, _ in batch}) == len(batch):
        return batch
    newest: dict[bytes, tuple[Claimed, Outcome]] = {}
    for job, outcome in batch:
        if job.id not in newest or newest[job.id][0].lease < job.lease:
            newest[job.id] = job, outcome
    return [*newest.values()]


def _note_held(unit: Unit, worker_id: int, batch: Batch) -> None:
    """Of the leases that were not taken, those that are still ours are locked by others."""
    settlement = unit.settlement
    leases = {job.id: job.lease for job, _ in batch}
    rows = unit.tx.rows("leases_held", worker_id=worker_id, ids=sorted(settlement.stale))
    settlement.held = {job_id for job_id, lease in rows if leases[job_id] == lease}
    settlement.stale -= settlement.held


def _note_ends(unit: Unit, batch: Batch, taken: Mapping[bytes, Any]) -> None:
    """Note the ends that the fence has written."""
    if len(taken) < len(batch):
        batch = [pair for pair in batch if pair[0].id in taken]
    unit.records.add_runs(_runs_of(_stopped(batch, taken) if unit.settlement.stopped else batch))


def _runs_of(batch: Batch) -> list[RecordRun]:
    """The events of ends, in one run for those that differ in their ids alone."""
    forms = {(type(outcome), job.lease, job.attempt) for job, outcome in batch}
    if len(forms) == 1:  # nearly always: the first attempts of jobs, all completed
        ids = {forms.pop(): [job.id for job, _ in batch]}
    else:
        ids = defaultdict(list)
        for job, outcome in batch:
            ids[type(outcome), job.lease, job.attempt].append(job.id)
    return [
        RecordRun(_KINDS[kind], lease, attempt, found)
        for (kind, lease, attempt), found in ids.items()
        if kind in _KINDS
    ]


def _fence(
    unit: Unit, worker_id: int, batch: Batch, *, single: bool, patience: float | None
) -> dict[bytes, Any]:
    """Delete the leases that are still ours and insert the ends.

    Returns:
        For each job whose lease was ours a plain tuple in the order of :class:`_TakenLease`.
    """
    tx = unit.tx
    in_one = tx.has("settle_end")

    def take(pairs: Batch) -> dict[bytes, Any]:
        if in_one:
            return _fence_in_one(unit, worker_id, pairs, single, patience)
        return _fence_in_steps(tx, worker_id, pairs)

    taken = take(batch)
    if len(taken) < len(batch):
        # Leases that others have locked were passed over, and PostgreSQL does not find a row by its
        # ctid that a cancel was just changing: try once more.
        rest = [(job, outcome) for job, outcome in batch if job.id not in taken]
        if patience is None:
            tx.rows("leases_wait", worker_id=worker_id, ids=sorted(job.id for job, _ in rest))
        taken |= take(rest)
    return taken


def _fence_in_one(
    unit: Unit, worker_id: int, batch: Batch, single: bool, patience: float | None
) -> dict[bytes, Any]:
    ends = [_end_columns(outcome) for _, outcome in batch]
    states, results, reasons, ttls = map(list, zip(*ends, strict=True))
    wanted = unit.records.wanted & _ENDS if single else 0  # else they are noted, as all others
    logged: dict[str, Any] = {}
    if wanted:
        packs = Outbox.packs(_runs_of(batch), wanted)
        logged = {
            "wanted": wanted, "all": len(batch), "ns": [n for n, _ in packs],
            "packs": [data for _, data in packs],
        }  # fmt: skip
    rows = unit.tx.rows(
        "settle_end_logged" if wanted else "settle_end", **logged, worker_id=worker_id,
        ids=[job.id for job, _ in batch], leases=[job.lease for job, _ in batch], states=states,
        results=results, reasons=reasons, ttls=ttls, is_whole=not single,
        lock_timeout=None if patience is None else f"{round(patience * 1000)}ms",
    )  # fmt: skip
    if wanted and rows:
        unit.tx.has_events = True
    return {row[0]: row[1:4] for row in rows}


def _fence_in_steps(tx: Tx, worker_id: int, batch: Batch) -> dict[bytes, Any]:
    leases = {job.id: job.lease for job, _ in batch}
    rows = tx.rows("leases_lock", worker_id=worker_id, ids=sorted(leases))
    taken = {row[0]: row[2:] for row in rows if leases[row[0]] == row[1]}
    if taken:
        tx.run("leases_delete", worker_id=worker_id, ids=sorted(taken))
    if any(lease[0] is not None for lease in taken.values()):
        batch = _stopped(batch, taken)
    done = [
        done_row(job, worker_id, taken[job.id][2], _end_columns(outcome))
        for job, outcome in batch
        if type(outcome) in _FINAL and job.id in taken
    ]
    if done:
        tx.many("done_insert", done)
    return taken


def _stopped(batch: Batch, taken: Mapping[bytes, Any]) -> list[tuple[Claimed, Outcome]]:
    """The batch in which the jobs that were asked to stop are cancelled, whatever they answered:
    the cancel was committed first, and whoever asked was told so."""
    honoured: list[tuple[Claimed, Outcome]] = []
    for job, outcome in batch:
        cancel = taken[job.id][0] if job.id in taken else None
        honoured.append((job, outcome if cancel is None else Cancelled(cancel)))
    return honoured


def _end_columns(outcome: Outcome) -> tuple[Any, bytes | None, str | None, float | None]:
    """(state, result, reason, ttl) for ``done``; a state of None: it has not ended."""
    if type(outcome) is Completed:
        return _COMPLETED, outcome.result, None, outcome.ttl
    match outcome:
        case Failed():
            return _FAILED, None, None, None
        case Cancelled(reason):
            return _CANCELLED, None, storable(reason), None
        case _:
            return None, None, None, None


def _reclaim_committed(unit: Unit, batch: Batch) -> None:
    """After an unknown commit: what ``done`` holds with our lease is not stale but was written."""
    settlement = unit.settlement
    leases = {job.id: job.lease for job, _ in batch}
    for job_id, lease in unit.tx.rows("done_leases", ids=sorted(settlement.stale)):
        if leases[job_id] == lease:
            settlement.stale.discard(job_id)
            settlement.earlier.add(job_id)
            settlement.ended.append(job_id)


def _decide_losses(tx: Tx, batch: Batch, poison_limit: int) -> Batch:
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
    unit: Unit,
    worker_id: int,
    resolver: DependencyResolver,
    mine: Batch,
    taken: Mapping[bytes, _TakenLease],
) -> Batch:
    """Cancel the jobs that were asked to stop, whose ends the fence has written, and those of a
    halted workflow that would run again."""
    kept: list[tuple[Claimed, Outcome]] = []
    done: list[Row] = []
    for job, outcome in _stopped(mine, taken):
        if type(outcome) in _FINAL or not resolver.is_halted(job.workflow_id):
            kept.append((job, outcome))
        else:
            reason = "its workflow was ended"
            kept.append((job, Cancelled(reason)))
            end = _CANCELLED, None, reason, None
            done.append(done_row(job, worker_id, taken[job.id][2], end))
    unit.insert("done_insert", done)
    return kept


def _write_errors(
    unit: Unit, worker_id: int, mine: Batch, taken: Mapping[bytes, _TakenLease]
) -> None:
    rows = [
        ErrorRow(
            job.id, job.lease, failure.kind, job.attempt, storable(failure.type),
            storable(failure.message, TRACE), storable(failure.traceback, TRACE),
            taken[job.id][2], worker_id,
        )
        for job, outcome in mine
        if isinstance(outcome, Failed | Retrying | Parked | Suspected)
        for failure in [outcome.failure]
    ]  # fmt: skip
    unit.insert("errors_insert", rows)


def _move_unfinished(unit: Unit, mine: Batch) -> None:
    """Jobs that go on: back to ready, to scheduled, or parked."""
    ready: list[Row] = []
    scheduled: list[Row] = []
    parked: list[Row] = []
    lanes = _lanes_of(unit.tx, mine)
    for job, outcome in mine:
        lane = lanes.get(job.id)
        match outcome:
            case Released() | Suspected():
                ready.append(ReadyRow.back(job, job.attempt - 1, lane))
            case Retrying(delay, _):
                unit.records.add(EventKind.JOB_RETRYING, job.id, job.lease, job.attempt)
                again = ReadyRow.back(job, job.attempt, lane)
                if delay <= 0:
                    ready.append(again)
                else:
                    scheduled.append(scheduled_row(again, "retry", delay))
            case Snoozed(delay):
                unit.records.add(EventKind.JOB_SNOOZED, job.id, job.lease, job.attempt)
                again = ReadyRow.back(job, job.attempt - 1, lane)
                scheduled.append(scheduled_row(again, "snooze", delay))
            case Parked(why, failure):
                again = ReadyRow.back(job, job.attempt, lane)
                parked.append(parked_row(again, why, storable(failure.message)))
                unit.settlement.parked.append(job.id)
            case _:
                pass
    mark_suspects(unit.tx, [job.id for job, o in mine if type(o) is Suspected], RowFlags.SUSPECT)
    unit.insert("parked_insert", parked)
    unit.insert("scheduled_insert", scheduled)
    unit.make_ready(ready)


def _lanes_of(tx: Tx, mine: Batch) -> dict[bytes, int]:
    """The lanes of the jobs with a limit that go on, by their ids."""
    ids = [job.id for job, o in mine if job.flags & RowFlags.LIMITED and type(o) not in _FINAL]
    return dict(tx.rows("job_lanes", ids=sorted(ids))) if ids else {}


def mark_suspects(tx: Tx, ids: Sequence[bytes], flag: int) -> None:
    """Note in the rows of jobs, where every claim reads it, how alone they must run."""
    if ids:
        tx.run("jobs_mark", ids=sorted(ids), flag=flag)


def _write_traces(tx: Tx, mine: Batch) -> None:
    """Keep what later spans link to; only workers that trace have that."""
    kept = [
        (job.id, outcome.trace)
        for job, outcome in mine
        if isinstance(outcome, Completed | Failed | Retrying) and outcome.trace is not None
    ]
    for job_id, trace in sorted(kept):
        tx.run("job_set_trace", id=job_id, trace=trace)


def _write_operations(unit: Unit, mine: Batch) -> None:
    """Record the runs of spawners, those that failed included."""
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
        rows.append(spawn_row(job, operation, count, error))
    unit.insert("spawns_insert", rows)


def _end_of(job: Claimed, outcome: Outcome, flags: int) -> JobEnd:
    own = (job.flags | flags) & RowFlags.HAS_EDGES
    links = (job.id, job.dependent_id, job.unique_key, job.workflow_id, own)
    if type(outcome) is Completed:
        return JobEnd(*links, DependencyOutcome.COMPLETED)
    return JobEnd(*links, DependencyOutcome.FAILED, is_own=True)


def end_jobs(unit: Unit, ends: Iterable[JobEnd]) -> None:
    """Write what follows from jobs that were ended outside a settle."""
    ends = list(ends)
    resolver = DependencyResolver(unit)
    workflow_ids = {end.workflow_id for end in ends if end.workflow_id is not None}
    if workflow_ids:
        _lock_trees(resolver, dict.fromkeys(workflow_ids, True))
    unit.settlement.ended.extend(end.id for end in ends)
    release_keys(unit.tx, ends)
    resolver.resolve(ends)


def settle_streaming(
    unit: Unit, worker_id: int, job: Claimed, outcome: Completed,
    chunks: Iterable[Sequence[NewJob]], logs: Sequence[JobLogRow] = (),
) -> None:  # fmt: skip
    """Settle a spawner, whose outcome holds no children, and insert these chunk by chunk."""
    settle(unit, worker_id, [(job, outcome)], poison_limit=0, logs=logs)
    settlement = unit.settlement
    if job.id not in settlement.stale | settlement.earlier | settlement.stopped:
        resolver = DependencyResolver(unit)
        left_out = LeftOut(job.lease)
        for chunk in chunks:
            add_children(unit, resolver, chunk, left_out)
