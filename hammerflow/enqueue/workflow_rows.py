"""Rows: a plan as the rows of workflows and jobs, and a batch of any size as a stream of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hammerflow.canvas.options import to_json
from hammerflow.enqueue.job_factory import JobFactory, Parent
from hammerflow.errors import ConfigError, NotEncodable, WorkflowInvalid
from hammerflow.jobs.job import CONDITIONAL, PRIORITY, NewJob, NewWorkflow, RowFlags, Rule
from hammerflow.jobs.limit import batch_limit, key_id
from hammerflow.text import placed
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.places import place_of
from hammerflow.workflows.plan import Plan, external_id, jobs_of, reference
from hammerflow.workflows.planned import Output, PlannedJob, PlannedWorkflow
from hammerflow.workflows.references import FailedJobs, JobRange, ResultRef

__all__ = ["BatchStream", "WorkflowRows", "rows_of"]


class WorkflowRows(NamedTuple):
    """What is inserted: the outermost workflow first, jobs in order of their ids."""

    workflows: list[NewWorkflow]
    jobs: list[NewJob]


def rows_of(plan: Plan, calls: JobFactory, *, parent: Parent | None = None) -> WorkflowRows:
    """The rows of a plan, for the job that spawns it if ``parent`` is given.

    Raises:
        WorkflowInvalid: an unknown task or wrong arguments inside a workflow; names the place.
        TypeError: the same outside of one.
    """
    unstored = _Unstored(calls)
    return WorkflowRows(
        [_workflow_row(workflow) for workflow in plan.workflows],
        [_job_row(job, plan, calls, parent, unstored) for job in plan.jobs],
    )


class _Unstored(dict[int, PlannedJob | None]):
    """The first job of each output whose result is not stored, by the ``id()`` of the output: many
    jobs may take the same one."""

    def __init__(self, calls: JobFactory) -> None:
        super().__init__()
        self._calls = calls

    def of(self, output: Output) -> PlannedJob | None:
        """None if all results of the output are stored."""
        if id(output) not in self:
            jobs = (job for job in jobs_of(output) if not self._calls.stores_result(job.signature))
            self[id(output)] = next(jobs, None)
        return self[id(output)]

    def check(self, planned: PlannedJob) -> None:
        """Check that the results which a job takes, or its condition reads, are stored."""
        if planned.source is not None and (lost := self.of(planned.source)) is not None:
            raise WorkflowInvalid(
                f"{planned} takes the result of {lost}, which is not stored (store_result=False): "
                "store it, or use si() for a call that takes no result"
            )
        for name, output in planned.before.items() if planned.when is not None else ():
            if self.of(output) is not None:
                raise WorkflowInvalid(
                    f"node {planned.name!r} has a condition on {name!r}, whose result is not "
                    "stored (store_result=False)"
                )


def _workflow_row(planned: PlannedWorkflow) -> NewWorkflow:
    dependent_id, has_edges = planned.outgoing()
    definition = planned.definition
    return NewWorkflow(
        id=planned.id,
        kind=planned.kind,
        name=planned.label,
        policy=planned.policy.code,
        pending=planned.end_count,
        collects=planned.collects,
        options=to_json(_workflow_options(planned)),
        timeout=None if definition is None else definition.timeout,
        check_every=None if definition is None else definition.health_check_interval,
        parent_id=None if planned.workflow is None else planned.workflow.id,
        position=planned.position,
        node=planned.name,
        dependent_id=dependent_id,
        flags=RowFlags.HAS_EDGES if has_edges else 0,
    )


def _workflow_options(planned: PlannedWorkflow) -> dict[str, Any]:
    options: dict[str, Any] = {}
    definition = planned.definition
    if definition is None:
        return options
    composed = {node.name for node in definition.nodes if node.is_composed}
    if composed:
        refs = {name: reference(planned.outputs[name]).to_json() for name in composed}
        options["outputs"] = refs
    for name in ("description", "trace_id", "correlation_id", "metadata"):
        if value := getattr(definition, name):
            options[name] = value
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise WorkflowInvalid(f"the metadata of workflow {definition.name}: {error}") from None
    return options


def _job_row(
    planned: PlannedJob, plan: Plan, calls: JobFactory, parent: Parent | None, unstored: _Unstored
) -> NewJob:
    in_workflow = any(around.definition is not None for around in _enclosing(planned.workflow))
    try:
        return _checked_row(planned, calls, parent, unstored, must_exist=in_workflow)
    except (TypeError, ConfigError, NotEncodable) as error:
        place = place_of(planned, plan)
        if isinstance(error, WorkflowInvalid) or not place:
            raise
        if not in_workflow:
            raise placed(error, place) from error.__cause__
        raise WorkflowInvalid(f"{place}: {error}") from error


def _enclosing(workflow: PlannedWorkflow | None) -> Iterator[PlannedWorkflow]:
    """A workflow and those around it, the innermost first."""
    while workflow is not None:
        yield workflow
        workflow = workflow.workflow


def _checked_row(
    planned: PlannedJob, calls: JobFactory, parent: Parent | None, unstored: _Unstored, *,
    must_exist: bool,
) -> NewJob:  # fmt: skip
    signature = planned.signature
    task = calls.task(signature.task, must=must_exist)
    if task is not None:
        calls.check(task, signature, feeds=_feeds(planned))
    unstored.check(planned)
    job = calls.make(
        task, signature.task, signature.args, signature.kwargs, signature.options, parent,
        feeds=_feeds(planned),
    )  # fmt: skip
    own = {*signature.options, *(task.defaults.declared if task is not None else ())}
    priority, retry, trace = _workflow_defaults(planned.workflow)
    extra = {name: value for name, value in retry.items() if name not in own}
    if "backoff" in extra:
        extra["backoff"] = extra["backoff"].to_dict()
    extra |= _place(planned, unstored)
    dependent_id, has_edges = planned.outgoing()
    return job._replace(
        id=planned.id,
        options=_with_options(job, extra),
        priority=job.priority if priority is None or "priority" in signature.options else priority,
        dependent_id=dependent_id,
        workflow_id=None if planned.workflow is None else planned.workflow.id,
        position=planned.position,
        node=planned.name,
        pending=len(planned.after) or None,
        rule=planned.rule,
        flags=job.flags | (RowFlags.HAS_EDGES if has_edges else 0),
        after=[(i.id, kind) for i, kind in planned.after.items() if i.outgoing()[0] != planned.id],
        depends=planned.external_ids,
        trace=trace or job.trace,
    )


def _with_options(job: NewJob, extra: Mapping[str, Any]) -> str | None:
    """The stored options of a row, with further ones."""
    if not extra:
        return job.options
    return to_json({**(json.loads(job.options) if job.options else {}), **extra})


def _feeds(planned: PlannedJob) -> int:
    """How many arguments come before its own; see :meth:`JobFactory.check`."""
    if planned.input_ref is None:
        return 0
    return -1 if isinstance(planned.input_ref, FailedJobs) else 1


def _place(planned: PlannedJob, unstored: _Unstored) -> dict[str, Any]:
    """The options that tell the worker and the settling transaction its place in the plan."""
    options: dict[str, Any] = {}
    if planned.input_ref is not None:
        options["input_ref"] = planned.input_ref.to_json()
    if planned.inputs:
        options["inputs"] = {
            name: None if unstored.of(planned.before[name]) else ref.to_json()
            for name, ref in planned.inputs.items()
        }
    if planned.when is not None:
        options["when"] = planned.when
    if planned.rule & ~CONDITIONAL != Rule.COMPLETED:
        options["rule"] = planned.rule & ~CONDITIONAL
    if planned.wait_for_children:
        options["wait_for_children"] = True
    return options


def _workflow_defaults(
    workflow: PlannedWorkflow | None,
) -> tuple[int | None, dict[str, Any], str | None]:
    """Priority, retry options and trace id for jobs that set none; the innermost workflow wins."""
    priority: int | None = None
    retry: dict[str, Any] = {}
    trace: str | None = None
    for around in _enclosing(workflow):
        definition = around.definition
        if definition is None:
            continue
        if priority is None and definition.priority is not None:
            priority = PRIORITY(definition.priority, "priority")
        retry = {**definition.retry, **retry}
        trace = trace or definition.trace_id
    return priority, retry, trace


class BatchStream:
    """A batch of any size, row by row: memory holds one chunk.

    Attributes:
        workflow: the batch's row; its ``pending`` is not known yet.
        count: how many calls were read.
    """

    def __init__(
        self, batch: Batch, calls: JobFactory, workflow_id: bytes, then_id: bytes | None
    ) -> None:
        self._batch = batch
        self._calls = calls
        self._then_id = then_id
        self._first: bytes | None = None
        self._last = b""
        self.count = 0
        rate = batch.rate_limit
        self._limit = None if rate is None else key_id(batch_limit(workflow_id), "")
        self.workflow = NewWorkflow(
            workflow_id, "batch", batch.name, batch.policy.code, 1, collects=batch.collects,
            options=None if rate is None else to_json({"rate_limit": rate}),
        )  # fmt: skip

    def rows(self) -> Iterator[NewJob]:
        """The calls, then the one that waits for them."""
        target = self._then_id or self.workflow.id
        then = self._batch.then
        for signature in self._batch.calls():
            try:
                job = self._calls.from_signature(signature)
            except (TypeError, ConfigError) as error:
                place = f"{self._batch.name}[{self.count}]"
                raise placed(error, place) from error.__cause__
            if then is not None and not then.immutable and not self._calls.stores_result(signature):
                raise WorkflowInvalid(
                    f"{then.task} takes the results of batch {self._batch.name}, and that of "
                    f"{signature.task} is not stored (store_result=False): store it, or use si() "
                    "for a call that takes no result"
                )
            if self._limit is not None:
                job = self._limited(job)
            self._first, self._last = self._first or job.id, job.id
            yield job._replace(
                depends=[external_id(other) for other in signature.after] or None,
                workflow_id=self.workflow.id,
                position=self.count,
                dependent_id=target,
            )
            self.count += 1
        if self._batch.then is not None:
            yield self._then(self._batch.then)

    def _limited(self, job: NewJob) -> NewJob:
        if job.limit_id is not None:
            rule = "a limit" if job.fair_key is None else "fair_by"
            raise WorkflowInvalid(
                f"{self._batch.name}[{self.count}]: {job.task} has {rule} of its own, and a job "
                "waits in one lane only: leave rate_limit out, and limit a queue for these calls "
                "(hammerflow limit set queue:NAME --rate RATE)"
            )
        return job._replace(limit_id=self._limit, limit_key="")

    def _then(self, signature: Any) -> NewJob:
        workflow_id = self.workflow.id
        try:
            job = self._calls.from_signature(signature, feeds=0 if signature.immutable else 1)
        except (TypeError, ConfigError) as error:
            raise placed(error, f"{self._batch.name}.then") from error.__cause__
        rule = Rule.ENDED if self.workflow.collects else Rule.COMPLETED
        extra: dict[str, Any] = {"rule": int(rule)} if rule else {}
        if not signature.immutable:
            ref = ResultRef([])
            if self._first is not None:
                ref = ResultRef(JobRange(self._first, self._last, workflow_id))
            extra["input_ref"] = ref.to_json()
        return job._replace(
            id=self._then_id or job.id,
            options=_with_options(job, extra),
            workflow_id=workflow_id,
            position=self.count,
            node="then",
            dependent_id=workflow_id,
            pending=self.count or None,
            depends=[external_id(other) for other in signature.after] or None,
            rule=int(rule),
        )
