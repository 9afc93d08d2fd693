"""New jobs into the tables of their first state, inside a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hammerflow.ids import name_id
from hammerflow.jobs.job import NewJob, NewWorkflow
from hammerflow.stores.database import Database, Tx

__all__ = ["insert_children", "insert_jobs", "insert_new", "insert_workflows", "take_keys"]


def insert_jobs(
    database: Database, tx: Tx, jobs: Sequence[NewJob], *, check_ids: bool = False
) -> tuple[list[bytes], set[str]]:
    """Insert jobs that are not there yet.

    Args:
        check_ids: look for the ids first; a job whose id exists is left as it is.

    Returns:
        The id that stands for each job (the holder's, where a unique key is taken), and the
        queues in which work is ready now.
    """
    if len(jobs) == 1 and not (check_ids or tx.repeated) and jobs[0].unique_key is None:
        return [jobs[0].id], insert_new(database, tx, jobs)
    ids = {job.id: job.id for job in jobs}
    new = jobs
    if check_ids or tx.repeated:
        there = {row[0] for row in tx.rows("jobs_existing", ids=list(ids))}
        new = [job for job in jobs if job.id not in there]
    if any(job.unique_key is not None for job in new):
        holders = _held_by_others(tx, new)
        ids.update(holders)
        new = [job for job in new if job.id not in holders]
    queues = insert_new(database, tx, new) if new else set()
    return [ids[job.id] for job in jobs], queues


def insert_children(
    database: Database, tx: Tx, children: Sequence[NewJob], left_out: Counter[bytes | None]
) -> set[str]:
    """Insert children of a spawner; the queues with ready work.

    A child whose unique key is taken is left out, its holder stands for it: the fan-in, which
    comes after it, waits for one less.

    Args:
        left_out: how many children of each fan-in were left out so far; counted on here.
    """
    if any(child.unique_key is not None for child in children):
        holders = _held_by_others(tx, children)
        left_out.update(child.dependent_id for child in children if child.id in holders)
        children = [child for child in children if child.id not in holders]
    if left_out:
        children = [
            child._replace(pending=child.pending - left_out[child.id]) if child.pending else child
            for child in children
        ]
    return insert_new(database, tx, children) if children else set()


def insert_new(database: Database, tx: Tx, jobs: Sequence[NewJob]) -> set[str]:
    """Insert rows for jobs that are known to be new; the queues with ready work."""
    ready: list[tuple[object, ...]] = []
    scheduled: list[tuple[object, ...]] = []
    waiting: list[tuple[object, ...]] = []
    asked: list[tuple[object, ...]] = []
    nodes: list[tuple[object, ...]] = []
    edges: list[tuple[object, ...]] = []
    queues: set[str] = set()
    time = database.dialect.time
    for job in jobs:
        queue_id, task_id, priority_order = name_id(job.queue), name_id(job.task), 4 - job.priority
        asked.append(
            (
                job.id, queue_id, job.priority, task_id, job.args, job.options, job.headers,
                job.parent_id, job.root_id, job.depth, job.spawn_index, job.dependent_id,
                job.unique_key, job.trace, job.workflow_id, job.pending, job.flags,
                time(job.expires_at), job.expires,
            )
        )  # fmt: skip
        if job.workflow_id is not None:
            nodes.append((job.workflow_id, job.id, job.position, job.node))
        if job.after:
            edges += [(parent, job.id, kind) for parent, kind in job.after]
        if job.pending:
            waiting.append(
                (
                    job.id, job.pending, 0, 0, job.pending, job.rule, 0, job.delay, time(job.eta),
                    queue_id, priority_order, task_id, job.workflow_id, None,
                )
            )  # fmt: skip
        elif job.delay or job.eta is not None:
            scheduled.append(
                (time(job.eta), job.delay, job.id, queue_id, priority_order, task_id, 0, 0, "delay")
            )
        else:
            ready.append((queue_id, priority_order, job.id, task_id, 0, 0))
            queues.add(job.queue)
    for name, rows in (
        ("jobs_insert", asked),
        ("nodes_insert", nodes),
        ("edges_insert", edges),
        ("waiting_insert", waiting),
        ("scheduled_insert", scheduled),
        ("ready_insert", ready),
    ):
        if rows:
            tx.many(name, rows)
    return queues


def insert_workflows(tx: Tx, workflows: Sequence[NewWorkflow]) -> None:
    """Insert workflows that are not there yet; their jobs come beside them."""
    tx.many(
        "workflows_insert",
        [
            (
                w.id, w.parent_id, w.dependent_id, w.timeout, w.check_every, w.check_every,
                w.policy,
                w.collects, w.flags, w.kind, w.name, w.options,
            )
            for w in workflows
        ],
    )  # fmt: skip
    nodes = [(w.parent_id, w.id, w.position, w.node) for w in workflows if w.parent_id is not None]
    if nodes:
        tx.many("nodes_insert", nodes)
    tx.many("barriers_insert", [(w.id, w.pending, 0) for w in workflows])


def take_keys(tx: Tx, wanted: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
    """Take unique keys, (key, job id); key to the id of the job that holds it now.

    A key that its holder gives up between the two statements is tried again.
    """
    held: dict[str, bytes] = {}
    while missing := sorted((key, job_id) for key, job_id in wanted if key not in held):
        tx.many("unique_insert", missing)
        held.update(tx.rows("unique_holders", ukeys=sorted({key for key, _ in missing})))
    return held


def _held_by_others(tx: Tx, jobs: Sequence[NewJob]) -> dict[bytes, bytes]:
    """Take the unique keys; job id to holder's id for those that another job holds."""
    wanted = [(job.unique_key, job.id) for job in jobs if job.unique_key is not None]
    held = take_keys(tx, wanted)
    return {job_id: held[key] for key, job_id in wanted if held[key] != job_id}
