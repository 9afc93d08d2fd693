"""Children: what a job has spawned, and what replaces it, in the transaction that ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed, NewJob, RowFlags
from hammerflow.jobs.limit import order_of
from hammerflow.jobs.outcome import Completed, Outcome, Replaced, Spawned
from hammerflow.stores.rows import BarrierRow, ErrorRow, ReadyRow, WaitingRow, scheduled_row
from hammerflow.stores.transitions.dependents import DependencyResolver
from hammerflow.stores.transitions.insert import LeftOut, insert_children, insert_workflows
from hammerflow.stores.transitions.late_dependencies import attach_jobs, count_ended
from hammerflow.stores.transitions.unit import Unit

__all__ = ["add_children", "write_children"]


def write_children(
    unit: Unit, resolver: DependencyResolver, mine: Sequence[tuple[Claimed, Outcome]]
) -> set[bytes]:
    """Insert what completed jobs have spawned, and what replaces those that were replaced.

    Returns:
        The spawners whose dependents wait for their children, too: the ends of these are resolved
        by the last of the children.
    """
    waits_for_children: set[bytes] = set()
    for job, outcome in mine:
        if type(outcome) is Completed and outcome.spawned is not None:
            spawned = outcome.spawned
            is_halted = resolver.is_halted(job.workflow_id)  # then the children are cancelled
            if spawned.wait_for_children and spawned.spawned and not is_halted:
                waits_for_children.add(job.id)
                unit.insert("barriers_insert", [BarrierRow(job.id, spawned.ends)])
            if spawned.workflows:
                insert_workflows(unit, spawned.workflows)
            if not is_halted:
                _hold_workflow(resolver, job, spawned)
            add_children(unit, resolver, spawned.children, LeftOut(job.lease))
        elif type(outcome) is Replaced:
            _replace(unit, resolver, job, outcome)
    return waits_for_children


def _hold_workflow(resolver: DependencyResolver, job: Claimed, spawned: Spawned) -> None:
    """The workflow of the spawner waits for those children that nothing else waits for."""
    if job.workflow_id is not None and spawned.ends and not spawned.wait_for_children:
        resolver.raise_barrier(job.workflow_id, spawned.ends)


def add_children(
    unit: Unit,
    resolver: DependencyResolver,
    children: Sequence[NewJob],
    left_out: LeftOut,
) -> None:
    """Insert a chunk of children, and start those whose dependencies have ended already.

    ``left_out`` is that of :func:`insert_children`.
    """
    if not children:
        return
    before = Counter(left_out.counts)
    children, ended = attach_jobs(unit, [left_out.known(child) for child in children])
    insert_children(unit, children, left_out)
    count_ended(unit, resolver, ended)
    barriers = {c.workflow_id for c in children} | {c.parent_id for c in children}
    resolver.lower_barriers({
        id_: more
        for id_ in barriers
        if id_ and (more := left_out.counts[id_] - before[id_]) > 0
    })  # fmt: skip
    workflow_ids = {c.workflow_id for c in children if c.workflow_id is not None}
    for workflow_id in sorted(workflow_ids):
        resolver.workflows.load([workflow_id])
        if resolver.is_halted(workflow_id):  # it was halted while the spawner ran
            resolver.cancel_late_members(workflow_id)


def _replace(unit: Unit, resolver: DependencyResolver, job: Claimed, outcome: Replaced) -> None:
    """Continue the job as another call under its id, so that its dependents keep waiting for it."""
    tx = unit.tx
    call = outcome.call._replace(id=job.id, priority=job.priority, workflow_id=job.workflow_id)
    (*children, call), ended = attach_jobs(unit, [*outcome.children, call])
    tx.run(
        "job_replace", id=job.id, task_id=name_id(call.task), queue_id=name_id(call.queue),
        args=call.args, options=call.options,
        flags=0 if call.limit_id is None else RowFlags.LIMITED,
        lane=None if call.limit_id is None else order_of(call), limit_key=call.limit_key,
        fair_key=call.fair_key,
    )  # fmt: skip
    note = ErrorRow(job.id, job.lease, "replaced", job.attempt, "", f"replaced by {call.task}", "")
    unit.insert("errors_insert", [note])
    if outcome.workflows:
        insert_workflows(unit, outcome.workflows)
    if call.flags:
        tx.run("job_mark_edges", id=job.id)
    left_out = LeftOut(job.lease)
    if children:
        insert_children(unit, children, left_out)
    _place_call(unit, left_out.without(call), job.lease)
    count_ended(unit, resolver, ended)


def _place_call(unit: Unit, call: NewJob, lease: int) -> None:
    """Insert the row of the replaced job's next state."""
    ready = ReadyRow.of(call, lease)
    eta = unit.database.dialect.time(call.eta)
    if call.pending:
        unit.insert("waiting_insert", [WaitingRow.of(ready, call, eta)])
        edges = [(parent_id, call.id, kind) for parent_id, kind in call.after or ()]
        unit.insert("edges_insert", edges)
    elif call.delay or eta is not None:
        unit.insert("scheduled_insert", [scheduled_row(ready, "delay", call.delay, eta)])
    else:
        unit.insert("ready_insert_later", [ready])
        unit.settlement.queues.add(call.queue)
