"""The store against a model: any order of verbs, stale and repeated ones too, on each database.

HAMMERFLOW_TEST_MODEL_EXAMPLES and HAMMERFLOW_TEST_MODEL_STEPS make it longer (1 000 and 100 are
100 000 steps), HAMMERFLOW_TEST_SEED repeats a run; the seed is printed.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hammerflow.errors import HammerflowError
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed, JobState, NewJob
from hammerflow.jobs.outcome import (
    Cancelled,
    Completed,
    Failed,
    Lost,
    Outcome,
    Parked,
    Released,
    Retrying,
    Snoozed,
    Suspected,
)
from tests.stores.kit import BAD, GONE, Desk, as_bytes, desk_at, failed, spawned

EXAMPLES = int(os.environ.get("HAMMERFLOW_TEST_MODEL_EXAMPLES", "15"))
STEPS = int(os.environ.get("HAMMERFLOW_TEST_MODEL_STEPS", "40"))

#: Moments lie 100 s or more apart, so that the seconds a test takes do not matter.
ELAPSE = (200, 600)
DELAYS = (0.0, 1100.0, 2300.0)
LEASE = 300.0
FINAL = {"completed", "failed", "cancelled", "skipped"}
TABLES = [
    *(
        "queues",
        "tasks",
        "workers",
        "worker_tasks",
        "clients",
        "jobs",
        "ready",
        "leases",
        "scheduled",
    ),
    *("waiting", "done", "errors", "parked", "unique_keys", "spawns", "progress", "job_logs"),
]


@dataclass
class Row:
    """What the model knows of a job."""

    job: NewJob
    state: str
    lease: int = 0
    attempt: int = 0
    pending: int = 0
    failed: int = 0
    run_at: float = 0.0
    losses: int = 0
    deaths: int = 0  # the losses, and others that were not charged
    claimed: int = 0  # number of its claim
    is_suspect: bool = False
    worker: int = 0
    cancel: str | None = None
    unserved: bool = False


class Model:
    """The engine in a few dozen lines: dictionaries, no tables, no time but ``now``."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        self.keys: dict[str, bytes] = {}
        self.beats: dict[int, float] = {}  # live workers
        self.serves: dict[int, set[str]] = {}
        self.paused: set[str] = set()
        self.now = 0.0
        self.claims = 0

    def insert(self, job: NewJob) -> bytes:
        if job.unique_key is not None and job.unique_key in self.keys:
            return self.keys[job.unique_key]
        if job.unique_key is not None:
            self.keys[job.unique_key] = job.id
        state = "waiting" if job.pending else "scheduled" if job.delay else "ready"
        row = Row(job, state, pending=job.pending or 0, run_at=self.now + (job.delay or 0))
        self.rows[job.id] = row
        return job.id

    def insert_children(self, children: Sequence[NewJob]) -> None:
        out = 0
        for child in children:
            waits = None if child.pending is None else child.pending - out
            out += self.insert(child._replace(pending=waits)) != child.id

    def claim(self, worker: int, queue: str, tasks: Sequence[str], limit: int) -> list[Row]:
        if queue in self.paused:
            return []
        fit = [
            row
            for row in self.rows.values()
            if row.state == "ready" and row.job.queue == queue and row.job.task in tasks
        ]
        fit.sort(key=lambda row: (-row.job.priority, row.job.id))
        self.claims += 1
        for row in fit[:limit]:
            row.claimed = self.claims
            row.state, row.worker, row.cancel = "running", worker, None
            row.lease, row.attempt = row.lease + 1, row.attempt + 1
        return fit[:limit]

    def holds(self, worker: int, claimed: Claimed) -> bool:
        row = self.rows[claimed.id]
        return row.state == "running" and (row.worker, row.lease) == (worker, claimed.lease)

    def settle(self, row: Row, outcome: Outcome) -> None:
        if isinstance(outcome, Lost):
            row.losses += 1
            row.deaths += 1
            if row.losses >= 3:
                outcome = Parked("poison", GONE)
            else:
                bad = Failed(GONE) if outcome.delay is None else Retrying(outcome.delay, GONE)
                outcome = bad
        row.deaths += isinstance(outcome, Suspected)
        if row.cancel:
            outcome = Cancelled(row.cancel)
        match outcome:
            case Completed(_, children):
                self.end(row, "completed")
                self.insert_children(children.children if children else [])
            case Failed():
                self.end(row, "failed")
            case Cancelled():
                self.end(row, "cancelled")
            case Parked():
                row.state, row.unserved = "parked", False
            case Released() | Suspected():
                row.state, row.attempt = "ready", row.attempt - 1
            case Snoozed(delay):
                row.state, row.attempt, row.run_at = "scheduled", row.attempt - 1, self.now + delay
            case Retrying(delay, _):
                row.state, row.run_at = ("scheduled" if delay else "ready"), self.now + delay

    def end(self, row: Row, state: str) -> None:
        row.state = state
        if row.job.unique_key and self.keys.get(row.job.unique_key) == row.job.id:
            del self.keys[row.job.unique_key]
        then = self.rows.get(row.job.dependent_id or b"")
        if then is not None and then.state == "waiting":
            then.pending -= 1
            then.failed += state != "completed"
            if then.pending == 0 and then.failed:
                self.end(then, "skipped")
            elif then.pending == 0:
                then.state = "ready"

    def cancel(self, row: Row) -> str:
        if row.state == "running":
            row.cancel = row.cancel or "asked"
            return "running"
        if row.state not in FINAL:
            self.end(row, "cancelled")
        return row.state

    def replay(self, row: Row) -> bool:
        awaited = [r for r in self.rows.values() if r.job.dependent_id == row.job.id]
        holder = self.keys.get(row.job.unique_key or "", row.job.id)
        if row.state not in ("failed", "cancelled", "skipped", "parked"):
            return False
        if any(r.state not in FINAL for r in awaited) or holder != row.job.id:
            return False
        then = self.rows.get(row.job.dependent_id or b"")
        if row.state != "parked" and then is not None and then.state == "waiting":
            then.pending, then.failed = then.pending + 1, then.failed - 1
        if row.job.unique_key:
            self.keys[row.job.unique_key] = row.job.id
        row.state, row.lease, row.attempt, row.losses = "ready", row.lease + 1, 0, 0
        row.deaths, row.is_suspect = 0, False
        return True

    def sweep(self) -> None:
        for worker, beat in list(self.beats.items()):
            if self.now - beat > LEASE:
                del self.beats[worker], self.serves[worker]
        held: dict[int, list[Row]] = {}
        for row in self.rows.values():
            if row.state == "running" and row.worker not in self.beats:
                held.setdefault(row.worker, []).append(row)
        for rows in held.values():
            self.rescue(rows)

    def rescue(self, rows: list[Row]) -> None:
        suspects = sorted(
            (row for row in rows if row.is_suspect or len(rows) == 1),
            key=lambda row: (row.claimed, -row.job.priority, row.job.id),
        )
        for row in rows:
            is_guilty = suspects[:1] == [row]
            row.deaths += 1
            if row.cancel:
                row.losses += 1
                self.end(row, "cancelled")
                continue
            is_charged = is_guilty or row.attempt == 1
            row.losses += is_charged
            row.attempt -= not is_charged
            is_poison = is_guilty and row.losses >= 3
            row.state, row.unserved = "parked" if is_poison else "ready", False
            row.is_suspect |= not is_guilty and row.deaths >= 3

    def promote(self) -> int:
        due = [r for r in self.rows.values() if r.state == "scheduled" and r.run_at <= self.now]
        for row in due:
            row.state = "ready"
        return len(due)

    def park_unserved(self) -> int:
        served = set().union(*self.serves.values())
        odd = [r for r in self.rows.values() if r.state == "ready" and r.job.task not in served]
        for row in odd:
            row.state, row.unserved = "parked", True
        return len(odd)

    def register(self, worker: int, tasks: set[str]) -> None:
        self.beats[worker], self.serves[worker] = self.now, tasks
        for row in self.rows.values():
            if row.state == "parked" and row.unserved and row.job.task in tasks:
                row.state = "ready"


OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Completed(b"M")),
    st.just(failed()),
    st.builds(Retrying, st.sampled_from(DELAYS), st.just(BAD), st.none()),
    st.builds(Snoozed, st.sampled_from(DELAYS)),
    st.just(Cancelled("because")),
    st.just(Released()),
    st.just(Suspected(GONE._replace(kind="suspected"))),
    st.just(Parked("undecodable", BAD)),
    st.builds(Lost, st.just(GONE), st.sampled_from([None, *DELAYS])),
)
WORKERS = st.integers(1, 3)
KEYS = st.sampled_from([None, None, None, "a", "A", "b"])
TASKS = st.sampled_from([("t",), ("u",), ("t", "u")])
SHAPES = st.fixed_dictionaries(
    {
        "task": st.sampled_from("ttu"),
        "queue": st.sampled_from("qqr"),
        "priority": st.integers(0, 4),
        "unique_key": KEYS,
        "delay": st.sampled_from([None, None, *DELAYS]),
    }
)


class Machine(RuleBasedStateMachine):
    """Verbs on all desks at once; their answers must be the same and the model's."""

    def __init__(self, desks: Sequence[Desk]) -> None:
        super().__init__()
        self.desks = desks
        self.model = Model()
        self.old: list[tuple[int, Claimed]] = []  # every claim that ever was, with its worker

    @initialize()
    def empty(self) -> None:
        for desk in self.desks:
            for pause in desk.store.pauses.list():
                desk.store.queues.resume(pause.name)
            for table in TABLES:
                desk.sql(f"DELETE FROM {{{table}}}")
            desk.store.names.queues.clear()
            desk.store.names.tasks.clear()
        for worker in (1, 2):
            self.register(worker, ("t", "u"))

    def all(self, verb: Callable[[Desk], Any]) -> Any:
        """Do it on every desk; the answer, which is the same on each."""
        answers = [verb(desk) for desk in self.desks]
        assert all(answer == answers[0] for answer in answers[1:]), answers
        return answers[0]

    # -- rules

    @rule(shapes=st.lists(SHAPES, min_size=1, max_size=4))
    def insert(self, shapes: list[dict[str, Any]]) -> None:
        jobs = [self.desks[0].job(**shape) for shape in shapes]
        expected = [self.model.insert(job) for job in jobs]
        assert self.all(lambda desk: desk.put(*jobs)) == expected

    @rule(worker=WORKERS, queue=st.sampled_from("qqr"), tasks=TASKS, limit=st.integers(1, 4))
    def claim(self, worker: int, queue: str, tasks: tuple[str, ...], limit: int) -> None:
        def verb(desk: Desk) -> list[Claimed]:
            return desk.claim(limit, worker=worker, queue=queue, tasks=tasks)

        claimed: list[Claimed] = self.all(verb)
        expected = self.model.claim(worker, queue, tasks, limit)
        assert [job.id for job in claimed] == [row.job.id for row in expected]
        for job, row in zip(claimed, expected, strict=True):
            assert (job.lease, job.attempt) == (row.lease, row.attempt)
            assert (job.priority, job.unique_key) == (row.job.priority, row.job.unique_key)
        self.old += [(worker, job) for job in claimed]

    @precondition(lambda self: self.old)
    @rule(data=st.data(), outcome=OUTCOMES, again=st.booleans())
    def settle(self, data: st.DataObject, outcome: Outcome, again: bool) -> None:
        """One that is held, or was: a stale one writes nothing."""
        worker, job = data.draw(st.sampled_from(self.old[-8:]))
        self.settle_batch(worker, [(job, outcome)], again)

    @precondition(lambda self: self.old)
    @rule(data=st.data(), outcomes=st.lists(OUTCOMES, min_size=2, max_size=5))
    def settle_many(self, data: st.DataObject, outcomes: list[Outcome]) -> None:
        worker = data.draw(WORKERS)
        jobs = {job.id: job for at, job in self.old[-12:] if at == worker}  # the newest of each
        self.settle_batch(worker, list(zip(jobs.values(), outcomes, strict=False)), False)

    @precondition(lambda self: self.old)
    @rule(data=st.data(), keys=st.lists(KEYS, max_size=3), then=st.booleans(), stream=st.booleans())
    def spawn(self, data: st.DataObject, keys: list[str | None], then: bool, stream: bool) -> None:
        worker, parent = data.draw(st.sampled_from(self.old[-8:]))
        family = self.desks[0].family(parent, len(keys), task="tu"[parent.task_id == name_id("u")])
        children = [
            child._replace(unique_key=key) for child, key in zip(family[:-1], keys, strict=True)
        ]
        if then:
            children.append(family[-1])
        else:
            children = [child._replace(dependent_id=None) for child in children]
        outcome = spawned(*children)
        if not stream:
            self.settle_batch(worker, [(parent, outcome)], True)
            return
        held = self.model.holds(worker, parent)
        empty = spawned()
        settlement = self.all(
            lambda desk: seen(
                desk.store.jobs.settle_stream(
                    worker, parent, empty, lambda: ([child] for child in children)
                )
            )
        )
        assert (parent.id in settlement[0]) is not held
        if held:
            self.model.settle(self.model.rows[parent.id], outcome)

    @rule(worker=WORKERS)
    def beat(self, worker: int) -> None:
        alive = self.all(lambda desk: desk.store.workers.beat(worker))
        assert alive is (worker in self.model.beats)
        if alive:
            self.model.beats[worker] = self.model.now

    @rule(worker=WORKERS, tasks=TASKS)
    def register(self, worker: int, tasks: tuple[str, ...]) -> None:
        if worker not in self.model.beats:
            self.model.register(worker, set(tasks))
            self.all(lambda desk: desk.register(worker, tasks=tasks, queues=("q", "r")))

    @rule(worker=WORKERS)
    def leave(self, worker: int) -> None:
        self.all(lambda desk: desk.store.workers.leave(worker))
        self.model.beats.pop(worker, None)
        self.model.serves.pop(worker, None)

    @rule()
    def sweep(self) -> None:
        workers = len(self.model.beats)
        self.model.sweep()
        swept = self.all(lambda desk: desk.store.workers.sweep(lease=LEASE, poison_limit=3))
        assert swept.workers == workers - len(self.model.beats)

    @rule(seconds=st.sampled_from(ELAPSE))
    def elapse(self, seconds: int) -> None:
        self.model.now += seconds
        self.all(lambda desk: desk.elapse(seconds))

    @rule()
    def promote(self) -> None:
        expected = self.model.promote()
        assert self.all(lambda desk: desk.store.jobs.promote().count) == expected

    @rule()
    def park_unserved(self) -> None:
        expected = self.model.park_unserved()
        assert self.all(lambda desk: desk.store.workers.park_unserved("qr")) == expected

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(list(self.model.rows.values())))
        answer = self.all(lambda desk: desk.store.jobs.cancel(row.job.id, "asked"))
        assert answer == JobState(self.model.cancel(row))

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(list(self.model.rows.values())))
        expected = self.model.replay(row)

        def verb(desk: Desk) -> str | set[str]:
            try:
                return desk.store.jobs.replay(row.job.id)
            except HammerflowError as error:
                return str(error)

        assert (self.all(verb) == {row.job.queue}) is expected

    @rule(worker=WORKERS, data=st.data())
    def release_unheld(self, worker: int, data: st.DataObject) -> None:
        mine = [
            row
            for row in self.model.rows.values()
            if row.state == "running" and row.worker == worker
        ]
        held = {row.job.id for row in mine if data.draw(st.booleans())}
        count = self.all(lambda desk: desk.store.jobs.release_unheld(worker, held))
        assert count == len(mine) - len(held)
        for row in mine:
            if row.job.id not in held:
                self.model.settle(row, Released())

    @rule(queue=st.sampled_from("qr"))
    def pause_or_resume(self, queue: str) -> None:
        self.model.paused ^= {queue}
        if queue in self.model.paused:
            self.all(lambda desk: desk.store.queues.pause(queue))
        else:
            assert self.all(lambda desk: desk.store.queues.resume(queue))
        assert self.all(lambda desk: desk.store.queues.paused()) == self.model.paused

    def settle_batch(self, worker: int, batch: list[tuple[Claimed, Outcome]], again: bool) -> None:
        held = [(job, outcome) for job, outcome in batch if self.model.holds(worker, job)]
        stale, ended = self.all(lambda desk: seen(desk.settle(*batch, worker=worker)))
        assert stale == {job.id for job, _ in batch} - {job.id for job, _ in held}
        for job, outcome in held:
            self.model.settle(self.model.rows[job.id], outcome)
        final = {job.id for job, _ in held if self.model.rows[job.id].state in FINAL}
        assert final <= set(ended)
        if again:  # the acknowledgement was lost: nothing more happens
            stale, ended = self.all(lambda desk: seen(desk.settle(*batch, worker=worker)))
            assert (stale, ended) == ({job.id for job, _ in batch}, [])

    # -- what is true after each step

    @invariant()
    def tables_equal_the_model(self) -> None:
        rows = self.model.rows.values()
        expected = {
            row.job.id: (row.state, row.lease, row.attempt)
            if row.state not in ("waiting", "skipped")
            else (row.state, 0, 0)
            for row in rows
        }
        waiting = {r.job.id: (r.pending, r.failed) for r in rows if r.state == "waiting"}
        for desk in self.desks:
            stood, waits = tables(desk)
            steps[desk.kind] += 1
            assert stood == expected
            assert waits == waiting
            keys = {name: as_bytes(holder) for name, holder in desk.sql(KEYS_SQL)}
            assert {as_text(name): holder for name, holder in keys.items()} == self.model.keys


