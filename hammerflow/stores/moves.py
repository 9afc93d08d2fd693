"""Cancel and replay: a person moves one job, inside a transaction."""

from __future__ import annotations

import uuid
from typing import Any

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.job import FINAL_CODES, FINAL_STATES, JobState
from hammerflow.stores.database import Tx
from hammerflow.stores.inserts import take_keys
from hammerflow.stores.registry import Names
from hammerflow.stores.settle import End, end_jobs
from hammerflow.stores.texts import storable

__all__ = ["cancel_job", "release_unheld", "replay_job"]

_CANCELLED = FINAL_CODES[JobState.CANCELLED]
#: Tables a job may be taken from before it runs, in the order in which jobs move on.
_STILL = ("waiting", "parked", "scheduled", "ready")
#: Leases looked at in one transaction; a worker holds far fewer.
_LEASES = 20_000
#: A job that moves backwards while it is looked for is met in the next round.
_ROUNDS = 100


def cancel_job(names: Names, tx: Tx, job_id: bytes, reason: str) -> JobState | None:
    """Cancel a job that has not started, or mark its lease; its state then, None if unknown."""
    place = tx.rows("job_place", id=job_id)
    if not place:
        return None
    reason = storable(reason)
    queue_id, lane, _, unique_key, fan_in_id = place[0]
    for _ in range(_ROUNDS):
        for table in _STILL:
            row = _take(tx, table, job_id, queue_id, lane)
            if row is not None:
                tx.many(
                    "done_insert",
                    [(job_id, _CANCELLED, row[4], row[3], None, None, reason, None)],
                )
                end_jobs(names, tx, [End(job_id, False, fan_in_id, unique_key)])
                return JobState.CANCELLED
        if tx.run("leases_cancel", id=job_id, reason=reason):
            return JobState.RUNNING
        done = tx.rows("take_done", id=job_id)
        if done:
            return FINAL_STATES[done[0][0]]
    raise HammerflowError(
        f"job {uuid.UUID(bytes=job_id)} kept moving while it was to be cancelled; try again"
    )


def replay_job(names: Names, tx: Tx, job_id: bytes, by: str) -> set[str]:
    """Put a job that ended without success, or is parked, back to ready."""
    place = tx.rows("job_place", id=job_id)
    if not place:
        raise JobNotFound(f"no job has the id {uuid.UUID(bytes=job_id)}")
    queue_id, lane, task_id, unique_key, fan_in_id = place[0]
    if tx.repeated and _take(tx, "ready", job_id, queue_id, lane, drop=False):
        return {names.queue(queue_id)}  # the first run was committed, its answer lost
    parked = _take(tx, "parked", job_id, queue_id, lane)
    lease, attempt = parked[3:5] if parked else _take_ended(tx, job_id)
    _check_awaited(tx, job_id)
    if unique_key is not None:
        _retake_key(tx, job_id, unique_key)
    if fan_in_id is not None and not parked and tx.rows("waiting_lock", ids=[fan_in_id]):
        tx.run("waiting_decrement", n=-1, bad=-1, ids=[fan_in_id])  # it is waited for again
    message = storable(f"replayed by {by}" if by else "replayed")
    tx.many("errors_insert", [(job_id, lease, "replayed", attempt, "", message, "")])
    tx.many("ready_insert", [(queue_id, lane, job_id, task_id, lease + 1, 0)])
    return {names.queue(queue_id)}


def release_unheld(names: Names, tx: Tx, worker_id: int, held: set[bytes]) -> int:
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
        (queue_id, lane, job_id, task_id, lease, attempt - 1)
        for job_id, lease, attempt, queue_id, lane, task_id, cancel in mine
        if cancel is None
    ]
    if stopped:
        tx.many("done_insert", stopped)
        links = tx.rows("ended_links", ids=[row[0] for row in stopped])
        end_jobs(names, tx, [End(job_id, False, then, key) for job_id, then, key in links])
    if ready:
        tx.many("ready_insert", ready)
    return len(mine)


def _take(
    tx: Tx, table: str, job_id: bytes, queue_id: int, lane: int, *, drop: bool = True
) -> tuple[Any, ...] | None:
    """Lock and delete the job's row in this table: (queue_id, lane, task_id, lease, attempt)."""
    values: dict[str, Any] = {"id": job_id}
    if table == "ready":
        values |= {"queue_id": queue_id, "lane": lane}
    rows = tx.rows(f"take_{table}", **values)
    if not rows:
        return None
    return rows[0] if not drop or tx.run(f"drop_{table}", **values) else None


def _take_ended(tx: Tx, job_id: bytes) -> tuple[int, int]:
    done = tx.rows("take_done", id=job_id)
    name = uuid.UUID(bytes=job_id)
    if not done:
        raise HammerflowError(f"job {name} has not ended, so it cannot be retried by hand")
    state, lease, attempt = done[0]
    if FINAL_STATES[state] is JobState.COMPLETED:
        raise HammerflowError(f"job {name} has completed, so it cannot be retried")
    tx.run("drop_done", id=job_id)
    return lease, attempt


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
