"""Replay: a dead letter runs again as part of an operation, which can be undone until it starts."""

from __future__ import annotations

from hammerflow.stores.rows import ReplayRow, Row, UnstartedRow, parked_row, scheduled_row
from hammerflow.stores.transitions.cancel import take_row
from hammerflow.stores.transitions.ends import DependencyOutcome, JobEnd
from hammerflow.stores.transitions.retry import retry_job
from hammerflow.stores.transitions.settle import end_jobs
from hammerflow.stores.transitions.unit import Unit
from hammerflow.stores.transitions.workflow_locks import WorkflowLocks
from hammerflow.text import storable

__all__ = ["replay_job", "undo_replay"]


def replay_job(unit: Unit, job_id: bytes, by: str, operation_id: bytes, delay: float) -> None:
    """Put a job that ended without success, or is parked, back to ready as :func:`retry_job` does.

    Args:
        delay: seconds until it is ready; 0 for at once.
    """
    tx = unit.tx
    key = {"operation_id": operation_id, "id": job_id}
    if tx.repeated and tx.rows("replay_row", **key):
        return  # the first run was committed, and its reply was lost
    ends = tx.rows("dead_end", id=job_id)
    retry_job(unit, job_id, by)
    place = tx.rows("job_place", id=job_id)[0]
    row = take_row(tx, "ready", job_id, *place[:2], drop=False)
    if not ends or row is None:
        return  # a member of a workflow that waits for others, which run again, too
    if delay > 0:
        take_row(tx, "ready", job_id, *place[:2])
        unit.insert("scheduled_insert", [scheduled_row(row, "delay", delay)])
    state, attempt, reason, detail = ends[0]
    replay = ReplayRow(operation_id, job_id, row[4], attempt, state, storable(by), reason, detail)
    unit.insert("replays_insert", [replay])


def undo_replay(unit: Unit, job_id: bytes, operation_id: bytes) -> bool:
    """Put a job back among the dead letters; False if it has started since its replay."""
    tx = unit.tx
    key = {"operation_id": operation_id, "id": job_id}
    found, places = tx.rows("replay_row", **key), tx.rows("job_place", id=job_id)
    if tx.repeated and not found and job_id in unit.written:
        return True  # the first run was committed, and its reply was lost
    if not found or not places:
        return False
    lease, attempt, state, reason, detail = found[0]
    queue_id, priority_order, _, unique_key, dependent_id, workflow_id, flags = places[0]
    if workflow_id is not None:  # before the rows of its jobs, as all do
        locks = WorkflowLocks(unit)
        locks.load(locks.with_trees([workflow_id], is_whole=True), exclusive=True)
    row = _unstarted(unit, job_id, queue_id, priority_order, lease)
    if row is None:
        return False
    tx.run("replay_delete", **key)
    unit.written[job_id] = lease
    if state is None:
        unit.insert("parked_insert", [parked_row((*row[:5], attempt), reason, detail)])
        return True
    ended = UnstartedRow(job_id, attempt, lease, state, reason)
    unit.insert("done_insert_unstarted", [ended])
    links = (job_id, dependent_id, unique_key, workflow_id, flags)
    end_jobs(unit, [JobEnd.of(links, DependencyOutcome.FAILED, is_own=True)])
    return True


def _unstarted(
    unit: Unit, job_id: bytes, queue_id: int, priority_order: int, lease: int
) -> Row | None:
    """Take the row of a job that has not been claimed since it got this lease number."""
    place = job_id, queue_id, priority_order
    for table in ("scheduled", "ready"):
        row = take_row(unit.tx, table, *place, drop=False)
        if row is not None and row[4] == lease:
            return take_row(unit.tx, table, *place)
    return None
