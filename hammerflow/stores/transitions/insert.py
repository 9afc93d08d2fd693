"""New jobs and workflows, each into the table of its first state, inside a transaction."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence

from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import NewJob, NewWorkflow
from hammerflow.stores.database import Tx
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
from hammerflow.stores.transitions.unit import Unit

__all__ = [
    "insert_children", "insert_jobs", "insert_new", "insert_workflows", "retake_keys", "take_keys",
]  # fmt: skip


def insert_jobs(unit: Unit, jobs: Sequence[NewJob], *, check_ids: bool = False) -> list[bytes]:
    """Insert jobs; with ``check_ids`` a job whose id exists, or comes twice, is left as it is.

    Returns:
        For each job its own id, or that of the job that holds its unique key.
    """
    ids = {job.id: job.id for job in jobs}
    new = jobs
    if check_ids or unit.tx.repeated:
        existing = {row[0] for row in unit.tx.rows("jobs_existing", ids=list(ids))}
        first = {job.id: job for job in reversed(jobs)}
        new = [job for job in jobs if job.id not in existing and first[job.id] is job]
    if holders := _held_by_others(unit.tx, new):
        ids.update(holders)
        new = [job for job in new if job.id not in holders]
    insert_new(unit, new)
    return [ids[job.id] for job in jobs]


def insert_children(
    unit: Unit, children: Sequence[NewJob], left_out: Counter[bytes | None]
) -> None:
    """Insert children of a spawner.

    A child whose unique key is taken is left out, as its holder does the work: the fan-in, which
    comes after it, waits for one less.

    Args:
        left_out: how many children of each fan-in were left out so far; updated here.
    """
    if holders := _held_by_others(unit.tx, children):
        left_out.update(child.dependent_id for child in children if child.id in holders)
        children = [child for child in children if child.id not in holders]
    if left_out:
        children = [
            child._replace(pending=child.pending - left_out[child.id]) if child.pending else child
            for child in children
        ]
    insert_new(unit, children)


def insert_new(unit: Unit, jobs: Sequence[NewJob]) -> None:
    """Insert rows for jobs that are known to be new; note the queues with ready work."""
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
    unit.insert("ready_insert", ready)


def insert_workflows(unit: Unit, workflows: Sequence[NewWorkflow]) -> None:
    """Insert workflows that are not there yet; the caller inserts their jobs."""
    unit.insert("workflows_insert", [workflow_row(workflow) for workflow in workflows])
    nodes = [node_row(w.parent_id, w) for w in workflows if w.parent_id is not None]
    unit.insert("nodes_insert", nodes)
    unit.insert("barriers_insert", [BarrierRow(w.id, w.pending) for w in workflows])


def take_keys(tx: Tx, keys: Iterable[tuple[str | None, bytes]]) -> list[tuple[str, bytes, bytes]]:
    """Take unique keys, (key or None, job id); (key, job id, holder) of those that others hold.

    A key that its holder releases between the two statements is tried again.
    """
    wanted = [(key, job_id) for key, job_id in keys if key is not None]
    held: dict[str, bytes] = {}
    while missing := sorted((key, job_id) for key, job_id in wanted if key not in held):
        tx.many("unique_insert", missing)
        held.update(tx.rows("unique_holders", ukeys=sorted({key for key, _ in missing})))
    return [(key, job_id, held[key]) for key, job_id in wanted if held[key] != job_id]


def retake_keys(tx: Tx, keys: Iterable[tuple[str | None, bytes]]) -> None:
    """Take the unique keys of jobs that run again, (key or None, job id).

    Raises:
        HammerflowError: another job holds one of them.
    """
    for key, _, holder in take_keys(tx, keys):
        raise HammerflowError(
            f"the unique key {key!r} is held by job {uuid.UUID(bytes=holder)}: "
            "cancel that one first, or wait for its end"
        )


def _held_by_others(tx: Tx, jobs: Sequence[NewJob]) -> dict[bytes, bytes]:
    """Take the unique keys; job id to holder's id for those that another job holds."""
    keys = [(job.unique_key, job.id) for job in jobs if job.unique_key is not None]
    return {job_id: holder for _, job_id, holder in take_keys(tx, keys)}
