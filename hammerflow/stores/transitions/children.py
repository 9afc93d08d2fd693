"""Children: what a job has spawned, and what replaces it, in the transaction that ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed, NewJob
from hammerflow.jobs.outcome import Completed, Outcome, Replaced, Spawned
from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.transitions.dependents import DependencyResolver
from hammerflow.stores.transitions.insert import insert_children, insert_workflows
from hammerflow.stores.transitions.late_dependencies import attach_jobs, count_ended

__all__ = ["add_children", "flows_of", "write_children"]


def flows_of(ids: Iterable[bytes | None]) -> set[bytes]:
    """The workflows among these."""
    return {workflow_id for workflow_id in ids if workflow_id is not None}


def write_children(
    database: Database,
    tx: Tx,
    release: DependencyResolver,
    mine: Sequence[tuple[Claimed, Outcome]],
    result: Settlement,
) -> set[bytes]:
    """Insert what completed jobs have spawned, and what replaces those that were replaced.

    Returns:
        The jobs whose dependents wait for their children, too.
    """
    grafted: set[bytes] = set()
    for job, outcome in mine:
        if type(outcome) is Completed and outcome.spawned is not None:
            spawned = outcome.spawned
            if spawned.wait_for_children and spawned.spawned and not _is_halted(release, job):
                grafted.add(job.id)
                tx.many("barriers_insert", [(job.id, spawned.ends, 0)])
            _open_children(tx, release, job, spawned)
            add_children(database, tx, release, spawned.children, Counter(), result)
        elif type(outcome) is Replaced:
            _replace(database, tx, release, job, outcome, result)
    return grafted


def _open_children(tx: Tx, release: DependencyResolver, job: Claimed, spawned: Spawned) -> None:
    """Workflows among the children, and the hold on the end of the parent's workflow."""
    if spawned.workflows:
        insert_workflows(tx, spawned.workflows)
    waits = job.workflow_id is not None and spawned.ends and not spawned.wait_for_children
    if waits and not _is_halted(release, job):
        tx.run("barriers_count", ids=[job.workflow_id], n=-spawned.ends, bad=0)


def _is_halted(release: DependencyResolver, job: Claimed) -> bool:
    """Whether nothing starts any more in the job's workflow: its children are cancelled."""
    return job.workflow_id is not None and release.flows[job.workflow_id].state.is_halted


def add_children(
    database: Database,
    tx: Tx,
    release: DependencyResolver,
    children: Sequence[NewJob],
    left_out: Counter[bytes | None],
    result: Settlement,
) -> None:
    """Insert a chunk of children, and let those go whose dependencies have ended already."""
    if not children:
        return
    before = Counter(left_out)
    children, ended = attach_jobs(tx, children)
    result.queues |= insert_children(database, tx, children, left_out)
    count_ended(tx, release, ended)
    barriers = {c.workflow_id for c in children} | {c.parent_id for c in children}
    release.count_down({
        id_: left_out[id_] - before[id_] for id_ in barriers if id_ and left_out[id_] > before[id_]
    })  # fmt: skip
    for workflow_id in sorted(flows_of(child.workflow_id for child in children)):
        release.flows.load([workflow_id])
        if release.flows[
            workflow_id
        ].state.is_halted:  # the spawner ran on: its children do not start
            release.sweep(workflow_id)


def _replace(
    database: Database,
    tx: Tx,
    release: DependencyResolver,
    job: Claimed,
    outcome: Replaced,
    result: Settlement,
) -> None:
    """The job goes on as another call; whoever waits for it waits on."""
    (*children, call), ended = attach_jobs(tx, [*outcome.children, outcome.call])
    tx.run(
        "job_replace", id=job.id, task_id=name_id(call.task), queue_id=name_id(call.queue),
        args=call.args, options=call.options,
    )  # fmt: skip
    note = f"replaced by {call.task}"
    tx.many("errors_insert", [(job.id, job.lease, "replaced", job.attempt, "", note, "")])
    if outcome.workflows:
        insert_workflows(tx, outcome.workflows)
    place = (name_id(call.queue), 4 - job.priority)
    task_id = name_id(call.task)
    eta = database.dialect.time(call.eta)
    if call.flags:
        tx.run("job_mark_edges", id=job.id)
    if call.pending:
        tx.many(
            "waiting_insert",
            [
                (
                    job.id, call.pending, 0, 0, call.pending, call.rule, job.lease, call.delay, eta,
                    *place, task_id, job.workflow_id, None,
                )
            ],
        )  # fmt: skip
        edges = [(parent_id, job.id, kind) for parent_id, kind in call.after or ()]
        if edges:
            tx.many("edges_insert", edges)
    elif call.delay or eta is not None:
        row = (eta, call.delay, job.id, *place, task_id, job.lease, 0, "delay")
        tx.many("scheduled_insert", [row])
    else:
        tx.many("ready_insert", [(*place, job.id, task_id, job.lease, 0)])
        result.queues.add(call.queue)
    if children:
        result.queues |= insert_children(database, tx, children, Counter())
    count_ended(tx, release, ended)
