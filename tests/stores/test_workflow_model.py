"""Workflows against an oracle: random graphs, outcomes, policies, cancels, retries and rescues.

The seeds are 1 to 60 and a few that found something; HAMMERFLOW_TEST_FLOW_SEEDS makes it longer,
HAMMERFLOW_TEST_SEED plays one.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hammerflow.jobs.job import DEPENDENCY, Claimed, Rule
from hammerflow.jobs.outcome import (
    Cancelled,
    Completed,
    Outcome,
    Parked,
    Released,
    Retrying,
    Snoozed,
)
from hammerflow.jobs.status import FailurePolicy
from hammerflow.stores.transitions import lookahead
from hammerflow.workflows.planned import PlannedItem, PlannedWorkflow
from tests.stores.kit import BAD, Desk, desk_at, failed
from tests.stores.workflow_kit import VALUE, Sketch, brood, check_flows, facts
from tests.stores.workflow_oracle import DONE, UNSTARTED, Flow, Model, Node

SEEDS = int(os.environ.get("HAMMERFLOW_TEST_FLOW_SEEDS", "60"))
STEPS = 40
TELLING = (1223, 4073, 1_200_883_037)  # what these found has been mended
POLICIES = [*FailurePolicy]
RULES = [Rule.COMPLETED] * 6 + [Rule.NOT_FAILED, Rule.FAILED, Rule.ENDED]
WHENS = [None] * 8 + ["true", "false", "1 / 0 == 1"]
PLACES = ("waiting", "scheduled", "ready", "parked", "leases", "done")
CODES = {4: "completed", 5: "failed", 6: "cancelled", 7: "skipped"}


class Play:
    """One seed: a graph, and steps on every desk and on the model."""

    def __init__(self, seed: int, desks: Sequence[Desk]) -> None:
        self.random = random.Random(seed)
        self.desks = desks
        self.model = Model()
        self.held: dict[bytes, Claimed] = {}
        self.old: list[Claimed] = []
        self.log: list[str] = []
        self.draw()

    def draw(self) -> None:
        """A graph with up to two workflows inside the outermost."""
        pick = self.random
        sketch = Sketch(pick.choice(POLICIES))
        known: dict[PlannedItem, Any] = {}

        def enter(item: PlannedWorkflow) -> None:
            outer = known[item.workflow] if item.workflow else None
            known[item] = flow = Flow(item.id, outer, item.policy)
            self.model.flows[item.id] = flow
            if outer:
                outer.items.append(flow)

        def node(flow: PlannedWorkflow, reach: list[PlannedItem]) -> PlannedItem:
            after = pick.sample(reach, min(len(reach), pick.choice([0, 1, 1, 2, 3])))
            order = [i for i in pick.sample(reach, min(len(reach), 1)) if i not in after]
            order = order if pick.random() < 0.25 else []
            rule = pick.choice(RULES) if after else Rule.COMPLETED
            when = pick.choice(WHENS) if after else None
            step = sketch.job(*after, flow=flow, rule=rule, when=when, order=order)
            deps = [(known[item], kind) for item, kind in step.after.items()]
            known[step] = made = Node(step.id, known[flow], deps, rule, when)
            self.model.nodes[step.id] = made
            known[flow].items.append(made)
            return step

        enter(sketch.top)
        outer: list[PlannedItem] = []
        for _ in range(pick.randint(2, 7)):
            if pick.random() < 0.2:
                inner = sketch.flow(sketch.top, pick.choice(POLICIES))
                enter(inner)
                reach = [*outer] if pick.random() < 0.5 else []
                for _ in range(pick.randint(1, 3)):
                    reach.append(node(inner, reach))
                outer.append(inner)
            else:
                outer.append(node(sketch.top, outer))
        sketch.put(*self.desks)
        self.model.advance()

    # -- steps

    def all(self, verb: Callable[[Desk], Any]) -> Any:
        """Do it on every desk; the answer, which is the same on each."""
        answers = [verb(desk) for desk in self.desks]
        assert all(answer == answers[0] for answer in answers[1:]), answers
        return answers[0]

    def step(self) -> None:
        """One verb, then a look at everything."""
        verbs = [self.claim] * 8 + [self.settle] * 16 + [
            self.cancel, self.cancel_flow, self.retry, self.retry, self.retry_one, self.retry_one,
            self.skip, self.skip, self.resume, self.stale, self.rescue,
        ]  # fmt: skip
        self.random.choice(verbs)()
        self.check()

    def claim(self) -> None:
        n = self.random.randint(1, 4)

        def verb(desk: Desk) -> list[Claimed]:
            return desk.claim(n)

        for job in self.all(verb):
            node = self.model.nodes[job.id]
            assert node.state == "ready"
            node.state, node.attempt, node.stop = "running", job.attempt, False
            self.held[job.id] = job
        self.log.append(f"claim {n}")

    def outcome(self, job: Claimed) -> Outcome:
        pick = self.random
        kind = pick.choice(["ok"] * 6 + ["failed"] * 3 + ["cancelled", "retry", "back", "park"])
        if kind == "ok" and pick.random() < 0.2 and job.depth < 2:
            return brood(job, pick.randint(1, 2), wait_for_children=pick.random() < 0.6)
        return {
            "ok": Completed(VALUE),
            "failed": failed(),
            "cancelled": Cancelled("because"),
            "retry": Retrying(0, BAD),
            "back": self.random.choice([Released(), Snoozed(50)]),
            "park": Parked("x", BAD),
        }[kind]

    def settle(self) -> None:
        """A batch of outcomes."""
        ids = self.random.sample(sorted(self.held), min(len(self.held), self.random.randint(1, 3)))
        jobs = [self.held.pop(id_) for id_ in ids]
        batch = [(job, self.outcome(job)) for job in jobs]
        if not batch:
            return
        self.old += jobs
        self.log.append(f"settle {[(self.name(j.id), type(o).__name__) for j, o in batch]}")
        self.all(lambda desk: desk.settle(*batch).stale)
        ends = []
        for job, outcome in batch:
            node = self.model.nodes[job.id]
            ends += self.ended(node, outcome)
        self.model.end(ends)
        for flow in self.model.flows.values():  # children that came too late
            if flow.state.is_halted:
                for item in flow.items:
                    if isinstance(item, Node) and item.state in UNSTARTED:
                        item.state, item.verdict = "cancelled", "bad"
        self.model.advance()

    def ended(self, node: Node, outcome: Outcome) -> list[tuple[Node, str]]:
        assert node.flow is not None
        match outcome:
            case _ if node.stop:
                return [(node, "cancelled")]
            case Completed(spawned=spawned):
                if spawned is not None:
                    for child in spawned.children:
                        kid = Node(child.id, node.flow, state="ready")
                        self.model.nodes[child.id] = kid
                        node.flow.items.append(kid)
                        if spawned.wait_for_children:
                            node.kids.append(kid)
                return [(node, "completed")]
            case Cancelled():
                return [(node, "cancelled")]
            case Retrying() | Released() | Snoozed() | Parked() if node.flow.state.is_halted:
                return [(node, "cancelled")]
            case Retrying():
                node.state = "ready"
            case Released():
                node.state, node.attempt = "ready", node.attempt - 1
            case Snoozed():
                node.state, node.attempt = "scheduled", node.attempt - 1
            case Parked():
                node.state = "parked"
            case _:
                return [(node, "failed")]
        return []

    def stale(self) -> None:
        """An old lease: nothing happens."""
        old = [job for job in self.old if job.id not in self.held]
        if old:
            job = self.random.choice(old)
            self.log.append(f"stale {self.name(job.id)}")
            assert self.all(lambda desk: desk.settle((job, failed())).stale) == {job.id}

    def cancel(self) -> None:
        """A job that has not started."""
        open_ = [n for n in self.model.nodes.values() if n.state in UNSTARTED]
        if open_:
            node = self.random.choice(open_)
            self.log.append(f"cancel {self.name(node.id)}")
            self.all(lambda desk: desk.store.jobs.cancel(node.id, "no"))
            self.model.end([(node, "cancelled")])

    def cancel_flow(self) -> None:
        """A workflow."""
        open_ = [f for f in self.model.flows.values() if not f.is_over]
        if open_ and self.random.random() < 0.4:
            flow = self.random.choice(open_)
            self.log.append(f"cancel workflow {self.name(flow.id)}")
            self.all(lambda desk: desk.store.workflows.cancel(flow.id, "no") and None)
            self.model.cancel(flow)

    def retry(self) -> None:
        """All that failed."""
        flow = self.random.choice([*self.model.flows.values()])
        self.log.append(f"retry {self.name(flow.id)}")
        self.all(
            lambda desk: (
                desk.store.workflows.rerun(flow.id, only=None, downstream=False, by="me") and None
            )
        )
        self.model.retry(flow, None)

    def retry_one(self) -> None:
        """One job that did not complete."""
        bad = [
            n
            for n in self.model.nodes.values()
            if n.state in ("failed", "cancelled", "skipped") and n.flow is not None
        ]
        if bad:
            node = self.random.choice(bad)
            self.log.append(f"retry node {self.name(node.id)}")
            self.all(lambda desk: desk.store.jobs.replay(node.id) and None)
            assert node.flow is not None
            self.model.retry(node.flow, {node.id})

    def skip(self) -> None:
        """A node that did not complete."""
        bad = [n for n in self.model.nodes.values() if n.own]
        if bad:
            node = self.random.choice(bad)
            flow = node.flow
            assert flow is not None
            self.log.append(f"skip {self.name(node.id)}")
            self.all(lambda desk: desk.store.workflows.skip(flow.id, node.id, "me") and None)
            self.model.skip(node)
            assert node.verdict == DONE

    def resume(self) -> None:
        """A workflow that is paused."""
        paused = [f for f in self.model.flows.values() if f.state.name == "PAUSED"]
        if paused:
            flow = self.random.choice(paused)
            self.log.append(f"resume {self.name(flow.id)}")
            self.all(lambda desk: desk.store.workflows.resume(flow.id, "me") and None)
            self.model.resume(flow)

    def rescue(self) -> None:
        """The worker dies with all that it holds."""
        if not self.held:
            return
        self.log.append("rescue")
        self.all(lambda desk: desk.store.workers.sweep(lease=300, poison_limit=10**6) and None)
        ends = []
        for id_ in self.held:
            node = self.model.nodes[id_]
            assert node.flow is not None
            if node.stop or node.flow.state.is_halted:
                ends.append((node, "cancelled"))
            else:
                node.state = "ready"
        self.old += self.held.values()
        self.held.clear()
        self.model.end(ends)

    # -- what is true after each step

    def name(self, id_: bytes) -> str:
        if id_ in self.model.flows:
            return f"w{[*self.model.flows].index(id_)}"
        return f"n{[*self.model.nodes].index(id_)}"

    def check(self) -> None:
        for desk in self.desks:
            self.check_states(desk)
            self.check_pending(desk)
            check_flows(desk)

    def check_states(self, desk: Desk) -> None:
        found = {}
        for table in PLACES:
            column = "state" if table == "done" else "0"
            for id_, code in facts(desk, f"SELECT job_id, {column} FROM {{{table}}}"):
                assert id_ not in found, "a job stands in two state tables"
                found[id_] = CODES[code] if code else table.replace("leases", "running")
        expected = {n.id: n.state for n in self.model.nodes.values()}
        wrong = {
            self.name(id_): (found.get(id_), expected[id_])
            for id_ in expected
            if found.get(id_) != expected[id_]
        }
        assert not wrong, f"(store, oracle): {wrong}"
        states = {row[0]: row[1] for row in facts(desk, "SELECT id, status FROM {workflows}")}
        flows = {f.id: f.state for f in self.model.flows.values()}
        wrong_flows = {
            self.name(i): (states[i], flows[i].name) for i in flows if states[i] != flows[i]
        }
        assert not wrong_flows, f"(store, oracle): {wrong_flows}"

    def check_pending(self, desk: Desk) -> None:
        for id_, pending in facts(desk, "SELECT job_id, pending FROM {waiting}"):
            left = sum(not dep.over for dep, _ in self.model.nodes[id_].deps)
            assert pending == left, f"{self.name(id_)} waits for {pending}, not {left}"

    def drawing(self) -> str:
        """The graph and what was done, for a failure's message."""
        lines = [
            f"{self.name(n.id)} in {n.flow and self.name(n.flow.id)} rule={n.rule.name} "
            f"when={n.when} after="
            + ", ".join(
                f"{self.name(d.id)}{'' if k == DEPENDENCY else ' (order)'}" for d, k in n.deps
            )
            for n in self.model.nodes.values()
        ]
        lines += [
            f"{self.name(f.id)} {f.policy} in {f.flow and self.name(f.flow.id)}"
            for f in self.model.flows.values()
        ]
        return "\n".join([*lines, *self.log])


