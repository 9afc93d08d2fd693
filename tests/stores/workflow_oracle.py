"""What a workflow does, from its graph and the ends of its jobs: no counts, no tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hammerflow.jobs.job import DEPENDENCY, Rule
from hammerflow.jobs.status import FailurePolicy, WorkflowState

__all__ = ["Flow", "Model", "Node"]

ENDED = ("completed", "failed", "cancelled", "skipped")
UNSTARTED = ("waiting", "scheduled", "parked", "ready")
DONE, IDLE, BAD = "done", "idle", "bad"


@dataclass(eq=False)
class Node:
    """A job."""

    id: bytes
    flow: Flow | None
    deps: list[tuple[Any, int]] = field(default_factory=list)
    rule: Rule = Rule.COMPLETED
    when: str | None = None
    state: str = "waiting"
    verdict: str = ""
    attempt: int = 0
    held: bool = False  # it failed, and a person has to decide
    decided: bool = False  # a person has
    stop: bool = False  # it was asked to stop
    kids: list[Node] = field(default_factory=list)  # grafted: who waits for it waits for them
    told: bool = False  # the level before has seen the last of them end

    @property
    def over(self) -> bool:
        """Whether its end counts."""
        return self.state in ENDED and not self.held and self.told >= bool(self.kids)

    @property
    def kids_over(self) -> bool:
        """Whether all its grafted children have ended."""
        return all(kid.over for kid in self.kids)

    @property
    def counts_as(self) -> str:
        """How."""
        return BAD if any(kid.counts_as == BAD for kid in self.kids) else self.verdict

    @property
    def own(self) -> bool:
        """Whether it failed or was cancelled itself."""
        return self.state in ("failed", "cancelled")


@dataclass(eq=False)
class Flow:
    """A workflow."""

    id: bytes
    flow: Flow | None
    policy: FailurePolicy
    items: list[Any] = field(default_factory=list)
    state: WorkflowState = WorkflowState.RUNNING
    held: bool = False
    decided: bool = False
    failures: int = 0
    halted_by: bool = False

    @property
    def is_over(self) -> bool:
        return self.state > WorkflowState.CANCELLING

    @property
    def over(self) -> bool:
        """Whether its end counts."""
        return self.is_over and not self.held

    @property
    def counts_as(self) -> str:
        """How."""
        return DONE if self.state is WorkflowState.COMPLETED else BAD

    @property
    def own(self) -> bool:
        """Whether it ended by failures in it, or was halted."""
        return self.is_over and self.counts_as == BAD and bool(self.failures or self.halted_by)

    @property
    def is_complete(self) -> bool:
        """Whether nothing in it is left to end."""
        if self.state.is_halted:
            return all(
                item.is_over if isinstance(item, Flow) else item.state != "running"
                for item in self.items
            )
        return all(item.over for item in self.items)


class Model:
    """All workflows and jobs."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, Node] = {}
        self.flows: dict[bytes, Flow] = {}

    # -- ends

    def end(self, ends: list[tuple[Node, str]]) -> None:
        """Jobs end at once; everything that follows."""
        for node, state in ends:
            node.state = state
            node.verdict = DONE if state == "completed" else BAD
        self.hear([node for node, _ in ends if node.own])
        self.advance()

    def hear(self, failed: list[Any]) -> None:
        """What the failures mean for their workflows."""
        halted: list[Flow] = []
        counted = [(item, item.flow) for item in failed if item.flow is not None]
        counted = [(item, flow) for item, flow in counted if not flow.state.is_halted]
        for item, flow in sorted(counted, key=lambda pair: pair[1].id):
            flow.failures += 1
            if flow.state.is_halted:
                continue
            if flow.policy is FailurePolicy.FAIL_FAST:
                halted += self.halt(flow, WorkflowState.FAILING)
            elif flow.policy is FailurePolicy.MANUAL:
                flow.state, item.held = WorkflowState.PAUSED, True
        if halted:
            self.hear(halted)

    def halt(self, flow: Flow, state: WorkflowState, *, inner: bool = False) -> list[Flow]:
        """Cancel what has not started; the workflow, if it has ended by that."""
        if flow.state.is_halted:
            return []
        flow.state, flow.halted_by = state, True
        for item in flow.items:
            item.held = False
            if isinstance(item, Flow):
                self.halt(item, WorkflowState.CANCELLING, inner=True)
            elif item.state in UNSTARTED:
                item.state, item.verdict = "cancelled", BAD
        return self.finish(flow) if flow.is_complete and not inner else self.quiet(flow, inner)

    def quiet(self, flow: Flow, inner: bool) -> list[Flow]:
        if inner and flow.is_complete:
            self.finish(flow)
        return []

    def finish(self, flow: Flow) -> list[Flow]:
        """It ends; itself, if that is a failure."""
        flow.state = {
            WorkflowState.CANCELLING: WorkflowState.CANCELLED,
            WorkflowState.FAILING: WorkflowState.FAILED,
        }.get(flow.state, WorkflowState.FAILED if self.fails(flow) else WorkflowState.COMPLETED)
        return [flow] if flow.own else []

    def fails(self, flow: Flow) -> bool:
        """Whether a failure in it was a node's own, or ends a path (no one has dealt with it)."""
        if flow.failures:
            return True
        nodes = [item for item in flow.items if isinstance(item, Node)]
        waited = {dep for node in nodes for dep, kind in node.deps if kind == DEPENDENCY}
        return any(item.counts_as == BAD for item in flow.items if item not in waited)

    def advance(self) -> None:
        """Level by level, as long as something follows."""
        for node in self.nodes.values():
            node.told = node.told and node.kids_over
        while True:
            told = [n for n in self.nodes.values() if n.kids and n.kids_over and not n.told]
            free = [
                node
                for node in self.nodes.values()
                if node.state == "waiting"
                and not (node.flow and node.flow.state is WorkflowState.PAUSED)
                and all(dep.over for dep, _ in node.deps)
            ]
            complete = [f for f in self.flows.values() if not f.is_over and f.is_complete]
            if not (free or complete or told):
                return
            failed: list[Any] = []
            for node in free:
                self.release(node)
                failed += [node] if node.own else []
            for flow in complete:
                failed += self.finish(flow)
            for node in told:
                node.told = True
            self.hear(failed)

    def release(self, node: Node) -> None:
        """All that it waits for has ended."""
        verdicts = [dep.counts_as for dep, kind in node.deps if kind == DEPENDENCY]
        bad, idle = verdicts.count(BAD), verdicts.count(IDLE)
        if node.rule == Rule.FAILED and not bad:
            node.state, node.verdict = "skipped", IDLE
        elif node.rule in (Rule.COMPLETED, Rule.NOT_FAILED) and bad:
            node.state, node.verdict = "skipped", BAD
        elif (node.rule == Rule.COMPLETED and idle) or node.when == "false":
            node.state, node.verdict = "skipped", IDLE
        elif node.when not in (None, "true"):
            node.state, node.verdict = "failed", BAD
        else:
            node.state = "ready"

    # -- a person's verbs

    def cancel(self, flow: Flow) -> None:
        """End a workflow."""
        for node in self.inside(flow):
            node.stop = node.stop or node.state == "running"
        self.hear(self.halt(flow, WorkflowState.CANCELLING))
        self.advance()

    def retry(self, flow: Flow, chosen: set[bytes] | None) -> None:
        """Again what failed, and what did not run because of it."""
        scope = self.inside(flow)
        again = {
            n for n in scope if (n.own if chosen is None else n.id in chosen)
        }  # fmt: skip
        self.reopen(again, again, flow)

    def skip(self, node: Node) -> None:
        """Take it as done."""
        node.state, node.verdict, node.held, node.decided = "skipped", DONE, False, True
        assert node.flow is not None
        self.reopen({node}, set(), node.flow)

    def resume(self, flow: Flow) -> None:
        """Go on without what depends on the failures."""
        for item in flow.items:
            item.decided = item.decided or item.own
        self.reopen(set(), set(), flow)

    def inside(self, flow: Flow) -> list[Node]:
        """Its jobs at any depth."""
        nodes: list[Node] = []
        for item in flow.items:
            nodes += self.inside(item) if isinstance(item, Flow) else [item]
        return nodes

    def reopen(self, changed: set[Node], again: set[Node], asked: Flow) -> None:
        """The members that are not ended any more, with their workflows."""
        again, opened = set(again), {asked}
        while self.spread(again, opened, changed):
            pass
        for node in again:
            node.state, node.verdict, node.attempt = "waiting" if node.deps else "ready", "", 0
            node.held = node.decided = False
        for flow in opened:
            flow.decided = flow.decided and not flow.is_over
            flow.state, flow.halted_by = WorkflowState.RUNNING, False
        for flow in opened:
            flow.failures = sum(item.own for item in flow.items)
            for item in flow.items:
                manual = flow.policy is FailurePolicy.MANUAL
                item.held = manual and item.own and not item.decided
            if any(item.held for item in flow.items):
                flow.state = WorkflowState.PAUSED
        for node in self.nodes.values():
            node.told = node.kids_over
        self.advance()

    def spread(self, again: set[Node], opened: set[Flow], changed: set[Node]) -> bool:
        """What did not run because of these, and their workflows; whether anything was new."""
        size = len(again), len(opened)
        touched: set[Any] = again | changed | opened
        opened |= {item.flow for item in touched if item.flow is not None}
        for flow in [flow for flow in opened if flow.state.is_halted and flow.halted_by]:
            cancelled = (WorkflowState.CANCELLING, WorkflowState.CANCELLED)
            opened |= {f for f in flow.items if isinstance(f, Flow) and f.state in cancelled}
        renewed: set[Any] = again | changed | {flow for flow in opened if flow.is_over}
        for node in self.nodes.values():
            unrun = node.state in ("skipped", "cancelled") and not node.attempt
            if not unrun or node.decided or node.flow is None:
                continue
            stopped = node.flow in opened and node.flow.halted_by and node.state == "cancelled"
            if stopped or any(is_in(dep, renewed) for dep, _ in node.deps):
                again.add(node)
        return size != (len(again), len(opened))


def is_in(item: Any, renewed: set[Any]) -> bool:
    """Whether it, or what was grafted onto it, is among these."""
    return item in renewed or any(is_in(kid, renewed) for kid in getattr(item, "kids", ()))