#: How many were compared with the model on each database; -s shows it.
steps: collections.Counter[str] = collections.Counter()
KEYS_SQL = "SELECT ukey, job_id FROM {unique_keys}"
DONE = {4: "completed", 5: "failed", 6: "cancelled", 7: "skipped"}
STATES_SQL = " UNION ALL ".join(
    [
        *(
            f"SELECT job_id, '{state}', lease, attempt, 0, 0 FROM {{{table}}}"
            for table, state in (
                ("ready", "ready"),
                ("leases", "running"),
                ("scheduled", "scheduled"),
                ("parked", "parked"),
            )
        ),
        "SELECT job_id, 'done', lease, attempt, state, 0 FROM {done}",
        "SELECT job_id, 'waiting', 0, 0, pending, failed FROM {waiting}",
    ]
)


def tables(desk: Desk) -> tuple[dict[bytes, tuple[str, int, int]], dict[bytes, tuple[int, int]]]:
    """(state, lease, attempt) of every job, and (pending, failed) of those that wait."""
    stood: dict[bytes, tuple[str, int, int]] = {}
    waits: dict[bytes, tuple[int, int]] = {}
    for raw, state, lease, attempt, first, second in desk.sql(STATES_SQL):
        job_id = as_bytes(raw)
        assert job_id not in stood, "a job stands in two state tables"
        stood[job_id] = DONE[first] if state == "done" else state, lease, attempt
        if state == "waiting":
            waits[job_id] = first, second
    return stood, waits


