"""Pairs of units that meet at one spawner, its children or its join, and how they must end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hammerflow.jobs.job import Claimed, JobState, NewJob
from hammerflow.jobs.outcome import Completed, Outcome, Released
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import LockedOut
from hammerflow.stores.store import Store
from tests.stores.kit import Desk, failed, spawned
from tests.stores.workflow_kit import Sketch, brood, check_flows, facts, flow_state

__all__ = ["PAIRS", "Pair", "World"]

Unit = Callable[[Store], Any]
DONE = Completed(b"M\x01")
COMPLETED, CANCELLED, SKIPPED = 4, 6, 7
_TABLES = (
    "waiting", "scheduled", "ready", "leases", "parked", "done", "jobs", "errors", "spawns",
    "edges", "workflows", "nodes", "barriers", "workers", "worker_tasks",
)  # fmt: skip
_QUEUES = ("q", "other")
_LONG = 3600.0


@dataclass
class World:
    """A spawner that worker 1 runs, a job that worker 2 runs, and a join that waits for both.

    Attributes:
        children: their leases, where the spawner has ended already.
        is_hurried: settles give up on locks, as those of a worker do.
        starts: how often each job was claimed.
    """

    desk: Desk
    spawner: Claimed
    other: Claimed
    join: bytes
    flow: bytes | None = None
    wait_for_children: bool = False
    children: Sequence[Claimed] = ()
    starts: Counter[bytes] = field(default_factory=Counter)
    is_hurried: bool = False

    # -- units

    def spawn(self, spawner: Claimed) -> Outcome:
        """The spawner's end: two children; outside a workflow a join of their own, too."""
        if self.flow is not None:
            return brood(spawner, 2, wait_for_children=self.wait_for_children)
        return spawned(*self.desk.family(spawner, 2))

    def settle_spawner(self, store: Store) -> set[bytes]:
        return self.settle(store, 1, (self.spawner, self.spawn(self.spawner)))

    def release_spawner(self, store: Store) -> set[bytes]:
        return self.settle(store, 1, (self.spawner, Released()))

    def settle_other(self, store: Store) -> set[bytes]:
        return self.settle(store, 2, (self.other, DONE))

    def fail_other(self, store: Store) -> set[bytes]:
        return self.settle(store, 2, (self.other, failed()))

    def settle_child(self, number: int) -> Unit:
        child = self.children[number]
        return lambda store: self.settle(store, 1 + number, (child, DONE))

    def claim(self, store: Store) -> list[Claimed]:
        claimed = self.desk.claim(worker=2, store=store)
        self.starts.update(job.id for job in claimed)
        return claimed

    def twice(self, unit: Unit) -> Unit:
        """A settle whose answer was lost comes again."""

        def work(store: Store) -> Any:
            first = unit(store)
            if isinstance(first, set):
                assert unit(store), "a settle was taken twice"
            return first

        return work

    def settle(self, store: Store, worker: int, *ends: tuple[Claimed, Outcome]) -> set[bytes]:
        """Give up on a lock that another holds, and try each job alone then; the stale ones."""
        if not self.is_hurried:
            return store.jobs.settle(worker, ends).stale
        try:
            settlement = store.jobs.settle(worker, ends, patience=_LONG)
        except LockedOut:
            stale, left = set(), {job.id for job, _ in ends}
        else:
            stale, left = settlement.stale, settlement.held
        for end in ends:
            if end[0].id in left:
                stale |= store.jobs.settle(worker, [end]).stale
        return stale

    # -- afterwards

    def recount(self) -> None:
        """Each counter is what a recount finds, and each job stands in one table."""
        if self.flow is None:
            self.desk.check()
        else:
            check_flows(self.desk)
        for job_id, pending, bad in facts(
            self.desk, "SELECT job_id, pending, failed FROM {waiting}"
        ):
            one = self.desk.id(job_id)
            awaited = (
                f"SELECT id FROM {{jobs}} WHERE dependent_id = {one}"
                f" UNION SELECT parent_id FROM {{edges}} WHERE child_id = {one}"
            )
            ended = f"SELECT job_id FROM {{done}} WHERE job_id IN ({awaited})"
            open_ids = set(self.desk.ids(awaited)) - set(self.desk.ids(ended))
            open_ids |= set(self.desk.ids(f"SELECT id FROM {{barriers}} WHERE id IN ({awaited})"))
            assert pending == len(open_ids), "a counter that a recount does not find"
            assert bad == len(self.desk.ids(f"{ended} AND state <> 4"))

    def run_on(self) -> None:
        """Another worker takes over the leases that are left, and works everything off."""
        self.desk.store.workers.sweep(lease=-1, poison_limit=10)
        while jobs := [job for queue in _QUEUES for job in self.desk.claim(queue=queue, worker=9)]:
            self.starts.update(job.id for job in jobs)
            ends = [(job, self.spawn(job) if job.id == self.spawner.id else DONE) for job in jobs]
            assert self.desk.settle(*ends, worker=9).stale == set()

    def check_end(self) -> None:
        """All have ended; the spawner has all of its children, each once, or none at all."""
        for table in ("waiting", "scheduled", "ready", "leases", "parked", "barriers"):
            assert self.desk.count(table) == 0, f"rows are left in {table}"
        self.recount()
        parent = self.desk.id(self.spawner.id)
        places = f"SELECT spawn_index FROM {{jobs}} WHERE parent_id = {parent} ORDER BY spawn_index"
        spawner_completed = self.states()[self.spawner.id] == COMPLETED
        count = (3 if self.flow is None else 2) if spawner_completed else 0
        assert [row[0] for row in self.desk.sql(places)] == [*range(count)]

    def states(self) -> dict[bytes, int]:
        """How each job has ended."""
        return dict(facts(self.desk, "SELECT job_id, state FROM {done}"))  # type: ignore[arg-type]

    def check_all_completed(self) -> None:
        """Every job has completed, and what waited was started once."""
        assert set(self.states().values()) == {COMPLETED}
        started = {self.spawner.id, self.other.id, *(child.id for child in self.children)}
        late = self.states().keys() - started
        assert {self.starts[job_id] for job_id in late} == {1}, "a job was released twice"

    def check_none_started(self) -> None:
        """Of what waited nothing was started: join and children were cancelled or skipped."""
        assert self.starts.total() == 0
        states = self.states()
        assert {states[id_] for id_ in states.keys() - {self.spawner.id, self.other.id}} <= {
            CANCELLED,
            SKIPPED,
        }


