"""Attach: dependencies on jobs and workflows that are there already, whatever they are doing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.jobs.job import DEPENDENCY, NewJob
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.dependents import BAD, DONE, IDLE, DependencyResolver, verdict_of

__all__ = ["EndedDependencies", "attach_jobs", "count_ended"]

#: A job that moves while it is looked for is met in the next round.
_ROUNDS = 100


class EndedDependencies(NamedTuple):
    """Of a new job: dependencies that have ended before it came."""

    job_id: bytes
    n: int
    bad: int
    idle: int
    cause: bytes | None


def attach_jobs(tx: Tx, jobs: Sequence[NewJob]) -> tuple[Sequence[NewJob], list[EndedDependencies]]:
    """Make new jobs wait for existing ones, whose ends are followed from now on.

    Returns:
        The jobs with their edges; and what to count once they are inserted.

    Raises:
        JobNotFound: there is no such job or workflow.
    """
    if not any(job.depends for job in jobs):
        return jobs, []
    wanted = {id_ for job in jobs for id_ in job.depends or ()}
    verdicts = {id_: _watch(tx, id_) for id_ in sorted(wanted)}
    attached: list[NewJob] = []
    ended: list[EndedDependencies] = []
    for job in jobs:
        depends = [*dict.fromkeys(job.depends or ())]
        attached.append(
            job._replace(
                after=[*(job.after or ()), *((id_, DEPENDENCY) for id_ in depends)],
                depends=None,
                pending=(job.pending or 0) + len(depends),
            )
            if depends
            else job
        )
        over = [(id_, verdicts[id_]) for id_ in depends if verdicts[id_] is not None]
        if over:
            bad = [id_ for id_, verdict in over if verdict == BAD]
            idle = sum(verdict == IDLE for _, verdict in over)
            ended.append(
                EndedDependencies(job.id, len(over), len(bad), idle, bad[0] if bad else None)
            )
    return attached, ended


def count_ended(tx: Tx, release: DependencyResolver, ended: Sequence[EndedDependencies]) -> None:
    """Count what :func:`attach_jobs` has found ended; let those go that wait for nothing more."""
    for job_id, n, bad, idle, cause in ended:
        tx.run("waiting_count", n=n, bad=bad, skipped=idle, cause=cause, ids=[job_id])
    if ended:
        release.after(release.free_held([item.job_id for item in ended]))


def _watch(tx: Tx, id_: bytes) -> int | None:
    """Mark a job or workflow, so that its end looks for edges; how it counts if it has ended."""
    place = tx.rows("job_place", id=id_)
    if not place:
        return _watch_workflow(tx, id_)
    queue_id, priority_order = place[0][:2]
    tx.run("job_mark_edges", id=id_)
    for _ in range(_ROUNDS):
        if any(tx.rows(f"take_{table}", id=id_) for table in ("waiting", "parked", "scheduled")):
            return None
        spot = {"id": id_, "queue_id": queue_id, "priority_order": priority_order}
        ready = tx.rows("take_ready", **spot)
        if ready:  # written anew: a claim whose snapshot is older than the mark cannot take it
            tx.run("drop_ready", **spot)
            _, _, task_id, lease, attempt = ready[0]
            tx.many("ready_insert", [(queue_id, priority_order, id_, task_id, lease, attempt)])
            return None
        if tx.run("lease_mark_edges", id=id_):
            return None
        done = tx.rows("done_outcome", id=id_)
        if done:
            if tx.rows("barriers_lock", ids=[id_]):
                return None  # a spawner whose children are waited for
            return verdict_of(id_, *done[0])
    raise HammerflowError(
        f"job {uuid.UUID(bytes=id_)} kept moving while another was to wait for it; try again"
    )


def _watch_workflow(tx: Tx, id_: bytes) -> int | None:
    found = tx.rows("workflows_lock", ids=[id_])
    if not found:
        raise JobNotFound(
            f"a dependency does not exist: no job or workflow has the id {uuid.UUID(bytes=id_)}"
        )
    tx.run("workflow_mark_edges", id=id_)
    state = WorkflowState(found[0][1])
    if state <= WorkflowState.CANCELLING:
        return None
    return DONE if state is WorkflowState.COMPLETED else BAD
