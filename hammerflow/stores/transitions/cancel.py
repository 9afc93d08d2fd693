"""Cancel and replay: a person moves one job, inside a transaction."""

from __future__ import annotations

import uuid
from typing import Any

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.jobs.job import FINAL_CODES, FINAL_STATES, JobState
from hammerflow.jobs.settlement import Settlement
from hammerflow.jobs.status import FailurePolicy
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.transitions.dependents import BAD, JobEnd, verdict_of
from hammerflow.stores.transitions.insert import take_keys
from hammerflow.stores.transitions.rerun import await_again, keep_waiting, rerun_members
from hammerflow.stores.transitions.settle import end_jobs
from hammerflow.text import storable

__all__ = ["cancel_job", "release_unheld", "replay_job"]

_CANCELLED = FINAL_CODES[JobState.CANCELLED]
_CONTINUE = FailurePolicy.CONTINUE_ON_FAILURE
#: Tables a job may be taken from before it runs, in the order in which jobs move on.
_STILL = ("waiting", "parked", "scheduled", "ready")
#: Leases looked at in one transaction; a worker holds far fewer.
_LEASES = 20_000
#: A job that moves backwards while it is looked for is met in the next round.
_ROUNDS = 100


def cancel_job(
    database: Database, names: NameTable, tx: Tx, job_id: bytes, reason: str
) -> tuple[JobState | None, Settlement]:
    """Cancel a job that has not started, or mark its lease; its state then, None if unknown, and
    what followed from it."""
    place = tx.rows("job_place", id=job_id)
    if not place:
        return None, Settlement()
    reason = storable(reason)
    queue_id, priority_order, _, unique_key, dependent_id, workflow_id, flags = place[0]
    goes_on = False
    if workflow_id is not None:  # a settle locks the lease first, then this; then the hot tables
        if tx.run("leases_cancel", id=job_id, reason=reason):
            return JobState.RUNNING, Settlement()
        flows = tx.rows("workflows_lock", ids=[workflow_id])
        goes_on = bool(flows) and FailurePolicy.of(flows[0][2]) is _CONTINUE
    for _ in range(_ROUNDS):
        for table in _STILL:
            row = _take(tx, table, job_id, queue_id, priority_order)
            if row is not None:
                tx.many(
                    "done_insert",
                    [(job_id, _CANCELLED, row[4], row[3], None, None, reason, None)],
                )
                end = JobEnd(job_id, BAD, dependent_id, unique_key, workflow_id, flags, True)
                if table == "waiting" and workflow_id is not None and goes_on:
                    keep_waiting(database, names, tx, workflow_id)
                return JobState.CANCELLED, end_jobs(database, names, tx, [end])
        if tx.run("leases_cancel", id=job_id, reason=reason):
            return JobState.RUNNING, Settlement()
        done = tx.rows("take_done", id=job_id)
        if done:
            return FINAL_STATES[done[0][0]], Settlement()
    raise HammerflowError(
        f"job {uuid.UUID(bytes=job_id)} kept moving while it was to be cancelled; try again"
    )


def replay_job(database: Database, names: NameTable, tx: Tx, job_id: bytes, by: str) -> set[str]:
    """Put a job that ended without success, or is parked, back to ready."""
    place = tx.rows("job_place", id=job_id)
    if not place:
        raise JobNotFound(f"no job has the id {uuid.UUID(bytes=job_id)}")
    queue_id, priority_order, task_id, unique_key, dependent_id, workflow_id, flags = place[0]
    if tx.repeated and _take(tx, "ready", job_id, queue_id, priority_order, drop=False):
        return {names.queue(queue_id)}  # the first run was committed, its answer lost
    parked = _take(tx, "parked", job_id, queue_id, priority_order)
    if workflow_id is not None and not parked:
        _check_ended(tx, job_id)
        return rerun_members(database, names, tx, workflow_id, {job_id}, by).queues
    verdict = _verdict_of(tx, job_id)
    lease, attempt = parked[3:5] if parked else _take_ended(tx, job_id)
    _check_awaited(tx, job_id)
    if unique_key is not None:
        _retake_key(tx, job_id, unique_key)
    if not parked:
        _await_again(tx, job_id, dependent_id, verdict, flags=flags)
    message = storable(f"replayed by {by}" if by else "replayed")
    tx.many("errors_insert", [(job_id, lease, "replayed", attempt, "", message, "")])
    tx.many("ready_insert", [(queue_id, priority_order, job_id, task_id, lease + 1, 0)])
    return {names.queue(queue_id)}