@dataclass
class TwoFlows(World):
    """Two workflows of two jobs and a join; each worker runs one job of either."""

    mine: Sequence[Claimed] = ()  # of worker 1, the first is the spawner
    others: Sequence[Claimed] = ()  # of worker 2

    def settle_mine(self, *outcomes: Outcome) -> Unit:
        """Worker 1 ends a job of the first workflow, and one of the second."""
        return lambda store: self.settle(store, 1, *zip(self.mine, outcomes, strict=True))

    def settle_others(self, *outcomes: Outcome) -> Unit:
        """Worker 2 does."""
        return lambda store: self.settle(store, 2, *zip(self.others, outcomes, strict=True))

    def check_end(self) -> None:
        """All have ended."""
        for table in ("waiting", "scheduled", "ready", "leases", "parked", "barriers"):
            assert self.desk.count(table) == 0, f"rows are left in {table}"
        self.recount()


# -- worlds


def plain(desk: Desk) -> World:
    """Without a workflow."""
    _wipe(desk)
    join = desk.job(pending=2)
    spawner = desk.job(dependent_id=join.id)
    other = desk.job(dependent_id=join.id, queue="other")
    desk.put(spawner, other, join)
    return _claimed(desk, join.id)


def with_children(desk: Desk) -> World:
    """The spawner has ended; each worker runs one of its children."""
    world = plain(desk)
    assert world.settle_spawner(desk.store) == set()
    return _claim_children(world)


def in_a_workflow(policy: str, *, wait_for_children: bool) -> Callable[[Desk], World]:
    """The three are the nodes of a workflow."""

    def prepare(desk: Desk) -> World:
        _wipe(desk)
        sketch = Sketch(policy)
        join = sketch.job(sketch.job(), sketch.job(queue="other"))
        sketch.put(desk)
        return _claimed(desk, join.id, sketch.id, wait_for_children)

    return prepare


def in_a_workflow_with_children(desk: Desk) -> World:
    """The children hold the spawner's end back; the other job has ended."""
    world = in_a_workflow("continue_on_failure", wait_for_children=True)(desk)
    assert world.settle_spawner(desk.store) == world.settle_other(desk.store) == set()
    return _claim_children(world)


def in_two_workflows(policy: str, *, is_hurried: bool = False) -> Callable[[Desk], World]:
    """A batch of each worker covers both workflows."""

    def prepare(desk: Desk) -> World:
        _wipe(desk)
        sketches = [Sketch(policy), Sketch(policy)]
        joins = [s.job(s.job(), s.job(queue="other")) for s in sketches]
        for sketch in sketches:
            sketch.put(desk)
        mine, others = (
            sorted(desk.claim(worker=n, queue=queue), key=lambda job: job.workflow_id or b"")
            for n, queue in ((1, "q"), (2, "other"))
        )
        flow = sketches[0].id
        return TwoFlows(
            desk, mine[0], others[0], joins[0].id, flow, mine=mine, others=others,
            is_hurried=is_hurried,
        )  # fmt: skip

    return prepare


