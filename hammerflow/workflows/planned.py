"""Planned jobs and workflows: what a plan consists of."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeAlias

from hammerflow.canvas.signature import Signature
from hammerflow.jobs.job import DEPENDENCY, Rule
from hammerflow.jobs.status import FailurePolicy
from hammerflow.workflows.references import FailedJobs, ResultRef
from hammerflow.workflows.workflow import Workflow

__all__ = ["Output", "PlannedItem", "PlannedJob", "PlannedWorkflow"]


#: What comes out of a part: the item whose result it is, or several in order.
Output: TypeAlias = "PlannedItem | list[Any]"


@dataclass(eq=False, slots=True)
class PlannedItem:
    """Something that ends: a job, or a workflow inside another."""

    id: bytes
    workflow: PlannedWorkflow | None  # it is a member of
    name: str | None  # of its node there
    # Whether its row is there already and says who waits for it (a replaced job).
    exists: bool = field(default=False, kw_only=True)
    # Who waits for it, with the kind of the edge.
    dependents: list[tuple[PlannedItem, int]] = field(default_factory=list, init=False)
    position: int | None = field(default=None, init=False)  # among the members, from 0
    _outgoing: tuple[bytes | None, bool] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.workflow is not None:
            self.position = len(self.workflow.items)
            self.workflow.items.append(self)

    def outgoing(self) -> tuple[bytes | None, bool]:
        """Who learns of its end: the id in its own row (its first dependent in the same workflow,
        else its workflow), and whether edges start here.

        Ask once the plan is complete: the answer is kept, as each of its dependents asks for it.
        """
        if self._outgoing is None:
            self._outgoing = self._find_outgoing()
        return self._outgoing

    def _find_outgoing(self) -> tuple[bytes | None, bool]:
        if self.exists:
            return None, bool(self.dependents)
        # A dependent in an inner workflow is not a successor: that workflow can be cancelled alone,
        # and then the workflow around it would end before this item.
        for other, kind in self.dependents:
            if self.is_followed_by(other, kind):
                return other.id, len(self.dependents) > 1
        return (self.workflow.id if self.workflow else None), bool(self.dependents)

    def is_followed_by(self, other: PlannedItem, kind: int) -> bool:
        """Whether a dependent is in the same workflow and its start depends on this end."""
        return kind == DEPENDENCY and other.workflow is self.workflow


@dataclass(eq=False, slots=True)
class PlannedJob(PlannedItem):
    """A call that will be a job."""

    signature: Signature
    # What it waits for, with the kind of the edge; and jobs and workflows outside the plan.
    after: dict[PlannedItem, int] = field(default_factory=dict, init=False)
    external_ids: list[bytes] = field(default_factory=list, init=False)
    # What it takes before its own arguments, and where these results come from.
    input_ref: ResultRef | FailedJobs | None = field(default=None, init=False)
    source: Output | None = field(default=None, init=False)
    # Results that its condition and ``current_job().inputs`` read, by name of the node; and where
    # they come from.
    inputs: dict[str, ResultRef] = field(default_factory=dict, init=False)
    before: dict[str, Output] = field(default_factory=dict, init=False)
    rule: int = field(default=int(Rule.COMPLETED), init=False)  # CONDITIONAL is added for `when`
    when: str | None = field(default=None, init=False)  # its condition
    wait_for_children: bool = field(default=False, init=False)  # so its dependents do

    def __str__(self) -> str:
        return f"{self.signature.task} (node {self.name})" if self.name else self.signature.task

    def wait_for(self, item: PlannedItem, kind: int = DEPENDENCY) -> None:
        """Start after the end of another item."""
        if item not in self.after:
            self.after[item] = kind
            item.dependents.append((self, kind))


@dataclass(eq=False, slots=True)
class PlannedWorkflow(PlannedItem):
    """A row of ``workflows``: a workflow, a batch, or a canvas of several jobs."""

    _: KW_ONLY
    kind: str  # workflow, batch, chain, group or chord
    label: str  # its name in lists
    policy: FailurePolicy
    definition: Workflow | None = None  # the user's, None for a batch or canvas
    collects: int = 0  # as Batch.collects
    items: list[PlannedItem] = field(default_factory=list, init=False)  # its members, in order
    # What comes out of each node of the definition, in its order.
    outputs: dict[str, Output] = field(default_factory=dict, init=False)

    @property
    def end_count(self) -> int:
        """How many members have no successor in it: it ends with the last of them."""
        return sum(not any(i.is_followed_by(*out) for out in i.dependents) for i in self.items)
