"""Spawn buffer: the children that one run of a body asks for, kept until its job is settled."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.canvas.chain import Canvas
from hammerflow.canvas.signature import Signature
from hammerflow.enqueue.job_factory import Parent
from hammerflow.enqueue.spool import Spool
from hammerflow.errors import ConfigError, SpawnInvalid, WorkflowInvalid
from hammerflow.ids import new_id
from hammerflow.introspection.kinds import is_a, kind_name
from hammerflow.jobs.job import DEPENDENCY, ORDER, NewJob, NewWorkflow, RowFlags
from hammerflow.jobs.outcome import Operation, Spawned
from hammerflow.telemetry.watchers import INTEGRATIONS, stamped
from hammerflow.text import placed
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.plan import external_id, jobs_of, plan_of, reference
from hammerflow.workflows.references import ChildrenRef, ResultRef
from hammerflow.workflows.workflow import Workflow

__all__ = ["SpawnBuffer"]

#: More children than these are spooled and streamed instead of travelling with the outcome.
_MAX_IN_OUTCOME = 5_000
#: Hooks see the ids of the first children only.
_MAX_IDS_FOR_HOOKS = 10_000
#: A child can depend on one of this many siblings before it.
_MAX_SIBLINGS = 10_000


@dataclass(eq=False)
class SpawnBuffer:
    """Collects children in order, checks the limits, spools what is too much for memory.

    Attributes:
        then: the fan-in, a job that waits for all of them.
        handler: recorded with the operation if the configuration names none.
        wait_for_children: the parent's dependents wait for its children, too.
        count: how many children there are; of a canvas or workflow, each job.
        first_ids: the ids of the first 10 000.
    """

    app: Hammerflow
    parent: Parent
    then: Signature | None
    handler: str
    wait_for_children: bool
    count: int = 0
    first_ids: list[uuid.UUID] = field(default_factory=list)
    _spool: Spool = field(default_factory=lambda: Spool(_MAX_IN_OUTCOME))
    _workflows: list[NewWorkflow] = field(default_factory=list)
    #: Where the fan-in finds the results of canvases, with the index of the first job of each.
    _canvases: list[tuple[int, ResultRef]] = field(default_factory=list)
    _ends: int = 0  # children on which no sibling but the fan-in depends
    #: The latest children by the identity of the object that was yielded, with that object: it
    #: must live on, or the next one could get its identity.
    _siblings: OrderedDict[int, tuple[Any, bytes]] = field(default_factory=OrderedDict)
    _given_ids: set[uuid.UUID] = field(default_factory=set)
    _lanes: list[bytes] = field(default_factory=list)  # the last child of each
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        job = self.parent.job
        #: What the last of the children reports to: the parent's dependents, or its workflow.
        self._end_id = job.id if self.wait_for_children else job.workflow_id
        self._dependent_id = self._end_id if self.then is None else new_id()

    @property
    def is_spooled(self) -> bool:
        """Whether there are too many children to travel with the outcome."""
        return self._spool.is_spilled

    def add(self, child: Any) -> bytes:
        """Add a signature, canvas, workflow or batch; its id, or that of the workflow.

        Raises:
            SpawnInvalid: too many or too deep.
            TypeError: not one of these, or wrong arguments.
        """
        if is_a(child, Signature) and not (child.links or child.errbacks):
            return self._add_signature(child)
        if not is_a(child, Canvas | Workflow | Batch):
            kind = kind_name(child)
            raise TypeError(f"a child is a signature such as task.s(...), not {kind}")
        return self._add_workflow(child)

    def add_all(self, children: Iterable[Any]) -> Any:
        """Add each child that a generator yields; what the generator returns."""
        iterator = iter(children)
        while True:
            try:
                child = next(iterator)
            except StopIteration as stop:
                return stop.value
            try:
                self.add(child)
            except BaseException:
                # Now, not whenever the generator is collected: its finally blocks belong to the
                # body. What they raise must not hide why the child was refused.
                with contextlib.suppress(BaseException):
                    iterator.close()  # type: ignore[attr-defined]  # AttributeError: no generator
                raise

    async def add_all_async(self, children: AsyncIterable[Any]) -> None:
        """Add each child that an async generator yields."""
        async for child in children:
            try:
                self.add(child)
            except BaseException:
                with contextlib.suppress(Exception):  # as above; a cancel goes through
                    await children.aclose()  # type: ignore[attr-defined]
                raise

    def add_fan_in(self) -> None:
        """Close the list of children with the job that waits for all of them, if there is one."""
        if self.then is None:
            return
        feeds = 0 if self.then.immutable else 1
        try:
            job = self.app.new_job(
                self.then, parent=self.parent, spawn_index=self.count, dependent_id=self._end_id,
                feeds=feeds,
            )  # fmt: skip
        except (TypeError, ConfigError) as error:
            raise placed(error, "then") from error.__cause__
        options = job.options
        if feeds:
            decoded = json.loads(options) if options else {}
            options = json.dumps(decoded | {"input_ref": ChildrenRef(self._canvases).to_json()})
        id_, pending = self._dependent_id or job.id, self._ends or None
        job = job._replace(id=id_, pending=pending, delay=None, options=options)
        self._spool.add(stamped(job) if INTEGRATIONS else job)

    def operation(self) -> Operation:
        """The record of this run."""
        config = self.parent.config
        metadata = json.dumps(dict(config.metadata)) if config.metadata else None
        seconds = time.monotonic() - self._began
        return Operation(
            config.handler or self.handler, config.operation_id, metadata, self.count, seconds
        )

    def spawned(self) -> Spawned:
        """The operation, with its children unless they are spooled."""
        ends = self._ends if self.then is None else 1
        return Spawned(
            [] if self.is_spooled else self._spool.held,
            self.operation(),
            self.count,
            self._workflows,
            ends if self._end_id is not None else 0,
            self.wait_for_children,
        )

    def chunks(self) -> Iterator[Sequence[NewJob]]:
        """All children in order, from the first one at each call."""
        return self._spool.chunks()

    def close(self) -> None:
        """Drop the spool."""
        self._spool.close()

    def _add_signature(self, signature: Signature) -> bytes:
        self._check_limits()
        self._check_stored(signature)
        try:
            if "job_id" in signature.options:
                self._check_unused([signature.options["job_id"]])
            child = self.app.new_job(
                signature, parent=self.parent, spawn_index=self.count,
                dependent_id=self._dependent_id,
            )  # fmt: skip
        except (TypeError, ConfigError) as error:
            raise placed(error, f"child {self.count}") from error.__cause__
        if signature.after:
            child = self._with_dependencies(child, signature)
        if self.parent.config.batch_size is not None:
            child = _behind(child, self._next_in_lane(child.id))
            child = child._replace(flags=child.flags | RowFlags.HAS_EDGES)
        self._remember(signature, child.id)
        self._append(child)
        return child.id

    def _add_workflow(self, work: Any) -> bytes:
        """Add the jobs of a canvas, workflow or batch; the fan-in waits for it as one."""
        self._check_limits()
        try:
            plan = plan_of(work, new_id)
            plan.fill()
            self._check_unused(plan.given_ids())
            rows = self.app.new_rows(plan, parent=self.parent)
        except (TypeError, ConfigError, WorkflowInvalid) as error:
            raise placed(error, f"child {self.count}") from error.__cause__
        outer, *inner = rows.workflows
        outer = outer._replace(
            parent_id=self.parent.job.workflow_id, dependent_id=self._dependent_id
        )
        before = None
        if self.parent.config.batch_size is not None:
            before = self._next_in_lane(outer.id)
            outer = outer._replace(flags=RowFlags.HAS_EDGES)
        self._workflows += [outer, *inner]
        self._remember(work, outer.id)
        if self.then is not None and not self.then.immutable:
            self._canvases.append((self.count, reference(plan.output)))
            for step in jobs_of(plan.output):
                self._check_stored(step.signature)
        for job, step in zip(rows.jobs, plan.jobs, strict=True):
            self._check_limits()
            child = self.app.as_child(job, step.signature, self.parent, spawn_index=self.count)
            self._append(child if job.pending else _behind(child, before))
        return outer.id

    def _check_unused(self, given: Iterable[uuid.UUID]) -> None:
        """Raise ConfigError for an id that another job or child has."""
        for id_ in given:
            if id_ in self._given_ids or self.app.store.jobs.exists(id_.bytes):
                raise ConfigError(f"another job has the job_id {id_}: give each child its own")
            self._given_ids.add(id_)

    def _remember(self, child: Any, id_: bytes) -> None:
        self._ends += 1
        self._siblings[id(child)] = child, id_
        if len(self._siblings) > _MAX_SIBLINGS:
            self._siblings.popitem(last=False)

    def _append(self, child: NewJob) -> None:
        self.count += 1
        if len(self.first_ids) < _MAX_IDS_FOR_HOOKS:
            self.first_ids.append(uuid.UUID(bytes=child.id))
        self._spool.add(stamped(child) if INTEGRATIONS else child)

    def _with_dependencies(self, child: NewJob, signature: Signature) -> NewJob:
        """The child with edges from its siblings and from jobs elsewhere."""
        after, depends = list(child.after or ()), list(child.depends or ())
        keys = [self._id_of(dependency, signature.task) for dependency in signature.after]
        for key in dict.fromkeys(keys):  # named twice, it is waited for once
            if key == self.parent.job.id:  # it has ended by the time the child is inserted
                continue
            if self._spool.change(
                key, flags=RowFlags.HAS_EDGES
            ):  # a sibling in memory: it has an edge now
                after.append((key, DEPENDENCY))
            else:
                depends.append(key)
        pending = (child.pending or 0) + len(after)
        return child._replace(after=after, depends=depends, pending=pending or None)

    def _id_of(self, dependency: Any, task: str) -> bytes:
        if not isinstance(dependency, Canvas | Workflow | Batch):
            return external_id(dependency)
        if id(dependency) not in self._siblings:
            raise SpawnInvalid(f"{task} depends on {dependency!r}, which was not spawned before it")
        return self._siblings[id(dependency)][1]

    def _next_in_lane(self, child_id: bytes) -> bytes | None:
        """Put a child at the end of its lane, and give the one before it. There are ``batch_size``
        lanes, so at most that many children run at a time."""
        size = self.parent.config.batch_size or 1
        if len(self._lanes) < size:
            self._lanes.append(child_id)
            return None
        lane = self._ends % size
        before, self._lanes[lane] = self._lanes[lane], child_id
        return before

    def _check_stored(self, child: Signature) -> None:
        then = self.then
        if then is not None and not then.immutable and not self.app.stores_result(child):
            raise SpawnInvalid(
                f"{then.task} takes the results of all children, and that of {child.task} is not "
                "stored (store_result=False): store it, or use si() for a call that takes no "
                "result; nothing was inserted"
            )

    def _check_limits(self) -> None:
        config, depth = self.parent.config, self.parent.job.depth + 1
        if self.count >= config.max_spawn_count:
            raise SpawnInvalid(
                f"more than max_spawn_count={config.max_spawn_count} children: raise the limit on "
                "the spawner, or yield fewer; nothing was inserted"
            )
        if depth > config.max_depth:
            raise SpawnInvalid(
                f"a child at depth {depth} is below max_depth={config.max_depth}: raise the limit "
                "on the spawner; nothing was inserted"
            )


def _behind(child: NewJob, before: bytes | None) -> NewJob:
    """The child after the end of another job or workflow, however that ends."""
    if before is None or any(parent_id == before for parent_id, _ in child.after or ()):
        return child
    after = [*(child.after or ()), (before, ORDER)]
    return child._replace(after=after, pending=(child.pending or 0) + 1)