def release_unheld(
    database: Database, names: NameTable, tx: Tx, worker_id: int, held: set[bytes]
) -> int:
    """Give back a worker's leases that it does not know of; those asked to stop are cancelled."""
    rows = tx.rows("worker_leases", worker_id=worker_id, n=_LEASES)
    mine = [row for row in rows if row[0] not in held]
    if not mine:
        return 0
    tx.run("leases_delete", worker_id=worker_id, ids=[row[0] for row in mine])
    stopped = [
        (job_id, _CANCELLED, attempt, lease, worker_id, None, cancel, None)
        for job_id, lease, attempt, *_, cancel in mine
        if cancel is not None
    ]
    ready = [
        (queue_id, priority_order, job_id, task_id, lease, attempt - 1)
        for job_id, lease, attempt, queue_id, priority_order, task_id, cancel in mine
        if cancel is None
    ]
    if stopped:
        tx.many("done_insert", stopped)
        links = tx.rows("ended_links", ids=[row[0] for row in stopped])
        ends = [
            JobEnd(id_, BAD, then, key, flow, flags, True) for id_, then, key, flow, flags in links
        ]
        end_jobs(database, names, tx, ends)
    if ready:
        tx.many("ready_insert", ready)
    return len(mine)


def _take(
    tx: Tx, table: str, job_id: bytes, queue_id: int, priority_order: int, *, drop: bool = True
) -> tuple[Any, ...] | None:
    """Lock and delete the job's row: (queue_id, priority_order, task_id, lease, attempt)."""
    values: dict[str, Any] = {"id": job_id}
    if table == "ready":
        values |= {"queue_id": queue_id, "priority_order": priority_order}
    rows = tx.rows(f"take_{table}", **values)
    if not rows:
        return None
    return rows[0] if not drop or tx.run(f"drop_{table}", **values) else None


def _take_ended(tx: Tx, job_id: bytes) -> tuple[int, int]:
    lease, attempt = _check_ended(tx, job_id)
    tx.run("drop_done", id=job_id)
    return lease, attempt


def _check_ended(tx: Tx, job_id: bytes) -> tuple[int, int]:
    done = tx.rows("take_done", id=job_id)
    name = uuid.UUID(bytes=job_id)
    if not done:
        raise HammerflowError(f"job {name} has not ended, so it cannot be retried by hand")
    state, lease, attempt = done[0]
    if FINAL_STATES[state] is JobState.COMPLETED:
        raise HammerflowError(f"job {name} has completed, so it cannot be retried")
    return lease, attempt


def _verdict_of(tx: Tx, job_id: bytes) -> int:
    """How its end was counted by what depends on it."""
    done = tx.rows("done_outcome", id=job_id)
    return verdict_of(job_id, *done[0]) if done else BAD


def _await_again(
    tx: Tx, job_id: bytes, dependent_id: bytes | None, verdict: int, *, flags: int
) -> None:
    """What still waits for others waits for this one, too."""
    edges = tx.rows("edges_of", ids=[job_id]) if flags else []
    await_again(tx, [(child_id, kind) for _, child_id, kind in edges], dependent_id, verdict)


def _check_awaited(tx: Tx, job_id: bytes) -> None:
    """Refuse a fan-in that was cancelled while others that it waits for had not ended."""
    count = tx.rows("awaited", id=job_id)[0][0]
    if count:
        jobs = (
            "1 job that it waits for has" if count == 1 else f"{count} jobs that it waits for have"
        )
        raise HammerflowError(
            f"job {uuid.UUID(bytes=job_id)} cannot be retried yet: {jobs} not ended"
        )


def _retake_key(tx: Tx, job_id: bytes, key: str) -> None:
    holder = take_keys(tx, [(key, job_id)])[key]
    if holder != job_id:
        raise HammerflowError(
            f"the unique key {key!r} is held by job {uuid.UUID(bytes=holder)}: "
            "cancel that one first, or wait for its end"
        )