def _settle_both(world: World) -> tuple[Unit, Unit]:
    assert isinstance(world, TwoFlows)
    return world.settle_mine(DONE, failed()), world.settle_others(failed(), DONE)


def _complete_both(world: World) -> tuple[Unit, Unit]:
    assert isinstance(world, TwoFlows)
    return world.settle_mine(DONE, DONE), world.settle_others(DONE, DONE)


def _cancel_and_settle(world: World) -> tuple[Unit, Unit]:
    assert isinstance(world, TwoFlows)
    return world.settle_mine(DONE, failed()), _cancel_flow(world)


def _wipe(desk: Desk) -> None:
    for table in _TABLES:
        desk.sql(f"DELETE FROM {{{table}}}")


def _claimed(
    desk: Desk, join: bytes, flow: bytes | None = None, wait_for_children: bool = False
) -> World:
    (spawner,), (other,) = desk.claim(worker=1), desk.claim(worker=2, queue="other")
    is_hurried = flow is None  # the orders of two hurried units of a workflow would take hours
    return World(desk, spawner, other, join, flow, wait_for_children, is_hurried=is_hurried)


def _claim_children(world: World) -> World:
    first, second = world.desk.claim(1, worker=1), world.desk.claim(1, worker=2)
    world.children = [*first, *second]
    return world


# -- pairs


@dataclass
class Pair:
    """Two units in a world, and what holds once they and all else have ended."""

    prepare: Callable[[Desk], World]
    units: Callable[[World], tuple[Unit, Unit]]
    end: Callable[[World, Any, Any], None]


def _both_taken(world: World, first: Any, second: Any) -> None:
    assert first == second == set()
    world.check_all_completed()


def _one_of_two(world: World, first: Any, second: Any) -> None:
    assert sorted(map(len, (first, second))) == [0, 1], "a settle was taken twice, or never"
    world.check_all_completed()


def _taken_or_rescued(world: World, stale: Any, rescued: Any) -> None:
    rescued = rescued if isinstance(rescued, int) else rescued.rescued
    assert rescued == len(stale), "rescued and settled, or neither"
    assert world.starts[world.spawner.id] == rescued
    world.check_all_completed()


def _rescued_once(world: World, first: Any, second: Any) -> None:
    assert (first.rescued + second.rescued, world.starts[world.spawner.id]) == (1, 1)
    world.check_all_completed()


def _answer_holds(world: World, stale: Any, state: Any) -> None:
    assert stale == set()
    if state is JobState.COMPLETED:
        world.check_all_completed()
    else:  # whoever asked was told that it stops
        assert state is JobState.RUNNING
        states = world.states()
        assert (states[world.spawner.id], states[world.join]) == (CANCELLED, SKIPPED)
        assert world.starts.keys() <= {world.other.id}


def _spawner_cancelled(world: World, stale: Any, state: Any) -> None:
    assert stale == set()
    assert state in (JobState.RUNNING, JobState.CANCELLED)
    states = world.states()
    assert (states[world.spawner.id], states[world.join]) == (CANCELLED, SKIPPED)
    assert world.starts.keys() <= {world.other.id}


def _join_cancelled(world: World, stale: Any, state: Any) -> None:
    assert (stale, state) == (set(), JobState.CANCELLED)
    assert (world.states()[world.join], world.starts[world.join]) == (CANCELLED, 0)


def _both_children_or_none(world: World, stale: Any, claimed: Any) -> None:
    assert stale == set()
    assert [job.spawn_index for job in claimed] in ([], [0, 1])
    again = {job.id for job in claimed}  # nobody settled them: another worker had to start them
    assert {world.starts.pop(job_id) for job_id in again} <= {2}
    world.starts.update(dict.fromkeys(again, 1))
    world.check_all_completed()


def _flow_failed(world: World, first: Any, second: Any) -> None:
    assert first == second == set()
    assert world.flow is not None
    assert flow_state(world.desk, world.flow) is WorkflowState.FAILED
    world.check_none_started()


def _flow_cancelled(world: World, stale: Any, _: Any) -> None:
    assert stale == set()
    assert world.flow is not None
    assert flow_state(world.desk, world.flow) is WorkflowState.CANCELLED
    world.check_none_started()


def _both_failed(world: World, first: Any, second: Any) -> None:
    assert first == second == set()
    states = {row[0] for row in facts(world.desk, "SELECT status FROM {workflows}")}
    assert states == {WorkflowState.FAILED}
    assert world.starts.total() == 0


def _both_joins_ran(world: World, first: Any, second: Any) -> None:
    assert first == second == set()
    assert set(world.states().values()) == {COMPLETED}
    assert [*world.starts.values()] == [1, 1], "a join was released twice, or never"