def play(desks: Sequence[Desk], seed: int) -> None:
    """One seed from the beginning to the end of all its jobs."""
    for desk in desks:
        for table in ("queues", "tasks", "jobs", *PLACES, "errors", "spawns", "edges",
                      "workflows", "nodes", "barriers", "unique_keys"):  # fmt: skip
            desk.sql(f"DELETE FROM {{{table}}}")
        desk.store.names.queues.clear()
        desk.store.names.tasks.clear()
    game = Play(seed, desks)
    try:
        game.check()
        for _ in range(STEPS):
            game.step()
        for desk in desks if seed % 10 == 4 or len(desks) == 1 else ():
            assert desk.damage(but=("names_missing",)) == {}
    except Exception as error:
        raise AssertionError(f"HAMMERFLOW_TEST_SEED={seed}\n{game.drawing()}\n{error}") from error


def seeds(count: int) -> list[int]:
    """The first ones, or the one that is asked for."""
    given = os.environ.get("HAMMERFLOW_TEST_SEED")
    return [int(given)] if given else [*range(1, count + 1), *TELLING]


@pytest.mark.parametrize("ahead", [None, 1, 900])
def test_a_workflow_does_what_the_oracle_does(
    migrated_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, ahead: int | None
) -> None:
    """Level by level as usual, and as in long cascades, where jobs are read ahead."""
    if ahead is not None:
        monkeypatch.setattr(lookahead, "_USUAL_LEVELS", 0)
        monkeypatch.setattr(lookahead, "_AHEAD", ahead)
    with desk_at(migrated_database("sqlite")) as desk:
        for seed in seeds(SEEDS):
            play([desk], seed)


@pytest.mark.slow
def test_three_databases_do_the_same(
    migrated_database: Callable[[str], str], servers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        kinds = ("sqlite", "postgres", "mariadb")
        desks = [stack.enter_context(desk_at(migrated_database(kind))) for kind in kinds]
        for seed in seeds(max(5, SEEDS // 3)):
            monkeypatch.setattr(lookahead, "_USUAL_LEVELS", 2 * (seed % 2))
            play(desks, seed)
