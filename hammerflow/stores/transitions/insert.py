"""New jobs and workflows, each into the table of its first state, inside a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hammerflow.jobs.job import ORDER, NewJob, NewWorkflow
from hammerflow.stores.rows import (
    BarrierRow,
    ReadyRow,
    Row,
    WaitingRow,
    job_row,
    limited_job_row,
    node_row,
    scheduled_row,
    workflow_row,
)
from hammerflow.stores.transitions.batch_rates import write_rate
from hammerflow.stores.transitions.unique import take_job_keys
from hammerflow.stores.transitions.unit import Unit

__all__ = ["LeftOut", "insert_children", "insert_jobs", "insert_new", "insert_workflows"]


def insert_jobs(
    unit: Unit, jobs: Sequence[NewJob], *, check_ids: bool = False, refuse: bool = False
) -> tuple[list[bytes], set[bytes]]:
    """Insert jobs; with ``check_ids`` a job whose id exists, or comes twice, is left as it is.

    Args:
        refuse: raise where the rule of a unique key rejects.

    Returns:
        For each job its own id, or that of the job that holds its unique key; and the ids of those
        that this run of the transaction has inserted.

    Raises:
        NotUnique: a rule rejects a call.
    """
    ids = {job.id: job.id for job in jobs}
    new = jobs
    if check_ids or unit.tx.repeated:
        existing = {row[0] for row in unit.tx.rows("jobs_existing", ids=list(ids))}
        first = {job.id: job for job in reversed(jobs)}
        new = [job for job in jobs if job.id not in existing and first[job.id] is job]
    new, holders = take_job_keys(unit, new, refuse=refuse)
    ids.update(holders)
    insert_new(unit, new, is_dated=not check_ids)
    made = {job.id for job in new}
    unit.written.update(dict.fromkeys(made, 0))
    return [ids[job.id] for job in jobs], made


@dataclass(slots=True)
class LeftOut:
    """Children of a spawner whose unique key is taken, so that its holder does the work.

    Attributes:
        lease: under which the spawner has run.
        counts: how many there are of each fan-in, workflow or spawner that waits for them.
        before: for each of them the siblings that it would have come behind, in the order of a
            ``batch_size`` alone: who comes behind it comes behind those.
    """

    lease: int
    counts: Counter[bytes | None] = field(default_factory=Counter)
    before: dict[bytes, list[tuple[bytes, int]]] = field(default_factory=dict)

    def add(self, children: Sequence[NewJob]) -> None:
        """Note children that are not inserted."""
        self.counts.update(child.dependent_id for child in children)
        for child in children:
            edges = self._edges(child)
            self.before[child.id] = [edge for edge in edges if edge[1] == ORDER]

    def without(self, job: NewJob) -> NewJob:
        """A job that waits for none of them."""
        if job.pending is None:
            return job
        edges = self._edges(job)
        more = len(edges) - len(job.after or ())
        return job._replace(after=edges, pending=job.pending - self.counts[job.id] + more)

    def known(self, job: NewJob) -> NewJob:
        """A job that depends on none of them as on one that was inserted before."""
        if not (job.depends and self.before):
            return job
        return job._replace(depends=[id_ for id_ in job.depends if id_ not in self.before])

    def _edges(self, job: NewJob) -> list[tuple[bytes, int]]:
        found: dict[bytes, int] = {}
        for parent_id, kind in job.after or ():
            for known_id, known_kind in self.before.get(parent_id, [(parent_id, kind)]):
                found[known_id] = min(known_kind, found.get(known_id, known_kind))
        return [*found.items()]


def insert_children(unit: Unit, children: Sequence[NewJob], left_out: LeftOut) -> None:
    """Insert children of a spawner.

    A child whose unique key is taken is left out, as its holder does the work: what comes after it,
    as the fan-in does, does not wait for it.

    Args:
        left_out: those that were left out so far; updated here.
    """
    new, holders = take_job_keys(unit, children)
    if holders:
        missing = [child for child in children if child.id in holders]
        left_out.add(missing)
        for parent_id, n in Counter(child.parent_id for child in missing).items():
            unit.tx.run("spawn_left_out", id=parent_id, lease=left_out.lease, n=n)
    if left_out.before:
        new = [left_out.without(child) for child in new]
    insert_new(unit, new)


def insert_new(unit: Unit, jobs: Sequence[NewJob], *, is_dated: bool = True) -> None:
    """Insert rows for jobs that are known to be new; note the queues with ready work.

    Args:
        is_dated: their ids carry the time; those that a user gives may carry any.
    """
    ready: list[Row] = []
    scheduled: list[Row] = []
    waiting: list[Row] = []
    nodes: list[Row] = []
    edges: list[Row] = []
    time = unit.database.dialect.time
    for job in jobs:
        if job.workflow_id is not None:
            nodes.append(node_row(job.workflow_id, job))
        if job.after:
            edges += [(parent_id, job.id, kind) for parent_id, kind in job.after]
        if job.pending:
            waiting.append(WaitingRow.of(ReadyRow.of(job), job, time(job.eta)))
        elif job.delay or job.eta is not None:
            scheduled.append(scheduled_row(ReadyRow.of(job), "delay", job.delay, time(job.eta)))
        else:
            ready.append(ReadyRow.of(job))
            unit.settlement.queues.add(job.queue)
    limited = [job for job in jobs if job.limit_id is not None]
    if limited:
        unit.insert("jobs_insert_limited", [limited_job_row(job, time) for job in limited])
        jobs = [job for job in jobs if job.limit_id is None]
    unit.insert("jobs_insert", [job_row(job, time) for job in jobs])
    unit.insert("nodes_insert", nodes)
    unit.insert("edges_insert", edges)
    unit.insert("waiting_insert", waiting)
    unit.insert("scheduled_insert", scheduled)
    unit.insert("ready_insert" if is_dated else "ready_insert_later", ready)


def insert_workflows(unit: Unit, workflows: Sequence[NewWorkflow]) -> None:
    """Insert workflows that are not there yet; the caller inserts their jobs."""
    unit.insert("workflows_insert", [workflow_row(workflow) for workflow in workflows])
    for workflow in workflows:
        if workflow.kind == "batch" and workflow.options is not None:
            write_rate(unit.tx, workflow.id, workflow.options)
    nodes = [node_row(w.parent_id, w) for w in workflows if w.parent_id is not None]
    unit.insert("nodes_insert", nodes)
    unit.insert("barriers_insert", [BarrierRow(w.id, w.pending) for w in workflows])
