"""Late dependencies: new jobs that wait for jobs and workflows which are there already."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hammerflow.errors import HammerflowError, JobNotFound, WorkflowInvalid
from hammerflow.jobs.job import DEPENDENCY, NewJob, NewWorkflow
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.dependents import DependencyResolver
from hammerflow.stores.transitions.ends import DependencyOutcome, outcome_of
from hammerflow.stores.transitions.insert import insert_jobs, insert_new, insert_workflows
from hammerflow.stores.transitions.unique import take_job_keys
from hammerflow.stores.transitions.unit import Unit

__all__ = [
    "EndedDependencies", "Inserted", "MemberNotUnique", "attach_jobs", "count_ended",
    "insert_calls", "insert_whole", "mark_all",
]  # fmt: skip

#: A job that changes tables while it is searched for is found in a later round.
_ROUNDS = 100


class Inserted(NamedTuple):
    """For each job of an insert its own id or its unique key's holder's; the ids of those that were
    not there before; queues with ready work."""

    ids: list[bytes]
    new: set[bytes]
    queues: set[str]


class EndedDependencies(NamedTuple):
    """Those dependencies of a new job that had ended before it was inserted."""

    job_id: bytes
    n: int
    failed: int
    skipped: int
    cause: bytes | None


def attach_jobs(
    unit: Unit, jobs: Sequence[NewJob]
) -> tuple[Sequence[NewJob], list[EndedDependencies]]:
    """Make new jobs wait for existing ones.

    Each existing job is marked where it is, so that its end reads the edges. A new job counts all
    of its dependencies as pending; those that had ended are counted by :func:`count_ended` once the
    job is inserted, so that there is one way for a waiting job to start.

    Returns:
        The jobs with their edges, and what :func:`count_ended` is to count.

    Raises:
        JobNotFound: a dependency does not exist.
    """
    if not any(job.depends for job in jobs):
        return jobs, []
    wanted = {id_ for job in jobs for id_ in job.depends or ()}
    outcomes = mark_all(unit.tx, sorted(wanted))
    attached: list[NewJob] = []
    ended: list[EndedDependencies] = []
    for job in jobs:
        depends = [*dict.fromkeys(job.depends or ())]
        if not depends:
            attached.append(job)
            continue
        edges = [*(job.after or ()), *((id_, DEPENDENCY) for id_ in depends)]
        pending = (job.pending or 0) + len(depends)
        attached.append(job._replace(after=edges, depends=None, pending=pending))
        known = [(id_, outcome) for id_ in depends if (outcome := outcomes[id_]) is not None]
        if known:
            failed = [id_ for id_, outcome in known if outcome is DependencyOutcome.FAILED]
            skipped = sum(outcome is DependencyOutcome.SKIPPED for _, outcome in known)
            cause = failed[0] if failed else None
            ended.append(EndedDependencies(job.id, len(known), len(failed), skipped, cause))
    return attached, ended


def count_ended(
    unit: Unit, resolver: DependencyResolver, ended: Sequence[EndedDependencies]
) -> None:
    """Count what :func:`attach_jobs` has found ended; start the jobs that wait for nothing more."""
    for job_id, n, failed, skipped, cause in ended:
        unit.tx.run("waiting_count", n=n, failed=failed, skipped=skipped, cause=cause, ids=[job_id])
    if ended:
        resolver.resolve(resolver.start_unblocked([item.job_id for item in ended]))


class MemberNotUnique(WorkflowInvalid):
    """Another job holds the unique key of a member of a new workflow.

    Attributes:
        holder: its id.
    """

    holder = b""


def insert_calls(unit: Unit, jobs: Sequence[NewJob], *, check_ids: bool, refuse: bool) -> Inserted:
    """Insert jobs, which may wait for existing ones; see :func:`insert_jobs`."""
    attached, ended = attach_jobs(unit, jobs)
    ids, new = insert_jobs(unit, attached, check_ids=check_ids, refuse=refuse)
    ended = [item for item in ended if item.job_id in new]  # once for each job
    if ended:
        count_ended(unit, DependencyResolver(unit), ended)
    if unit.tx.repeated:  # those of an earlier run are this call's, too
        new |= unit.written.keys() & {job.id for job in jobs} & set(ids)
    return Inserted(ids, new, unit.settlement.queues)


def insert_whole(
    unit: Unit, workflows: Sequence[NewWorkflow], chunks: Iterable[Sequence[NewJob]]
) -> None:
    """Insert new workflows, the outermost first, and all of their jobs.

    Raises:
        WorkflowInvalid: a unique key is held by another job.
        JobNotFound: a dependency does not exist.
    """
    insert_workflows(unit, workflows)
    for chunk in chunks:
        jobs, ended = attach_jobs(unit, chunk)
        _take_keys(unit, jobs)
        insert_new(unit, jobs)
        count_ended(unit, DependencyResolver(unit), ended)
    empty = [w.id for w in workflows if w.pending == 0]
    DependencyResolver(unit).lower_barriers(dict.fromkeys(empty, 0))


def _take_keys(unit: Unit, jobs: Sequence[NewJob]) -> None:
    _, holders = take_job_keys(unit, jobs)
    members = {job.id for job in jobs}
    for job in jobs if holders else ():
        if job.id in holders:
            key = job.unique_key if job.unique is None else job.unique.text
            if holders[job.id] in members:
                raise WorkflowInvalid(
                    f"two nodes have the unique key {key!r}: a workflow's node cannot be left out"
                )
            error = MemberNotUnique(
                f"the unique key {key!r} of a node is held by job "
                f"{uuid.UUID(bytes=holders[job.id])}: a workflow's node cannot be left out"
            )
            error.holder = holders[job.id]
            raise error


def mark_all(tx: Tx, ids: Sequence[bytes]) -> dict[bytes, DependencyOutcome | None]:
    """Mark existing jobs and workflows, so that their ends read edges; the outcomes of those that
    have ended. In the order of locks: what runs, workflows, what waits or has ended."""
    outcomes: dict[bytes, DependencyOutcome | None] = {}
    if len(ids) > 1:
        for id_ in ids:
            if tx.run("lease_mark_edges", id=id_):
                tx.run("job_mark_edges", id=id_)
                outcomes[id_] = None
        jobs = {row[0] for row in tx.rows("jobs_existing", ids=ids)}
        for id_ in sorted(set(ids) - jobs, reverse=True):
            outcomes[id_] = _mark_workflow(tx, id_)
    return outcomes | {id_: _mark(tx, id_) for id_ in ids if id_ not in outcomes}


def _mark(tx: Tx, id_: bytes) -> DependencyOutcome | None:
    """Mark a job or workflow, so that its end reads edges; its outcome if it has ended.

    The mark on ``jobs`` alone is not enough: a claim reads it into the worker's copy of the job.
    A ready row is inserted again, so that a claim whose snapshot is older than the mark cannot take
    it; a lease has a mark of its own, which the settle reads.
    """
    place = tx.rows("job_place", id=id_)
    if not place or not tx.run("job_mark_edges", id=id_):  # it may have been removed just now
        return _mark_workflow(tx, id_)
    queue_id, priority_order = place[0][:2]
    for _ in range(_ROUNDS):
        if any(tx.rows(f"take_{table}", id=id_) for table in ("waiting", "parked", "scheduled")):
            return None
        key = {"id": id_, "queue_id": queue_id, "priority_order": priority_order}
        ready = tx.rows("take_ready", **key)
        if ready:
            tx.run("drop_ready", **key)
            tx.many("ready_insert", ready)
            return None
        if tx.run("lease_mark_edges", id=id_):
            return None
        done = tx.rows("done_outcome", id=id_)
        if done:
            if tx.rows("barriers_lock", ids=[id_]):
                return None  # a spawner whose children are waited for
            return outcome_of(id_, *done[0])
    raise HammerflowError(
        f"job {uuid.UUID(bytes=id_)} changed its state {_ROUNDS} times while a dependency on it "
        "was added; try again"
    )


def _mark_workflow(tx: Tx, id_: bytes) -> DependencyOutcome | None:
    found = tx.rows("workflows_lock", ids=[id_])
    if not found:
        text = "a dependency does not exist: "
        if tx.rows("archived_of", ids=[id_]):
            text = "a dependency is archived, and hammerflow archive restore brings it back: "
        raise JobNotFound(f"{text}no job or workflow has the id {uuid.UUID(bytes=id_)}")
    tx.run("workflow_mark_edges", id=id_)
    state = WorkflowState(found[0][1])
    if state <= WorkflowState.CANCELLING:
        return None
    return DependencyOutcome.good_if(state is WorkflowState.COMPLETED)