def _ended(world: World, stale: Any, _: Any) -> None:
    assert stale == set()
    assert world.starts.total() == 0


def _flow_completed(world: World, first: Any, second: Any) -> None:
    _both_taken(world, first, second)
    assert world.flow is not None
    assert flow_state(world.desk, world.flow) is WorkflowState.COMPLETED


def _late_ran_once(world: World, stale: Any, late: Any) -> None:
    assert stale == set()
    assert world.starts[late] == 1
    world.check_all_completed()


def _sweep(world: World) -> Unit:
    """Worker 1 was never registered, worker 2 is alive."""
    if world.desk.count("workers") == 0:
        world.desk.register(2)
    return lambda store: store.workers.sweep(lease=300, poison_limit=10)


def _cancel(job_id: bytes) -> Unit:
    return lambda store: store.jobs.cancel(job_id, "by hand")


def _depend(world: World) -> Unit:
    late: NewJob = world.desk.job(depends=[world.spawner.id])
    return lambda store: store.jobs.insert([late]).ids[0]


def _cancel_flow(world: World) -> Unit:
    flow = world.flow
    assert flow is not None
    return lambda store: store.workflows.cancel(flow, "by hand")


def _alone(desk: Desk) -> World:
    """The spawner's end is the last that the join waits for."""
    world = plain(desk)
    assert world.settle_other(desk.store) == set()
    return world


_SIMPLE = in_a_workflow("continue_on_failure", wait_for_children=True)
PAIRS = {
    "settle of the spawner, settle of the other": Pair(
        plain, lambda w: (w.settle_spawner, w.settle_other), _both_taken
    ),
    "settle of the spawner, the same again": Pair(
        plain, lambda w: (w.settle_spawner, w.settle_spawner), _one_of_two
    ),
    "settle of the spawner, sweep of its lease": Pair(
        plain, lambda w: (w.settle_spawner, _sweep(w)), _taken_or_rescued
    ),
    "settle of the spawner, its lease given back as unheld": Pair(
        plain,
        lambda w: (w.settle_spawner, lambda store: store.jobs.release_unheld(1, set())),
        _taken_or_rescued,
    ),
    "settle of the spawner, its cancel": Pair(
        plain, lambda w: (w.settle_spawner, _cancel(w.spawner.id)), _answer_holds
    ),
    "release of the spawner, its cancel": Pair(
        plain, lambda w: (w.release_spawner, _cancel(w.spawner.id)), _spawner_cancelled
    ),
    "last settle of the join, cancel of the join": Pair(
        _alone, lambda w: (w.settle_spawner, _cancel(w.join)), _join_cancelled
    ),
    "settle of the spawner, claim": Pair(
        plain, lambda w: (w.settle_spawner, w.claim), _both_children_or_none
    ),
    "settle of the spawner, a job that is to wait for it": Pair(
        plain, lambda w: (w.settle_spawner, _depend(w)), _late_ran_once
    ),
    "settle of one child, settle of the other child": Pair(
        with_children, lambda w: (w.settle_child(0), w.settle_child(1)), _both_taken
    ),
    "sweep, sweep": Pair(plain, lambda w: (_sweep(w), _sweep(w)), _rescued_once),
    "workflow: settle of the spawner, settle of the other": Pair(
        _SIMPLE, lambda w: (w.settle_spawner, w.settle_other), _flow_completed
    ),
    "workflow: settle of the last children": Pair(
        in_a_workflow_with_children,
        lambda w: (w.settle_child(0), w.settle_child(1)),
        _flow_completed,
    ),
    "workflow, fail fast: settle of the spawner, failure of the other": Pair(
        in_a_workflow("fail_fast", wait_for_children=False),
        lambda w: (w.settle_spawner, w.fail_other),
        _flow_failed,
    ),
    "workflow: settle of the spawner, its cancel": Pair(
        _SIMPLE, lambda w: (w.settle_spawner, _cancel(w.spawner.id)), _answer_holds
    ),
    "two workflows: two completions in each": Pair(
        in_two_workflows("continue_on_failure", is_hurried=True), _complete_both, _both_joins_ran
    ),
    "two workflows: a completion and a failure in each": Pair(
        in_two_workflows("continue_on_failure"), _settle_both, _both_failed
    ),
    "two workflows, fail fast: a completion and a failure in each": Pair(
        in_two_workflows("fail_fast"), _settle_both, _both_failed
    ),
    "two workflows, fail fast: settle of one job of each, cancel of the first": Pair(
        in_two_workflows("fail_fast"), _cancel_and_settle, _ended
    ),
    "workflow: settle of the spawner, cancel of the workflow": Pair(
        _SIMPLE, lambda w: (w.settle_spawner, _cancel_flow(w)), _flow_cancelled
    ),
}
