"""Cancel: a person stops jobs, inside a transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.jobs.job import FINAL_CODES, FINAL_STATES, JobState
from hammerflow.jobs.status import FailurePolicy
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import Row, UnstartedRow
from hammerflow.stores.transitions.ends import DependencyOutcome, JobEnd
from hammerflow.stores.transitions.rerun import tie_dangling
from hammerflow.stores.transitions.settle import end_jobs
from hammerflow.stores.transitions.unit import Unit
from hammerflow.stores.transitions.workflow_locks import WorkflowLocks, take_rows
from hammerflow.text import storable

__all__ = ["Answers", "cancel_jobs", "place_of", "take_row"]

_CANCELLED = FINAL_CODES[JobState.CANCELLED]
#: A job that moves backwards while it is searched for is found in a later round.
_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Answers:
    """What a cancel found.

    Attributes:
        told: CANCELLED for each job that had not started; RUNNING where its worker was asked; else
            the final state that it had. Unknown ids are left out.
        passed: jobs that have started meanwhile, and whose lease another transaction has locked:
            nothing was done for them, they are to be cancelled again in another transaction.
    """

    told: dict[bytes, JobState] = field(default_factory=dict)
    passed: set[bytes] = field(default_factory=set)


def cancel_jobs(unit: Unit, job_ids: Iterable[bytes], reason: str) -> Answers:
    """Cancel jobs that have not started, and ask the workers that run others to stop them.

    The leases are marked before the workflows are locked, as a settle locks them in this order.
    All of these jobs leave their tables before anything follows from it, so that none of them is
    started because another one has ended.
    """
    tx, reason, answers = unit.tx, storable(reason), Answers()
    links = {row[0]: row for row in tx.rows("ended_links", ids=sorted(job_ids))}
    left = set(links)
    _ask(tx, "leases_of_jobs", left, reason, answers)
    followed = _lock_workflows(unit, {links[id_][3] for id_ in left} - {None})
    for _ in range(_ROUNDS):
        if not left:
            return answers
        taken = _cancel_unstarted(unit, left, links, followed, reason)
        answers.told.update(dict.fromkeys(taken, JobState.CANCELLED))
        left -= taken
        _ask(tx, "leases_free", left, reason, answers)
        if left:
            answers.passed.update(row[0] for row in tx.rows("leases_existing", ids=sorted(left)))
            left -= answers.passed
        for job_id, state, _ in tx.rows("outcomes_of", ids=sorted(left)) if left else ():
            answers.told[job_id] = FINAL_STATES[state]
            left.discard(job_id)
    raise HammerflowError(
        f"job {uuid.UUID(bytes=min(left))} changed its state {_ROUNDS} times while it was being "
        "cancelled; try again"
    )


def _ask(tx: Tx, statement: str, left: set[bytes], reason: str, answers: Answers) -> None:
    """Mark the leases that a statement locks; their jobs leave ``left``."""
    running = [row[0] for row in tx.rows(statement, ids=sorted(left))] if left else []
    for job_id in running:
        tx.run("leases_cancel", id=job_id, reason=reason)
        answers.told[job_id] = JobState.RUNNING
    left.difference_update(running)


def _cancel_unstarted(
    unit: Unit, job_ids: set[bytes], links: Mapping[bytes, Row], followed: set[bytes], reason: str
) -> set[bytes]:
    """End those of these jobs that have not started; which these are.

    Args:
        links: rows of ``ended_links``.
        followed: the workflows that go on after a failure.
    """
    taken: list[UnstartedRow] = []
    tied: set[bytes] = set()
    for table, members in take_rows(unit.tx, sorted(job_ids)):
        taken += [UnstartedRow(m.job_id, m.attempt, m.lease, _CANCELLED, reason) for m in members]
        if table == "waiting":
            tied |= {links[m.job_id][3] for m in members} & followed
    if not taken:
        return set()
    unit.insert("done_insert_unstarted", taken)
    for workflow_id in sorted(tied, reverse=True):
        tie_dangling(unit, workflow_id)
    failed = DependencyOutcome.FAILED
    end_jobs(unit, [JobEnd.of(links[row.job_id], failed, is_own=True) for row in taken])
    return {row.job_id for row in taken}


def place_of(tx: Tx, job_id: bytes) -> tuple[Any, ...]:
    """Where a job belongs: (queue, order or lane, task, unique key, dependent, workflow, flags).

    Raises:
        JobNotFound: no job has this id.
    """
    rows = tx.rows("job_place", id=job_id)
    if not rows:
        raise JobNotFound(f"no job has the id {uuid.UUID(bytes=job_id)}")
    return rows[0]


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


def _lock_workflows(unit: Unit, workflow_ids: set[bytes]) -> set[bytes]:
    """Lock workflows, with what their failure may halt; those that go on after a failure."""
    if not workflow_ids:
        return set()
    locks = WorkflowLocks(unit)
    locks.load(locks.with_trees(workflow_ids, is_whole=True), exclusive=True)
    continues = FailurePolicy.CONTINUE_ON_FAILURE
    return {id_ for id_ in workflow_ids if locks[id_].policy is continues}
