"""Explain: why a job does not run, decided by the conditions of a claim, in their order."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hammerflow.ids import name_id, time_of
from hammerflow.jobs.explanation import Explanation
from hammerflow.jobs.job import Job, JobState, Priority, RowFlags
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.stores.store import Store
from hammerflow.text import timestamp

__all__ = ["explain", "reasons", "serves"]

_NAMED = 3  # unfinished dependencies that a sentence names
_READ = 1_000  # dependencies of each kind among which they are searched, the youngest first
_LONGEST_BEAT, _BEATS_MISSED = 5.0, 3  # seconds between heartbeats; those that a worker may miss
_AHEAD = 1.0  # seconds that a heartbeat may lie in the future: the database reads its clock twice
_BEAT_SLACK = timedelta(seconds=0.5)  # between what a heartbeat tells and when it is written
_MOST_AHEAD = 10_000  # ready jobs that are counted
#: What a job that runs alone was near to.
_ALONE = {
    RowFlags.SUSPECT: "a process died that ran it with other jobs",
    RowFlags.WORKER_SUSPECT: "workers died that held it with other jobs",
}

Workers = Sequence[Mapping[str, Any]]


def explain(store: Store, job: Job, *, lease: float) -> Explanation:
    """Why a job does not run: the first condition of a claim that is not met; or where it runs, or
    how it has ended.

    Args:
        lease: seconds without a heartbeat after which a worker counts as lost.
    """
    return next(_reasons(store, job, lease))


def reasons(store: Store, job: Job, *, lease: float) -> list[Explanation]:
    """All reasons why a job does not run, the first one first; empty if it runs or has ended."""
    found = _reasons(store, job, lease)
    return [each for each in found if each.kind != "running" and not job.state.is_final]


def serves(worker: Mapping[str, Any], queue: str) -> bool:
    """Whether a registered worker takes jobs of a queue: one without ``-Q`` takes all."""
    info = worker["info"]
    return info.get("is_open", True) or queue in info.get("queues", ())


class _Case:
    """A job with what several probes ask about it, each read once."""

    def __init__(self, store: Store, job: Job, lease: float) -> None:
        self.store, self.job, self.lease = store, job, lease

    @functools.cached_property
    def workers(self) -> Workers:
        """Those with a row, dead ones included."""
        return self.store.workers.list()

    @functools.cached_property
    def alive(self) -> Workers:
        """Those whose heartbeat is young enough."""
        return [each for each in self.workers if abs(each["silent_for"]) <= self.lease]

    @property
    def others_alive(self) -> bool:
        """Whether a live worker could take the job over from its own."""
        return any(each["id"] != self.job.worker_id for each in self.alive)

    @functools.cached_property
    def serving(self) -> set[int]:
        """Numbers of the live workers that serve its queue."""
        return {each["id"] for each in self.alive if serves(each, self.job.queue)}

    @functools.cached_property
    def place(self) -> tuple[int, str | None, Any]:
        """(flags, why it is scheduled, when it expired if it has)."""
        found = self.store.database.first("explain_place", id=self.job.id.bytes)
        return found or (0, None, None)

    @property
    def alone(self) -> str | None:
        """Why it gets a child of its own; None if it does not."""
        return next((why for flag, why in _ALONE.items() if self.place[0] & flag), None)

    @property
    def last_error(self) -> str | None:
        """Type and message of what went wrong last."""
        found = self.store.jobs.last_errors([self.job.id.bytes]).get(self.job.id.bytes)
        return None if found is None else ": ".join(filter(None, found))

    def found(self, kind: str, **facts: Any) -> Explanation:
        """An explanation, whose facts begin with what every sentence may name."""
        job = self.job
        return Explanation(kind, {"id": job.id, "queue": job.queue, "task": job.task, **facts})


Probe = Callable[[_Case], Iterator[Explanation]]


def _reasons(store: Store, job: Job, lease: float) -> Iterator[Explanation]:
    case = _Case(store, job, lease)
    is_alone = True
    for probe in _PROBES.get(job.state, (_ended,)):
        for found in probe(case):
            is_alone = False
            yield found
    if is_alone:
        yield from _ELSE.get(job.state, _moving)(case)


def _paused_workflow(case: _Case) -> Iterator[Explanation]:
    """A failure waits for a decision of a person: until then its workflow, and those inside it,
    start no dependent."""
    inner = None if case.job.workflow_id is None else case.job.workflow_id.bytes
    while inner is not None:
        row = case.store.workflows.get(inner)
        if row is None:
            return
        if row.state.status is WorkflowStatus.PAUSED:
            named = {"workflow": row.name, "workflow_id": uuid.UUID(bytes=row.id)}
            yield case.found("workflow_paused", reason=row.reason, **named)
        inner = row.parent_id


def _dependencies(case: _Case) -> Iterator[Explanation]:
    found = case.store.dependencies.unfinished(case.job.id.bytes, limit=_NAMED, read=_READ)
    if found is None:
        return
    jobs = {each.id.bytes: each for each in case.store.jobs.get_many(found.ids)}
    named = [f"{each.id} ({each.state})" for each in jobs.values()]
    rows = case.store.workflows.rows([id_ for id_ in found.ids if id_ not in jobs])
    named += [f"the {row.kind} {row.name} ({row.state.status})" for row in rows]
    others = found.pending - len(named) if named else 0
    yield case.found(
        "dependencies", pending=found.pending, total=found.total, unfinished=named, others=others
    )


def _due_time(case: _Case) -> Iterator[Explanation]:
    job = case.job
    if job.run_at is not None and job.run_at.timestamp() <= case.store.clock():
        return
    match case.place[1]:
        case "retry":
            attempts = {"attempt": job.attempt, "next_attempt": job.attempt + 1}
            error = case.last_error
            yield case.found("retry_later", run_at=job.run_at, error=error, **attempts)
        case "snooze":
            yield case.found("snoozed", run_at=job.run_at)
        case _:
            yield case.found("due_later", run_at=job.run_at)


def _pauses(case: _Case) -> Iterator[Explanation]:
    for pause in case.store.pauses.of(case.job.queue, case.job.task):
        facts = {"since": pause.paused_at, "by": pause.paused_by, "reason": pause.reason}
        yield case.found(f"{pause.kind}_paused", **facts)


def _workers(case: _Case) -> Iterator[Explanation]:
    """Some live worker must serve its queue, have registered its task, do both, and have children
    that take jobs."""
    if not case.alive:
        yield _no_worker(case)
        return
    knowing = {each["id"] for each in case.alive} & case.store.workers.knowing(case.job.task)
    if not case.serving:
        yield case.found("queue_unserved")
    if not knowing:
        yield case.found("task_unknown")
    both = case.serving & knowing
    if case.serving and knowing and not both:
        yield case.found("no_worker_for_both")
    able = [each for each in case.alive if each["id"] in both]
    if able and all(each["state"].get("draining") for each in able):
        yield case.found("workers_draining")
    elif able and all(each["state"].get("children") == [] for each in able):
        complaint = "; ".join(able[-1]["state"].get("unready", ()))
        yield case.found("no_child", complaint=complaint, **_address(able[-1]))


def _caps(case: _Case) -> Iterator[Explanation]:
    """A worker with ``--queue-caps`` claims no more jobs of a queue than its cap says."""
    job, knowing = case.job, case.store.workers.knowing(case.job.task)
    able = [each for each in case.alive if each["id"] in case.serving & knowing]
    caps = [int((each["info"].get("caps") or {}).get(job.queue, 0)) for each in able]
    if job.state is not JobState.READY or not all(caps):
        return
    held = [case.store.workers.running(each["id"], job.queue) for each in able]
    if able and all(count >= cap for count, cap in zip(held, caps, strict=True)):
        yield case.found("queue_capped", held=sum(held), cap=sum(caps))


def _no_worker(case: _Case) -> Explanation:
    last = max(case.workers, key=lambda each: each["beat_at"], default=None)
    if last is None:
        return case.found("no_worker", last=None)
    if last["silent_for"] < -_AHEAD:
        return case.found("clock_set_back", until=last["beat_at"])
    return case.found("no_worker", last=f"that {_last_heard(last)}")


def _last_heard(worker: Mapping[str, Any]) -> str:
    since = timestamp(worker["beat_at"].astimezone())
    return f"on {worker['host']} (pid {worker['pid']}) has been silent since {since}"


def _address(worker: Mapping[str, Any]) -> dict[str, Any]:
    return {"host": worker["host"], "pid": worker["pid"]}


def _limits(case: _Case) -> Iterator[Explanation]:
    job = case.job
    if job.state is not JobState.READY:
        return
    for target in case.store.limits.closed(job.task, job.queue):
        yield case.found("limit_zero", target=target)
    for limit in case.store.limits.full(job.id.bytes, job.queue, holders=_NAMED):
        facts: dict[str, Any] = {"target": limit.target, "key": limit.key}
        if limit.most == 0:
            continue
        if limit.most is not None and limit.running >= limit.most:
            holders = [uuid.UUID(bytes=id_) for id_ in limit.holders]
            facts |= {"most": limit.most, "running": limit.running, "holders": holders}
            facts["silent"] = _on_silent_workers(case, limit.holders)
            yield case.found("limit_full", **facts)
        else:
            next_at = datetime.fromtimestamp(limit.next_at, UTC)
            yield case.found("limit_rate", next_at=next_at, **facts)


def _on_silent_workers(case: _Case, holders: Sequence[bytes]) -> list[uuid.UUID]:
    """Those of these running jobs whose worker gives no sign of life."""
    jobs = case.store.jobs.get_many(holders)
    heard = {each["id"] for each in case.alive if not _is_silent(case, each)}
    return [job.id for job in jobs if job.state is JobState.RUNNING and job.worker_id not in heard]


def _expiry(case: _Case) -> Iterator[Explanation]:
    if expires_at := case.store.database.dialect.instant(case.place[2]):
        yield case.found("expired_ready", expires_at=expires_at)


def _due(case: _Case) -> Iterator[Explanation]:
    yield case.found("due", run_at=case.job.run_at)


def _moving(case: _Case) -> Iterator[Explanation]:
    """What it waited for has ended since it was read."""
    yield case.found("moving")


def _position(case: _Case) -> Iterator[Explanation]:
    """Every condition is met: it waits for its turn."""
    job, queues = case.job, case.store.queues
    ahead = queues.ahead(job.queue, job.priority, job.id.bytes, most=_MOST_AHEAD)
    running = sum(map(case.store.workers.running, case.serving))
    serving = [each for each in case.alive if each["id"] in case.serving]
    heard = max(serving, key=lambda each: each["beat_at"])
    silent = f"the worker {_last_heard(heard)}" if _is_silent(case, heard) else ""
    bound = "at least" if ahead == _MOST_AHEAD else ""
    facts = {"running": running, "ahead": ahead, "bound": bound, "alone": case.alone}
    facts |= {"counts_as": _aged_priority(case), "silent": silent}
    yield case.found("queued" if ahead else "next", **facts)


def _aged_priority(case: _Case) -> str | None:
    """The name of the priority of which workers claim it by its age, if that is not its own."""
    steps = [each["info"].get("aging") for each in case.alive if each["id"] in case.serving]
    known, id_, own = [step for step in steps if step], case.job.id.bytes, case.job.priority
    if not known or own is Priority.CRITICAL:
        return None
    place = {"queue_id": name_id(case.job.queue), "priority_order": 4 - own, "id": id_}
    found = case.store.database.first("ready_since", **place)
    if found is None:  # in a lane
        return None
    since = time_of(id_) if found[0] is None else float(found[0])
    aged = int((case.store.clock() - since) / min(known))
    return Priority(min(own + aged, 4)).name.lower() if aged > 0 else None


def _lost_worker(case: _Case) -> Iterator[Explanation]:
    """Its worker has missed several heartbeats, or its row is gone."""
    worker = _worker_of(case)
    suffix = "" if case.others_alive else "_alone"
    if worker is None:
        yield case.found(f"worker_lost{suffix}", silence="is gone", since=None)
        return
    if not _is_silent(case, worker):
        return
    facts, since = _address(worker), worker["beat_at"]
    if worker["silent_for"] < 0:
        yield case.found("worker_ahead", until=since, lease=f"{case.lease:g}", **facts)
    elif worker["silent_for"] > case.lease:
        yield case.found(f"worker_lost{suffix}", since=since, silence=None, **facts)
    else:
        facts |= {"since": since, "worker": worker["id"], "stop": case.job.reason}
        facts["rescued"] = f"by a live worker after {_clock(since, case.lease)}"
        yield case.found(f"worker_silent{suffix}", **facts)


def _clock(beat_at: datetime, lease: float) -> str:
    return timestamp((beat_at + timedelta(seconds=lease)).astimezone())


def _is_silent(case: _Case, worker: Mapping[str, Any]) -> bool:
    """Whether it has missed several heartbeats, or its last one lies in the future."""
    longest = _BEATS_MISSED * min(_LONGEST_BEAT, case.lease / 6)
    silent_for: float = worker["silent_for"]
    return silent_for > longest or silent_for < -_AHEAD


def _stop_asked(case: _Case) -> Iterator[Explanation]:
    if case.job.reason is not None:
        yield case.found("stopping", reason=case.job.reason)


def _place_of_run(case: _Case) -> Iterator[Explanation]:
    """Which child runs it, by the last heartbeat; a claimed job may wait for a child."""
    worker, started_at = _worker_of(case), case.job.started_at
    if worker is None:
        return
    facts = {**_address(worker), "worker": worker["id"], "since": started_at, "alone": case.alone}
    children = worker["state"].get("children", ())
    pids = [
        child["pid"] for child in children for job in child["jobs"] if job["id"] == str(case.job.id)
    ]
    lists_all = all(child["running"] == len(child["jobs"]) for child in children)
    is_old = started_at is not None and started_at + _BEAT_SLACK < worker["beat_at"]
    if children and not pids and lists_all and is_old:
        complaint = "; ".join(worker["state"].get("unready", ()))
        waiting = worker["state"].get("waiting")
        yield case.found("held", waiting=waiting, complaint=complaint, **facts)
    yield case.found("running", child=next(iter(pids), None), **facts)


def _worker_of(case: _Case) -> Mapping[str, Any] | None:
    return next((each for each in case.workers if each["id"] == case.job.worker_id), None)


def _parked(case: _Case) -> Iterator[Explanation]:
    yield case.found("parked", reason=case.job.reason, holder=_holder(case))


def _holder(case: _Case) -> uuid.UUID | None:
    """The job that holds the unique key that this one would need to run again."""
    letters, own = case.store.dead_letters, case.job.id.bytes
    key = letters.keys_of([own]).get(own)
    holder = None if key is None else case.store.unique_keys.holders([key]).get(key)
    return None if holder in (None, own) else uuid.UUID(bytes=holder)


def _ended(case: _Case) -> Iterator[Explanation]:
    job = case.job
    facts: dict[str, Any] = {"at": job.finished_at, "attempt": job.attempt}
    if job.state is not JobState.COMPLETED:
        facts["holder"] = _holder(case)
    if job.state is JobState.FAILED:
        yield case.found("failed", error=case.last_error, **facts)
    elif job.reason == "expired":
        yield case.found("expired", **facts)
    else:
        yield case.found(job.state.value, reason=job.reason, **facts)


#: What a claim asks of a ready job, in its order.
_CLAIM: Sequence[Probe] = (_pauses, _workers, _caps, _limits, _expiry)
_PROBES: Mapping[JobState, Sequence[Probe]] = {
    JobState.WAITING: (_paused_workflow, _dependencies),
    JobState.SCHEDULED: (_due_time, *_CLAIM),
    JobState.READY: _CLAIM,
    JobState.RUNNING: (_lost_worker, _stop_asked, _place_of_run),
    JobState.PARKED: (_parked,),
}
#: What is so where none of these finds anything.
_ELSE: Mapping[JobState, Probe] = {JobState.SCHEDULED: _due, JobState.READY: _position}
