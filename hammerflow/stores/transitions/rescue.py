"""Rescue: leases taken back from workers that are dead, or do not know that they hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hammerflow.jobs.job import RowFlags
from hammerflow.jobs.outcome import Failure
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import ErrorRow, LeaseRow, Row, cancelled_row, parked_row
from hammerflow.stores.transitions.ends import DependencyOutcome, JobEnd
from hammerflow.stores.transitions.settle import end_jobs, mark_suspects
from hammerflow.stores.transitions.unit import Unit

__all__ = ["Rescued", "release_unheld", "rescue_leases"]

#: Leases read in one transaction; a worker holds far fewer.
_LEASES = 20_000
_GONE = Failure("lost", "WorkerLost", "the worker that held the lease went silent", "")


class Rescued(NamedTuple):
    """How many leases of a dead worker were taken over, and how many of their jobs were parked."""

    leases: int
    parked: int


def release_unheld(unit: Unit, worker_id: int, held: set[bytes]) -> int:
    """Release a worker's leases that it does not know of; cancel the jobs that were asked to stop.

    Their bodies never started: the reply to the claim was lost.

    Args:
        held: ids of the jobs that the worker knows.
    """
    unheld = [row for row in _leases(unit.tx, worker_id, _LEASES) if row.job_id not in held]
    if not unheld:
        return 0
    unit.tx.run("leases_delete", worker_id=worker_id, ids=[row.job_id for row in unheld])
    stopped, back = [], []
    for row in unheld:
        if row.cancel is None:
            back.append((*row[:5], row.attempt - 1))
        else:
            stopped.append(cancelled_row(row._replace(started_at=None), worker_id, row.cancel))
    _end_cancelled(unit, stopped)
    unit.insert("ready_insert", back)
    return len(unheld)


def rescue_leases(
    unit: Unit, worker_id: int, limit: int, poison_limit: int, *, is_rest: bool = False
) -> Rescued:
    """Take over a dead worker's leases: its jobs go back to ready, are parked, or end.

    Its death is held against the only job that it had, or else against the worker suspect that it
    ran: :class:`Suspects <hammerflow.worker.supervisor.suspects.Suspects>` has one at a time run,
    in the order of their claims. Of other jobs it is not known which was at fault. A first attempt
    is lost all the same, for it may be the only one that the job may have; later ones are given
    back. At the death that would park a job it becomes a worker suspect instead.

    Rows that another supervisor has locked are skipped.

    Args:
        is_rest: others of its leases were taken over before, and one of them may be at fault.
    """
    leases = _leases(unit.tx, worker_id, limit)
    if not leases:
        return Rescued(0, 0)
    ids = [row.job_id for row in leases]
    links = unit.tx.rows("ended_links", ids=ids)
    guilty = None if is_rest else _guilty(leases, {link[0]: link[4] for link in links})
    losses: dict[bytes, int] = dict(unit.tx.rows("losses", ids=ids))
    deaths: dict[bytes, int] = dict(unit.tx.rows("deaths", ids=ids))
    unit.tx.run("leases_delete", worker_id=worker_id, ids=ids)
    halted = _in_halted_workflows(unit.tx, links)
    ready, parked, cancelled, errors, suspects = [], [], [], [], []
    for row in leases:
        kind, text = "lost", _GONE.message
        if row.cancel is not None or row.job_id in halted:
            reason = row.cancel or "its workflow was ended"
            cancelled.append(cancelled_row(row, worker_id, reason))
        elif row.job_id != guilty:
            if row.attempt > 1:
                kind, text = "suspected", f"{text}; it held other jobs, too: this is not charged"
            if deaths.get(row.job_id, 0) + 1 >= poison_limit:
                suspects.append(row.job_id)
            ready.append((*row[:5], row.attempt - (row.attempt > 1)))
        elif losses.get(row.job_id, 0) + 1 >= poison_limit:
            parked.append(parked_row(row[:6], "poison", text))
        else:
            ready.append(row[:6])
        told = kind, row.attempt, _GONE.type, text, ""
        errors.append(ErrorRow(row.job_id, row.lease, *told, row.started_at, worker_id))
    unit.insert("errors_insert", errors)
    _end_cancelled(unit, cancelled)
    mark_suspects(unit.tx, suspects, RowFlags.WORKER_SUSPECT)
    unit.insert("parked_insert", parked)
    unit.make_ready(ready)
    return Rescued(len(leases), len(parked))


def _guilty(leases: Sequence[LeaseRow], flags: Mapping[bytes, int]) -> bytes | None:
    """The job at fault for the death of the worker that held these leases, if that is known."""
    if len(leases) == 1:
        return leases[0].job_id
    suspects = [row for row in leases if flags.get(row.job_id, 0) & RowFlags.WORKER_SUSPECT]
    if not suspects:
        return None
    return min(suspects, key=lambda row: (row.started_at, row.priority_order, row.job_id)).job_id


def _leases(tx: Tx, worker_id: int, limit: int) -> Sequence[LeaseRow]:
    return [LeaseRow._make(row) for row in tx.rows("worker_leases", worker_id=worker_id, n=limit)]


def _end_cancelled(unit: Unit, done: Sequence[Row]) -> None:
    """Write ends, and what follows from them."""
    if done:
        unit.insert("done_insert", done)
        links = unit.tx.rows("ended_links", ids=[row[0] for row in done])
        end_jobs(unit, [JobEnd.of(link, DependencyOutcome.FAILED, is_own=True) for link in links])


def _in_halted_workflows(tx: Tx, links: Sequence[Row]) -> set[bytes]:
    """Those of the jobs that are members of workflows in which nothing starts any more."""
    workflow_of = {link[0]: link[3] for link in links if link[3] is not None}
    if not workflow_of:
        return set()
    rows = tx.rows("workflows_share", ids=sorted(set(workflow_of.values())))
    halted = {workflow_id for workflow_id, state, *_ in rows if WorkflowState(state).is_halted}
    return {job_id for job_id, workflow_id in workflow_of.items() if workflow_id in halted}
