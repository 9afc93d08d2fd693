"""Move: a job that has not started goes to another queue, or gets another priority."""

from __future__ import annotations

import uuid

from hammerflow.errors import HammerflowError
from hammerflow.ids import name_id
from hammerflow.jobs.job import Priority
from hammerflow.stores.rows import ErrorRow, ReadyRow, Row
from hammerflow.stores.transitions.cancel import place_of, take_row
from hammerflow.stores.transitions.unit import Unit
from hammerflow.text import storable

__all__ = ["move_job"]

_LAST_ORDER = 4  # of jobs outside lanes
#: Tables of jobs that wait for something; a row changes its place there.
_WAITING = ("scheduled", "waiting", "parked")


def move_job(
    unit: Unit, job_id: bytes, queue: str | None, priority: Priority | None, by: str
) -> None:
    """Change the queue or priority of a job that is ready, scheduled, waiting or parked.

    Args:
        queue: its name must be in the table; None leaves the job where it is.

    Raises:
        JobNotFound: no job has this id.
        HammerflowError: it is in another state, or has a limit or a fairness key.
    """
    tx, name = unit.tx, uuid.UUID(bytes=job_id)
    old = tuple(place_of(tx, job_id)[:2])
    if old[1] > _LAST_ORDER:
        raise HammerflowError(
            f"job {name} has a limit or takes turns with others, so it keeps its queue and "
            "priority: cancel it, and enqueue it again"
        )
    new = (
        old[0] if queue is None else name_id(queue),
        old[1] if priority is None else _LAST_ORDER - priority,
    )
    row = _moved(unit, job_id, old, new)
    if row is None:
        raise HammerflowError(f"job {name} is running or has ended, so it cannot be moved")
    tx.run("job_move", id=job_id, queue_id=new[0], priority=_LAST_ORDER - new[1])
    lease, attempt = row[4:6]
    if not any(kind == "edited" and at == lease for kind, at in tx.rows("error_kinds", id=job_id)):
        label = Priority(_LAST_ORDER - new[1]).name.lower()
        note = storable(f"moved to queue {unit.names.queue(new[0])}, priority {label}, by {by}")
        unit.insert("errors_insert", [ErrorRow(job_id, lease, "edited", attempt, "", note, "")])


def _moved(unit: Unit, job_id: bytes, old: tuple[int, int], new: tuple[int, int]) -> Row | None:
    """The row of the job, from its new place; None if it is in no table of those that wait."""
    ready = take_row(unit.tx, "ready", job_id, *old)
    if ready is not None:
        unit.make_ready([ReadyRow(job_id, *new, *ready[3:6])])
        return ready
    place = {"id": job_id, "queue_id": new[0], "priority_order": new[1]}
    for table in _WAITING:
        row = take_row(unit.tx, table, job_id, *old, drop=False)
        if row is not None and unit.tx.run(f"move_{table}", **place):
            return row
    return None
