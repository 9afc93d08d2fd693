"""Edit: another call, queue or priority for a job that has not started; another call for one that
ended without success, too.

A job that is ready is taken out of ``ready`` and put back. A claim reads it before, and then the
edit finds it running, or after: PostgreSQL reads arguments as they were when its statement began,
so that a row that was only locked could be claimed with the old ones.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hammerflow.errors import HammerflowError
from hammerflow.ids import name_id
from hammerflow.jobs.job import FINAL_STATES, JobState, NewJob, Priority
from hammerflow.jobs.limit import (
    fair_lane_of,
    key_id,
    key_of,
    lane_of,
    order_of,
    order_of_lane,
    queue_limit,
)
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import ErrorRow, Row
from hammerflow.stores.transitions.cancel import place_of, take_row
from hammerflow.stores.transitions.unique import retake_keys
from hammerflow.stores.transitions.unit import Unit
from hammerflow.text import storable

__all__ = ["JobChange", "edit_job"]

#: Tables of jobs that have not started, in the order in which a job goes through them.
_UNSTARTED = ("waiting", "parked", "scheduled", "ready")
_LAST_ORDER = 4  # of jobs outside lanes
#: A job that moves on while it is searched for is found in a later round.
_ROUNDS = 100


class JobChange(NamedTuple):
    """What a person changes of a job; None leaves it.

    Attributes:
        by: who.
        call: a new call with the new arguments.
        before: one with the arguments that the job has; None if it cannot be made.
        queue: its name must be in the table.
    """

    by: str
    call: NewJob | None = None
    before: NewJob | None = None
    queue: str | None = None
    priority: Priority | None = None

    @property
    def moves(self) -> bool:
        """Whether it changes the place of the job."""
        return self.queue is not None or self.priority is not None


class _JobPlace(NamedTuple):
    """Where a job is ready, and the keys that make its lane."""

    queue_id: int
    priority: int
    lane: int | None
    limit_key: str | None
    fair_key: str | None

    @property
    def order(self) -> int:
        return _LAST_ORDER - self.priority if self.lane is None else self.lane


def edit_job(unit: Unit, job_id: bytes, change: JobChange) -> list[str]:
    """Change a job that is ready, scheduled, waiting or parked; or the arguments of one that ended
    without success.

    Returns:
        The names of the keys that stay as they are, because nobody knows how they were made.

    Raises:
        JobNotFound: no job has this id.
        HammerflowError: it is in another state, or another job holds its new unique key.
    """
    tx = unit.tx
    table, row = _locked(tx, job_id)
    lease, attempt = _check(job_id, table, row, change)
    queue_id, order, task_id, unique_key = place_of(tx, job_id)[:4]
    lane, _, limit_key, fair_key = tx.rows("job_keys", id=job_id)[0]
    priority = _LAST_ORDER - (order if lane is None else order_of_lane(lane))
    old = new = _JobPlace(queue_id, priority, lane, limit_key, fair_key)
    kept: list[str] = []
    if change.call is not None:
        kept = _change_unique_key(tx, job_id, unique_key, change.call, change.before)
        new, kept_keys = _with_keys(old, task_id, change.call, change.before)
        kept += kept_keys
        tx.run("job_edit", id=job_id, args=change.call.args)
    if change.moves:
        new = _moved(job_id, new, task_id, change)
    _put(unit, job_id, table, row, old, new)
    _note(unit, job_id, lease, attempt, _words(unit, change, new))
    return kept


def _locked(tx: Tx, job_id: bytes) -> tuple[str, Row]:
    """The row of a job, locked, and its table; of ``leases`` no row is read."""
    for _ in range(_ROUNDS):
        place = place_of(tx, job_id)[:2]
        for table in _UNSTARTED:
            row = take_row(tx, table, job_id, *place, drop=False)
            if row is not None:
                return table, row
        if done := tx.rows("take_done", id=job_id):
            return "done", done[0]
        if tx.rows("leases_existing", ids=[job_id]):
            return "leases", ()
    raise HammerflowError(
        f"job {uuid.UUID(bytes=job_id)} changed its state {_ROUNDS} times while it was being "
        "edited: try again"
    )


def _check(job_id: bytes, table: str, row: Row, change: JobChange) -> tuple[int, int]:
    """Refuse to change a job that is running or has ended; (its lease, its attempts)."""
    name, remedy = f"job {uuid.UUID(bytes=job_id)}", "enqueue it again"
    if table == "leases":
        raise HammerflowError(f"{name} is running, so it cannot be edited: cancel it, and {remedy}")
    if table != "done":
        return row[4], row[5]
    state, lease, attempt = row
    if FINAL_STATES[state] is JobState.COMPLETED:
        raise HammerflowError(f"{name} has completed, so it cannot be edited: {remedy}")
    if change.moves:
        raise HammerflowError(f"{name} has ended, so it cannot be moved: {remedy}")
    return lease, attempt


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


def _with_keys(
    place: _JobPlace, task_id: int, call: NewJob, before: NewJob | None
) -> tuple[_JobPlace, Sequence[str]]:
    """The place of a job in the lane of the keys that its new arguments make."""
    lane, limit_key, fair_key = place.lane, place.limit_key, place.fair_key
    if lane is None or call.limit_id is None:
        return place, ()
    ranked = call._replace(priority=place.priority)
    stored = ranked._replace(limit_id=key_id(task_id, limit_key or ""), fair_key=fair_key)
    new = order_of(ranked)
    if lane == new or lane != order_of(stored):  # else that of a batch
        return place, ()
    known = None if before is None else (before.limit_key or "", before.fair_key)
    if known != (limit_key or "", fair_key):
        return place, [n for n, key in (("limit_key", limit_key), ("fair_by", fair_key)) if key]
    return place._replace(lane=new, limit_key=call.limit_key, fair_key=call.fair_key), ()


def _moved(job_id: bytes, place: _JobPlace, task_id: int, change: JobChange) -> _JobPlace:
    """The place of a job in another queue or with another priority; its keys stay, but for that of
    the limit of the queue that it leaves."""
    lane, limit_key, fair_key = place.lane, place.limit_key, place.fair_key
    queue_id = place.queue_id if change.queue is None else name_id(change.queue)
    priority = place.priority if change.priority is None else change.priority
    if lane is not None and fair_key is not None:
        limit_id = key_id(task_id, limit_key or "")
        if lane != fair_lane_of(fair_key, limit_id, place.priority):
            raise HammerflowError(
                f"job {uuid.UUID(bytes=job_id)} takes turns with others by a key that is not its "
                "task's, so it keeps its queue and priority: cancel it, and enqueue it again"
            )
        lane = fair_lane_of(fair_key, limit_id, priority)
    elif lane is not None and key_of(lane) != key_id(queue_limit(place.queue_id), ""):
        lane = lane_of(key_of(lane), priority)
    elif lane is not None:  # a claim puts it into the lane of the new queue, if that has a limit
        lane = lane_of(key_of(lane), priority) if queue_id == place.queue_id else None
    return place._replace(queue_id=queue_id, priority=int(priority), lane=lane)


def _put(unit: Unit, job_id: bytes, table: str, row: Row, old: _JobPlace, new: _JobPlace) -> None:
    """Write the place of a job; what is ready becomes another row, see above."""
    tx = unit.tx
    if new != old:
        tx.run("job_set_place", id=job_id, **new._asdict())
    if table == "ready":
        at = {"id": job_id, "queue_id": old.queue_id, "priority_order": old.order}
        since = tx.rows("ready_since", **at)[0][0]
        tx.run("drop_ready", **at)
        tx.many("ready_insert_since", [(job_id, new.queue_id, new.order, *row[3:6], since)])
        unit.settlement.queues.add(unit.names.queue(new.queue_id))
    elif table != "done" and (old.queue_id, old.order) != (new.queue_id, new.order):
        tx.run(f"move_{table}", id=job_id, queue_id=new.queue_id, priority_order=new.order)


def _words(unit: Unit, change: JobChange, place: _JobPlace) -> str:
    parts = [] if change.call is None else ["arguments edited"]
    if change.moves:
        label = Priority(place.priority).name.lower()
        parts.append(f"moved to queue {unit.names.queue(place.queue_id)}, priority {label},")
    return f"{' and '.join(parts)} by {change.by}"


def _note(unit: Unit, job_id: bytes, lease: int, attempt: int, words: str) -> None:
    """Tell of an edit in the job's history, which has one line for all edits of an attempt: that of
    the last one."""
    tx, note = unit.tx, ErrorRow(job_id, lease, "edited", attempt, "", storable(words), "")
    if any(kind == "edited" and at == lease for kind, at in tx.rows("error_kinds", id=job_id)):
        tx.run("error_drop", id=job_id, lease=lease, kind="edited")
    unit.insert("errors_insert", [note])
