"""Obstacles: why a job does not run, by what the database knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.jobs.job import Job, JobState
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.stores.store import Store
from hammerflow.text import counted, timestamp

__all__ = ["Obstacle", "obstacles", "serves"]

_NAMED = 3  # unfinished dependencies that a sentence names
_READ = 100  # dependencies among which they are searched

Workers = Sequence[Mapping[str, Any]]


class Obstacle(NamedTuple):
    """One reason why a job does not run, and what to do about it.

    Attributes:
        code: for programs: due_later, queue_paused, no_worker, queue_unserved, task_unknown,
            no_worker_for_both, queued, dependencies, workflow_paused, parked or worker_lost.
    """

    code: str
    says: str
    advice: str = ""


def obstacles(store: Store, job: Job, *, lease: float) -> list[Obstacle]:
    """Why a job does not run; empty for one that runs or has ended.

    Args:
        lease: seconds without a heartbeat after which a worker counts as lost.
    """
    return list(_obstacles(store, job, lease))


def _obstacles(store: Store, job: Job, lease: float) -> Iterator[Obstacle]:
    match job.state:
        case JobState.WAITING:
            yield from _dependencies(store, job)
        case JobState.PARKED:
            advice = f"put that right, then run: hammerflow job retry {job.id}"
            yield Obstacle("parked", f"it is parked as {job.reason}", advice)
        case JobState.RUNNING:
            yield from _lost_worker(store, job, lease)
        case JobState.SCHEDULED if job.run_at is not None:
            what = f"attempt {job.attempt + 1}" if job.attempt else "it"
            yield Obstacle("due_later", f"{what} is due at {timestamp(job.run_at.astimezone())}")
            yield from _hindrances(store, job, lease)
        case JobState.READY:
            found = list(_hindrances(store, job, lease))
            yield from found or [_queued(store, job, lease)]


def _hindrances(store: Store, job: Job, lease: float) -> Iterator[Obstacle]:
    """What keeps workers from a job that is ready."""
    if pause := store.queues.pause_of(job.queue):
        at, by, reason = pause
        says = f"its queue {job.queue} has been paused since {timestamp(at.astimezone())}"
        says += f" by {by}" * bool(by) + f" ({reason})" * bool(reason)
        yield Obstacle("queue_paused", says, f"run: hammerflow queue resume {job.queue}")
    alive = _alive(store, lease)
    if not alive:
        advice = "start one: hammerflow -A package.module:app worker"
        yield Obstacle("no_worker", "no worker is alive", advice)
        return
    serving = {each["id"] for each in alive if serves(each, job.queue)}
    knowing = {each["id"] for each in alive} & store.workers.knowing(job.task)
    if not serving:
        advice = f"add it to the queues of a worker: -Q ...,{job.queue}"
        yield Obstacle("queue_unserved", f"no live worker serves its queue {job.queue}", advice)
    if not knowing:
        says = f"no live worker has registered its task {job.task}"
        yield Obstacle("task_unknown", says, "start a worker of the app that defines the task")
    if serving and knowing and not serving & knowing:
        says = f"the live workers that have registered its task do not serve its queue {job.queue}"
        advice = f"add it to the queues of a worker: -Q ...,{job.queue}"
        yield Obstacle("no_worker_for_both", says, advice)


def _alive(store: Store, lease: float) -> Workers:
    return [each for each in store.workers.list() if abs(each["silent_for"]) <= lease]


def serves(worker: Mapping[str, Any], queue: str) -> bool:
    """Whether a registered worker takes jobs of a queue: one without ``-Q`` takes all."""
    info = worker["info"]
    return info.get("is_open", True) or queue in info.get("queues", ())


def _queued(store: Store, job: Job, lease: float) -> Obstacle:
    ahead = store.queues.ahead(job.queue, job.priority, job.id.bytes)
    jobs = counted(ahead, "job is", "jobs are")
    says = (
        f"{jobs} ahead of it in its queue {job.queue}" if ahead else "it is the next of its queue"
    )
    serving = [each["id"] for each in _alive(store, lease) if serves(each, job.queue)]
    held = sum(map(store.workers.running, serving))
    return Obstacle("queued", f"{says}; workers that serve the queue run {counted(held, 'job')}")


def _lost_worker(store: Store, job: Job, lease: float) -> Iterator[Obstacle]:
    advice = "another worker takes the job over, if one is alive"
    for worker in store.workers.list():
        if worker["id"] == job.worker_id:
            if abs(silent := worker["silent_for"]) > lease:
                where = f"{worker['host']} (pid {worker['pid']})"
                says = f"its worker on {where} has sent no heartbeat for {silent:.0f} s"
                if silent < 0:
                    says = f"the last heartbeat of its worker on {where} lies in the future"
                yield Obstacle("worker_lost", says, advice)
            return
    yield Obstacle("worker_lost", "its worker is gone", advice)


def _dependencies(store: Store, job: Job) -> Iterator[Obstacle]:
    if job.workflow_id is not None:
        row = store.workflows.get(job.workflow_id.bytes)
        if row is not None and row.state.status is WorkflowStatus.PAUSED:
            advice = f"run: hammerflow workflow retry, skip or resume {job.workflow_id}"
            reason = f" ({row.reason})" if row.reason else ""
            yield Obstacle("workflow_paused", f"its workflow {row.name} is paused{reason}", advice)
    place = store.dependencies.of(job.id.bytes, limit=_READ)
    if place is None or place.pending is None:
        return
    jobs = {each.id.bytes: each for each in store.jobs.get_many(place.before.ids)}
    open_ = [f"{each.id} ({each.state})" for each in jobs.values() if not each.state.is_final]
    rows = store.workflows.rows([id_ for id_ in place.before.ids if id_ not in jobs])
    open_ += [f"the {row.kind} {row.name} ({row.state.status})" for row in rows if not row.ended_at]
    named = open_[:_NAMED]
    more = " and others" if named and place.pending > len(named) else ""
    says = f"it waits for {place.pending} of {place.total} dependencies"
    says += f": {', '.join(named)}{more}" if named else ""
    yield Obstacle("dependencies", says, f"see hammerflow workflow dependencies {job.id}")
