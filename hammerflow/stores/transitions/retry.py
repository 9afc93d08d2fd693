"""Retry: a person puts one job that ended without success, or is parked, back to ready."""

from __future__ import annotations

import uuid

from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import FINAL_STATES, JobState, RowFlags
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import ErrorRow, ReadyRow, Row
from hammerflow.stores.transitions.cancel import place_of, take_row
from hammerflow.stores.transitions.ends import DependencyOutcome, outcome_of
from hammerflow.stores.transitions.rerun import await_again, rerun_members
from hammerflow.stores.transitions.unique import retake_keys
from hammerflow.stores.transitions.unit import Unit
from hammerflow.stores.transitions.workflow_locks import WorkflowLocks
from hammerflow.text import counted, storable

__all__ = ["retry_job"]


def retry_job(unit: Unit, job_id: bytes, by: str) -> None:
    """Put a job back to ready with all its attempts, cleared of any suspicion.

    A member of a workflow that has ended is run again by a rerun of its workflow instead.

    Raises:
        JobNotFound: no job has this id.
        HammerflowError: it is in another state, or its unique key is taken.
    """
    tx = unit.tx
    place = place_of(tx, job_id)
    queue_id, priority_order, task_id, unique_key, dependent_id, workflow_id, flags = place
    parked = take_row(tx, "parked", job_id, queue_id, priority_order, drop=False)
    if workflow_id is not None and parked is None:
        locks = WorkflowLocks(unit)  # before the row of its end, as all do
        locks.load(locks.with_trees([workflow_id], is_whole=True), exclusive=True)
    if _is_written(unit, job_id, parked):
        unit.settlement.queues.add(unit.names.queue(queue_id))
        return
    if workflow_id is not None and parked is None:
        _check_ended(tx, job_id)
        rerun_members(unit, workflow_id, {job_id}, by)
        return
    outcome = _outcome_of(tx, job_id)
    if parked is None:
        lease, attempt = _check_ended(tx, job_id)
        tx.run("drop_done", id=job_id)
    else:
        lease, attempt = parked[4:6]
        tx.run("drop_parked", id=job_id)
    unit.written[job_id] = lease
    _check_dependencies(tx, job_id)
    if not flags & RowFlags.FREED_AT_START:
        retake_keys(tx, [(unique_key, job_id)])
    if flags:
        tx.run("job_clear", id=job_id)
    if parked is None:
        edges = tx.rows("edges_of", ids=[job_id]) if flags else []
        await_again(tx, [(child_id, kind) for _, child_id, kind in edges], dependent_id, outcome)
    tx.run("expires_again", ids=[job_id])
    note = storable(f"replayed by {by}" if by else "replayed")
    unit.insert("errors_insert", [ErrorRow(job_id, lease, "replayed", attempt, "", note, "")])
    unit.make_ready([ReadyRow(job_id, queue_id, priority_order, task_id, lease + 1, 0)])


def _is_written(unit: Unit, job_id: bytes, parked: Row | None) -> bool:
    """Whether an earlier run of this transaction was committed, and its reply was lost: the job has
    no end with the lease number that it had then. It may have run, and ended, since."""
    if not unit.tx.repeated or job_id not in unit.written:
        return False
    ends = [parked[4]] if parked else [row[1] for row in unit.tx.rows("take_done", id=job_id)]
    return unit.written[job_id] not in ends


def _check_ended(tx: Tx, job_id: bytes) -> tuple[int, int]:
    """The (lease, attempt) of a job that ended without success."""
    done = tx.rows("take_done", id=job_id)
    name = uuid.UUID(bytes=job_id)
    if not done:
        raise HammerflowError(f"job {name} has not ended, so it cannot be retried by hand")
    state, lease, attempt = done[0]
    if FINAL_STATES[state] is JobState.COMPLETED:
        raise HammerflowError(f"job {name} has completed, so it cannot be retried")
    return lease, attempt


def _outcome_of(tx: Tx, job_id: bytes) -> DependencyOutcome:
    """How its end was counted by what depends on it."""
    done = tx.rows("done_outcome", id=job_id)
    return outcome_of(job_id, *done[0]) if done else DependencyOutcome.FAILED


def _check_dependencies(tx: Tx, job_id: bytes) -> None:
    """Refuse a fan-in that was cancelled while others that it waits for had not ended."""
    count = tx.rows("awaited", id=job_id)[0][0]
    if count:
        raise HammerflowError(
            f"job {uuid.UUID(bytes=job_id)} cannot be retried yet: "
            f"{counted(count, 'job')} that it waits for must end first"
        )
