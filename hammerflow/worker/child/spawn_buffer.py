"""Spawning: the children that one run of a body asks for, kept until its job is settled."""

from __future__ import annotations

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.canvas.chain import Canvas
from hammerflow.canvas.signature import Signature
from hammerflow.enqueue.job_factory import Parent
from hammerflow.enqueue.spool import Spool
from hammerflow.errors import SpawnInvalid
from hammerflow.ids import new_id
from hammerflow.jobs.job import DEPENDENCY, ORDER, NewJob, NewWorkflow
from hammerflow.jobs.outcome import Operation, Spawned
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.plan import NOTHING, external_id, plan_of
from hammerflow.workflows.planned import PlannedWorkflow
from hammerflow.workflows.references import CHILDREN
from hammerflow.workflows.workflow import Workflow

__all__ = ["SpawnBuffer"]

#: So many children travel with their parent's outcome; more are spooled and streamed.
RIDING = 5_000
_SEEN_BY_HOOKS = 10_000
#: A child can depend on so many of its latest elder siblings.
_REMEMBERED = 10_000


class SpawnBuffer:
    """Collects children in order, checks the limits, spools what is too much for memory.

    Args:
        parent: the job that spawns, and how its children inherit.
        then: the fan-in that waits for all of them.
        handler: recorded with the operation where the configuration names none.
        wait_for_children: what waits for the parent waits for the children, too.
    """

    def __init__(
        self,
        app: Hammerflow,
        parent: Parent,
        *,
        then: Signature | None,
        handler: str,
        wait_for_children: bool = False,
    ) -> None:
        self._app = app
        self._parent = parent
        self._then = then
        self._handler = parent.config.handler or handler
        self._graft = wait_for_children
        #: Who waits for what has no other dependent: the parent's own dependents, or its workflow.
        self._end_id = parent.job.id if wait_for_children else parent.job.workflow_id
        self._fan_in_id = new_id() if then is not None else self._end_id
        self._spool = Spool(RIDING)
        self._workflows: list[NewWorkflow] = []
        self._awaited = 0  # children that nothing else among them waits for
        self._elders: OrderedDict[int, tuple[Any, bytes]] = OrderedDict()
        self._lane: list[bytes] = []
        self._began = time.monotonic()
        self.count = 0
        self.first_ids: list[uuid.UUID] = []

    @property
    def is_spooled(self) -> bool:
        """Whether there are too many children to ride in the outcome."""
        return self._spool.is_spilled

    def add(self, child: Any) -> bytes:
        """One more child: a signature, a canvas, a workflow or a batch; its id.

        Raises:
            SpawnInvalid: too many or too deep.
            TypeError: nothing of the kind, or wrong arguments.
        """
        if isinstance(child, Signature) and not (child.links or child.errbacks):
            return self._add_signature(child)
        if not isinstance(child, Canvas | Workflow | Batch):
            raise TypeError(
                f"a child is a signature such as task.s(...), not {type(child).__name__}"
            )
        return self._add_plan(child)

    def add_all(self, children: Iterable[Any]) -> Any:
        """All children that a body yields; what its generator returns."""
        iterator = iter(children)
        while True:
            try:
                child = next(iterator)
            except StopIteration as stop:
                return stop.value
            self.add(child)

    async def add_all_async(self, children: AsyncIterable[Any]) -> None:
        """All children that an async generator yields."""
        async for child in children:
            self.add(child)

    def close_list(self) -> None:
        """No more children; the fan-in comes last."""
        if self._then is None:
            return
        feeds = 0 if self._then.immutable else 1
        job = self._app.new_job(
            self._then, parent=self._parent, spawn_index=self.count, dependent_id=self._end_id,
            feeds=feeds,
        )  # fmt: skip
        options = json.loads(job.options) if job.options else {}
        if feeds:
            options["input_ref"] = CHILDREN
        self._spool.add(
            job._replace(
                id=self._fan_in_id or job.id,
                pending=self._awaited or None,
                delay=None,
                options=json.dumps(options) if options else None,
            )
        )

    def operation(self) -> Operation:
        """What is recorded of this run."""
        config = self._parent.config
        return Operation(
            self._handler,
            config.operation_id,
            json.dumps(dict(config.metadata)) if config.metadata else None,
            self.count,
            time.monotonic() - self._began,
        )

    def spawned(self) -> Spawned:
        """The operation, with its children unless they are spooled."""
        ends = self._awaited if self._then is None else 1
        return Spawned(
            [] if self.is_spooled else self._spool.held,
            self.operation(),
            self.count,
            self._workflows,
            ends if self._end_id is not None else 0,
            self._graft,
        )

    def chunks(self) -> Iterator[Sequence[NewJob]]:
        """All children in order, anew at each call."""
        return self._spool.chunks()

    def close(self) -> None:
        """Drop the spool."""
        self._spool.close()

    # -- inside -----------------------------------------------------------------------------------

    def _add_signature(self, signature: Signature) -> bytes:
        self._check_limits()
        child = self._app.new_job(
            signature, parent=self._parent, spawn_index=self.count, dependent_id=self._fan_in_id
        )
        if signature.after:
            child = self._with_dependencies(child, signature)
        if self._parent.config.batch_size is not None:
            child = self._in_lane(child, self._parent.config.batch_size)
        self._remember(signature, child.id)
        self._awaited += 1
        self._append(child)
        return child.id

    def _remember(self, child: Any, id_: bytes) -> None:
        self._elders[id(child)] = child, id_
        if len(self._elders) > _REMEMBERED:
            self._elders.popitem(last=False)

    def _append(self, child: NewJob) -> None:
        self.count += 1
        if len(self.first_ids) < _SEEN_BY_HOOKS:
            self.first_ids.append(uuid.UUID(bytes=child.id))
        self._spool.add(child)

    def _with_dependencies(self, child: NewJob, signature: Signature) -> NewJob:
        """Edges from elder siblings and from jobs elsewhere; the parent has ended by then."""
        after = list(child.after or ())
        depends = list(child.depends or ())
        for other in signature.after:
            if isinstance(other, Canvas | Workflow | Batch):
                known = self._elders.get(id(other))
                if known is None:
                    raise SpawnInvalid(
                        f"{signature.task} depends on {other!r}, which was not spawned before it"
                    )
                key = known[1]
            else:
                key = external_id(other)
            if key == self._parent.job.id:
                continue
            if self._spool.change(key, flags=1):
                after.append((key, DEPENDENCY))
            else:
                depends.append(key)
        return child._replace(
            after=after, depends=depends, pending=(child.pending or 0) + len(after) or None
        )

    def _in_lane(self, child: NewJob, size: int) -> NewJob:
        """At most ``size`` run at a time: each starts after the end of the one ``size`` before."""
        lane = self.count % size
        if len(self._lane) < size:
            self._lane.append(child.id)
            return child._replace(flags=1)
        before, self._lane[lane] = self._lane[lane], child.id
        return child._replace(
            flags=1,
            after=[*(child.after or ()), (before, ORDER)],
            pending=(child.pending or 0) + 1,
        )

    def _add_plan(self, work: Any) -> bytes:
        """A canvas, workflow or batch: one thing for the fan-in, several jobs."""
        self._check_limits()
        plan = plan_of(work, new_id)
        if not plan.jobs:  # an empty group
            return self._add_signature(NOTHING)
        rows = self._app.new_rows(plan, parent=self._parent)
        outer: PlannedWorkflow = plan.workflows[0]
        self._workflows += [
            rows.workflows[0]._replace(
                parent_id=self._parent.job.workflow_id, dependent_id=self._fan_in_id
            ),
            *rows.workflows[1:],
        ]
        self._awaited += 1
        self._remember(work, outer.id)
        for job, step in zip(rows.jobs, plan.jobs, strict=True):
            self._check_limits()
            self._append(
                self._app.as_child(job, step.signature, self._parent, spawn_index=self.count)
            )
        return outer.id

    def _check_limits(self) -> None:
        config, job = self._parent.config, self._parent.job
        if self.count >= config.max_spawn_count:
            raise SpawnInvalid(
                f"more than max_spawn_count={config.max_spawn_count} children: raise the limit on "
                "the spawner, or yield fewer; nothing was inserted"
            )
        if job.depth + 1 > config.max_depth:
            raise SpawnInvalid(
                f"a child at depth {job.depth + 1} is below max_depth={config.max_depth}; "
                "nothing was inserted"
            )