def seen(settlement: Any) -> tuple[set[bytes], list[bytes]]:
    return settlement.stale, sorted(settlement.ended)


def as_text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def check(desks: Sequence[Desk], examples: int) -> None:
    """Run the machine; the seed is printed, and an environment variable repeats it."""
    seed = int(os.environ.get("HAMMERFLOW_TEST_SEED") or random.SystemRandom().getrandbits(32))
    print(f"HAMMERFLOW_TEST_SEED={seed}")  # noqa: T201 - shown with a failure
    steps.clear()
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    machine: Any = hypothesis.seed(seed)(type("Seeded", (Machine,), {}))
    factory: Any = lambda: machine(desks)  # noqa: E731
    run_state_machine_as_test(factory, settings=settings)
    print(f"steps: {dict(steps)}")  # noqa: T201


@pytest.mark.timeout(3600 if EXAMPLES > 100 else 300)
def test_a_store_does_what_the_model_does(desk: Desk) -> None:
    check([desk], EXAMPLES)


@pytest.mark.slow
@pytest.mark.timeout(3600 if EXAMPLES > 100 else 300)
def test_three_databases_give_the_same_answers(
    migrated_database: Callable[[str], str], servers: None
) -> None:
    with contextlib.ExitStack() as stack:
        kinds = ("sqlite", "postgres", "mariadb")
        desks = [stack.enter_context(desk_at(migrated_database(kind))) for kind in kinds]
        check(desks, max(5, EXAMPLES // 3))
