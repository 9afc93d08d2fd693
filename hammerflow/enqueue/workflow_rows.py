"""Rows: a plan as the rows of workflows and jobs, and a batch of any size as a stream of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.canvas.options import to_json
from hammerflow.enqueue.job_factory import JobFactory, Parent
from hammerflow.errors import ConfigError, NotEncodable, WorkflowInvalid
from hammerflow.jobs.job import CONDITIONAL, NewJob, NewWorkflow, RowFlags, Rule, checked_priority
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.plan import Plan, external_id
from hammerflow.workflows.planned import PlannedJob, PlannedWorkflow
from hammerflow.workflows.references import FailedJobs, JobRange, ResultRef
from hammerflow.workflows.workflow import Workflow

__all__ = ["WorkflowRows", "rows_of"]


class WorkflowRows(NamedTuple):
    """What is inserted: the outermost workflow first, jobs in order of their ids."""

    workflows: list[NewWorkflow]
    jobs: list[NewJob]


def rows_of(plan: Plan, calls: JobFactory, *, parent: Parent | None = None) -> WorkflowRows:
    """The rows of a plan.

    Args:
        parent: the job that spawns it all.

    Raises:
        WorkflowInvalid: an unknown task or wrong arguments inside a workflow; names the node.
        TypeError: the same outside of one.
    """
    return WorkflowRows(
        [_workflow(flow) for flow in plan.workflows],
        [_job(step, calls, parent) for step in plan.jobs],
    )


def _workflow(flow: PlannedWorkflow) -> NewWorkflow:
    dependent_id, has_edges, _ = flow.outgoing()
    workflow = flow.definition
    return NewWorkflow(
        id=flow.id,
        kind=flow.kind,
        name=flow.label,
        policy=flow.policy.code,
        pending=flow.end_count,
        collects=flow.collects,
        options=to_json(_facts(flow, workflow)),
        timeout=None if workflow is None else workflow.timeout,
        check_every=None if workflow is None else workflow.health_check_interval,
        parent_id=None if flow.workflow is None else flow.workflow.id,
        position=flow.position,
        node=flow.name,
        dependent_id=dependent_id,
        flags=RowFlags.HAS_EDGES if has_edges else 0,
    )


def _facts(flow: PlannedWorkflow, workflow: Workflow | None) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if flow.outputs_by_name:
        facts["outputs"] = {name: ref.to_json() for name, ref in flow.outputs_by_name.items()}
    if workflow is None:
        return facts
    for name in ("description", "trace_id", "correlation_id", "metadata"):
        value = getattr(workflow, name)
        if value:
            facts[name] = value
    try:
        json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise WorkflowInvalid(f"the metadata of workflow {workflow.name}: {error}") from None
    return facts


def _job(step: PlannedJob, calls: JobFactory, parent: Parent | None) -> NewJob:
    named = _in_workflow(step.workflow)
    try:
        return _made(step, calls, parent, strict=named)
    except (TypeError, ConfigError, NotEncodable) as error:
        if not named or isinstance(error, WorkflowInvalid):
            raise
        raise WorkflowInvalid(f"node {step.name or step.signature!r}: {error}") from error


def _in_workflow(flow: PlannedWorkflow | None) -> bool:
    while flow is not None and flow.definition is None:
        flow = flow.workflow
    return flow is not None


def _made(step: PlannedJob, calls: JobFactory, parent: Parent | None, *, strict: bool) -> NewJob:
    signature = step.signature
    task = calls.task(signature.task, must=strict)
    if task is not None:
        calls.check(task, signature, feeds=_feeds(step))
    if step.when is not None:
        _check_results(step, calls)
    defaults = _defaults(step.workflow)
    job = calls.make(
        task, signature.task, signature.args, signature.kwargs, signature.options, parent
    )
    declared = task.defaults.declared if task is not None else frozenset[str]()
    dependent_id, has_edges, _ = step.outgoing()
    after = [(i.id, kind) for i, kind in step.after.items() if i.outgoing()[0] != step.id]
    extra = {**defaults.options_for(signature.options, declared), **_extra(step)}
    options = job.options
    if extra:
        options = to_json({**(json.loads(options) if options else {}), **extra})
    priority = job.priority
    if defaults.priority is not None and "priority" not in signature.options:
        priority = defaults.priority
    return job._replace(
        id=step.id,
        options=options,
        priority=priority,
        dependent_id=dependent_id,
        workflow_id=None if step.workflow is None else step.workflow.id,
        position=step.position,
        node=step.name,
        pending=len(step.after) or None,
        rule=step.rule,
        flags=RowFlags.HAS_EDGES if has_edges else 0,
        after=after,
        depends=step.external_ids,
        trace=defaults.trace or job.trace,
    )


def _check_results(step: PlannedJob, calls: JobFactory) -> None:
    """A condition needs the results of what it is on."""
    for item in step.after:
        if not isinstance(item, PlannedJob):
            continue
        task = calls.task(item.signature.task)
        keeps = task is None or task.defaults.store_result
        if not item.signature.options.get("store_result", keeps):
            raise WorkflowInvalid(
                f"node {step.name!r} has a condition on {item.name!r}, which keeps no result "
                "(store_result=False)"
            )


def _feeds(step: PlannedJob) -> int:
    """How many arguments come before its own."""
    if step.input_ref is None:
        return 0
    return -1 if isinstance(step.input_ref, FailedJobs) else 1


def _extra(step: PlannedJob) -> dict[str, Any]:
    """What the worker and the settling transaction must know of its place."""
    extra: dict[str, Any] = {}
    if step.input_ref is not None:
        extra["input_ref"] = step.input_ref.to_json()
    if step.inputs:
        extra["inputs"] = {name: ref.to_json() for name, ref in step.inputs.items()}
    if step.when is not None:
        extra["when"] = step.when
    if step.rule & ~CONDITIONAL != Rule.COMPLETED:
        extra["rule"] = step.rule & ~CONDITIONAL
    if step.wait_for_children:
        extra["wait_for_children"] = True
    return extra


class _Defaults(NamedTuple):
    """What a workflow says for nodes without their own word."""

    priority: int | None = None
    retry: Mapping[str, Any] = {}
    trace: str | None = None

    def options_for(self, given: Mapping[str, Any], declared: Iterable[str]) -> dict[str, Any]:
        """The retry options to store with a job."""
        own = {*given, *declared}
        stored = {name: value for name, value in self.retry.items() if name not in own}
        if "backoff" in stored:
            stored["backoff"] = stored["backoff"].to_dict()
        return stored


def _defaults(flow: PlannedWorkflow | None) -> _Defaults:
    """Of the innermost workflow that says something."""
    found = _Defaults()
    while flow is not None:
        workflow = flow.definition
        if workflow is not None:
            if found.priority is None and workflow.priority is not None:
                found = found._replace(priority=checked_priority(workflow.priority))
            found = found._replace(
                retry={**workflow.retry, **found.retry}, trace=found.trace or workflow.trace_id
            )
        flow = flow.workflow
    return found


class BatchStream:
    """A batch of any size, row by row: memory holds one chunk.

    Attributes:
        workflow: the batch's row; ``pending`` is right once all rows were given.
        count: how many calls were read.
    """

    def __init__(
        self, batch: Batch, calls: JobFactory, workflow_id: bytes, then_id: bytes | None
    ) -> None:
        self._batch = batch
        self._calls = calls
        self._then_id = then_id
        self.count = 0
        self.first: bytes | None = None
        self.last: bytes | None = None
        self.workflow = NewWorkflow(
            workflow_id, "batch", batch.name, batch.policy.code, 1,
            collects=batch.collects,
        )  # fmt: skip

    def chunks(self, size: int) -> Iterator[Sequence[NewJob]]:
        """The calls in chunks, then the one that waits for them."""
        iterator = self._batch.calls()
        target = self._then_id or self.workflow.id
        while chunk := list(itertools.islice(iterator, size)):
            jobs = []
            for signature in chunk:
                job = self._calls.from_signature(signature)
                depends = [external_id(other) for other in signature.after] or None
                jobs.append(
                    job._replace(
                        depends=depends,
                        workflow_id=self.workflow.id,
                        position=self.count,
                        dependent_id=target,
                    )
                )
                self.count += 1
            self.first = self.first or jobs[0].id
            self.last = jobs[-1].id
            yield jobs
        if self._batch.then is not None:
            yield [self._then(self._batch.then)]

    def _then(self, signature: Any) -> NewJob:
        flow = self.workflow
        job = self._calls.from_signature(signature, feeds=0 if signature.immutable else 1)
        extra: dict[str, Any] = {}
        if not signature.immutable:
            ref = ResultRef([])
            if self.first is not None and self.last is not None:
                ref = ResultRef(JobRange(self.first, self.last, flow.id))
            extra["input_ref"] = ref.to_json()
        rule = int(Rule.ENDED if flow.collects else Rule.COMPLETED)
        if rule:
            extra["rule"] = rule
        options = to_json({**(json.loads(job.options) if job.options else {}), **extra})
        return job._replace(
            id=self._then_id or job.id,
            options=options,
            workflow_id=flow.id,
            position=self.count,
            node="then",
            dependent_id=flow.id,
            pending=self.count or None,
            depends=[external_id(other) for other in signature.after] or None,
            rule=rule,
        )
