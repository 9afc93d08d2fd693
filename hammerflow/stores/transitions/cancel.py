"""Cancel: a person stops one job, inside a transaction."""

from __future__ import annotations

import uuid

from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import FINAL_CODES, FINAL_STATES, JobState
from hammerflow.jobs.status import FailurePolicy
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import Row, UnstartedRow
from hammerflow.stores.transitions.ends import DependencyOutcome, JobEnd
from hammerflow.stores.transitions.rerun import tie_dangling
from hammerflow.stores.transitions.settle import end_jobs
from hammerflow.stores.transitions.unit import Unit
from hammerflow.stores.transitions.workflow_locks import WorkflowLocks
from hammerflow.text import storable

__all__ = ["StartedMeanwhile", "cancel_job", "take_row"]

_CANCELLED = FINAL_CODES[JobState.CANCELLED]
#: Tables of jobs that have not started, in the order in which jobs move on.
_TABLES = ("waiting", "parked", "scheduled", "ready")
#: A job that moves backwards while it is searched for is found in a later round.
_ROUNDS = 100


class StartedMeanwhile(Exception):
    """The job has started since it was looked for, and another transaction has its lease."""


def cancel_job(unit: Unit, job_id: bytes, reason: str) -> JobState | None:
    """Cancel a job that has not started, or ask the worker that runs it to stop it.

    The lease is marked before the workflow is locked, as a settle locks them in this order. Where
    the job has started since, and its lease is locked, nothing is done yet.

    Returns:
        CANCELLED where it had not started; RUNNING where its worker was asked; else the final
        state it has already; None for an unknown id.

    Raises:
        StartedMeanwhile: it is to be called again in another transaction.
    """
    tx = unit.tx
    place = tx.rows("job_place", id=job_id)
    if not place:
        return None
    reason = storable(reason)
    queue_id, priority_order, _, unique_key, dependent_id, workflow_id, flags = place[0]
    is_followed = False
    if tx.run("leases_cancel", id=job_id, reason=reason):
        return JobState.RUNNING
    if workflow_id is not None:
        is_followed = _continues(unit, workflow_id)
    for _ in range(_ROUNDS):
        for table in _TABLES:
            row = take_row(tx, table, job_id, queue_id, priority_order)
            if row is None:
                continue
            done = UnstartedRow(job_id, row[5], row[4], _CANCELLED, reason)
            unit.insert("done_insert_unstarted", [done])
            if table == "waiting" and is_followed:
                tie_dangling(unit, workflow_id)
            links = (job_id, dependent_id, unique_key, workflow_id, flags)
            end_jobs(unit, [JobEnd.of(links, DependencyOutcome.FAILED, is_own=True)])
            return JobState.CANCELLED
        if tx.rows("leases_free", ids=[job_id]):
            tx.run("leases_cancel", id=job_id, reason=reason)
            return JobState.RUNNING
        if tx.rows("lease_of", id=job_id):
            raise StartedMeanwhile
        ended = tx.rows("take_done", id=job_id)
        if ended:
            return FINAL_STATES[ended[0][0]]
    raise HammerflowError(
        f"job {uuid.UUID(bytes=job_id)} changed its state {_ROUNDS} times while it was being "
        "cancelled; try again"
    )


def take_row(
    tx: Tx, table: str, job_id: bytes, queue_id: int, priority_order: int, *, drop: bool = True
) -> Row | None:
    """Lock and delete a job's row in one table of unfinished jobs; it comes as a row of ready."""
    values: dict[str, object] = {"id": job_id}
    if table == "ready":
        values |= {"queue_id": queue_id, "priority_order": priority_order}
    rows = tx.rows(f"take_{table}", **values)
    if not rows:
        return None
    return rows[0] if not drop or tx.run(f"drop_{table}", **values) else None


def _continues(unit: Unit, workflow_id: bytes) -> bool:
    """Lock a workflow, with what its failure may halt; whether it goes on after a failure."""
    locks = WorkflowLocks(unit)
    locks.load(locks.with_trees([workflow_id], is_whole=True), exclusive=True)
    return locks[workflow_id].policy is FailurePolicy.CONTINUE_ON_FAILURE
