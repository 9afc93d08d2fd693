"""Edit: other arguments for a job that has not started or did not complete, and the keys that these
arguments make."""

from __future__ import annotations

import uuid

from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import FINAL_STATES, JobState, NewJob
from hammerflow.jobs.limit import key_id, order_of, order_of_lane
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import ErrorRow
from hammerflow.stores.transitions.cancel import place_of, take_row
from hammerflow.stores.transitions.unique import retake_keys
from hammerflow.stores.transitions.unit import Unit
from hammerflow.text import storable

__all__ = ["edit_job"]

#: Tables of jobs whose arguments nobody reads now, and whose rows an edit locks.
_EDITABLE = ("waiting", "parked", "scheduled")


def edit_job(unit: Unit, job_id: bytes, call: NewJob, before: NewJob | None, by: str) -> list[str]:
    """Write other arguments of a job that is waiting, scheduled or parked, or ended without
    success.

    Args:
        call: a new call with these arguments.
        before: one with the arguments that the job has; None if it cannot be made.

    Returns:
        The names of the keys that stay as they are, because nobody knows how they were made.

    Raises:
        JobNotFound: no job has this id.
        HammerflowError: it is in another state, or another job holds its new unique key.
    """
    tx, name = unit.tx, uuid.UUID(bytes=job_id)
    place = place_of(tx, job_id)
    held = {table: take_row(tx, table, job_id, *place[:2], drop=False) for table in _EDITABLE}
    table, row = next(((table, row) for table, row in held.items() if row), ("", None))
    if row is not None:
        lease, attempt = row[4:6]
    else:
        done = tx.rows("take_done", id=job_id)
        if not done:
            raise HammerflowError(f"job {name} is ready or running, so it cannot be edited now")
        state, lease, attempt = done[0]
        if FINAL_STATES[state] is JobState.COMPLETED:
            raise HammerflowError(f"job {name} has completed, so it cannot be edited")
    kept = _change_unique_key(tx, job_id, place[3], call, before)
    kept += _change_lane(tx, job_id, table, call, before)
    tx.run("job_edit", id=job_id, args=call.args)
    if not any(kind == "edited" and at == lease for kind, at in tx.rows("error_kinds", id=job_id)):
        note = storable(f"arguments edited by {by}")
        unit.insert("errors_insert", [ErrorRow(job_id, lease, "edited", attempt, "", note, "")])
    return kept


def _change_unique_key(
    tx: Tx, job_id: bytes, key: str | None, call: NewJob, before: NewJob | None
) -> list[str]:
    """Give a job the unique key that its task's rule makes of its new arguments, for the time that
    is left of the old one's."""
    if key == call.unique_key:
        return []
    if before is None or key != before.unique_key or key is None or call.unique_key is None:
        return ["unique"] if key is not None else []
    names = {"id": job_id, "key": call.unique_key}
    if any(holder == job_id for _, holder in tx.rows("unique_holders", ukeys=[key])):
        retake_keys(tx, [(call.unique_key, job_id)])
        tx.run("unique_release", ukeys=[call.unique_key], ids=[job_id])
        tx.run("unique_rename", old=key, **names)
    tx.run("job_set_key", **names)
    return []


def _change_lane(
    tx: Tx, job_id: bytes, table: str, call: NewJob, before: NewJob | None
) -> list[str]:
    """Move a job to the lane of the keys that its new arguments make.

    Args:
        table: that holds its row; empty if it has ended.
    """
    lane, task_id, limit_key, fair_key = tx.rows("job_keys", id=job_id)[0]
    if lane is None or call.limit_id is None:
        return []
    ranked = call._replace(priority=4 - order_of_lane(lane))
    stored = {"limit_id": key_id(task_id, limit_key or ""), "fair_key": fair_key}
    new = order_of(ranked)
    if lane == new or lane != order_of(ranked._replace(**stored)):  # else that of a batch
        return []
    known = None if before is None else (before.limit_key or "", before.fair_key)
    if known != (limit_key or "", fair_key):
        return [name for name, key in (("limit_key", limit_key), ("fair_by", fair_key)) if key]
    keys = {"limit_key": call.limit_key, "fair_key": call.fair_key}
    tx.run("job_set_lane", id=job_id, lane=new, **keys)
    if table:
        queue_id = tx.rows("job_place", id=job_id)[0][0]
        tx.run(f"move_{table}", id=job_id, queue_id=queue_id, priority_order=new)
    return []
