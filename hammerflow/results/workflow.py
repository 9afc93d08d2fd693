"""WorkflowResult and BatchResult: handles on a workflow and on a batch."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from hammerflow.errors import HammerflowError, JobCancelled, JobFailed, JobNotFound
from hammerflow.jobs.job import JobState
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.options.checks import FLAG, NAME_CHECK, NOTE
from hammerflow.results.reading import MEMBER_ERRORS, decoded, failure_of_job, not_found
from hammerflow.results.result import Result
from hammerflow.results.waiting import Deadline, EndWait, ResultBackend, announce
from hammerflow.text import counted
from hammerflow.workflows.graph import Graph, GraphNode, draw
from hammerflow.workflows.references import JobRange, ResultRef
from hammerflow.workflows.workflow import whole_of

if TYPE_CHECKING:
    from hammerflow.stores.workflows import WorkflowMember, WorkflowRow

__all__ = ["BatchResult", "BatchStatus", "WorkflowResult", "WorkflowStats", "stats_of"]

_ERRORS = 1_000
_PENDING = (JobState.WAITING, JobState.SCHEDULED, JobState.READY, JobState.PARKED)


@dataclass(frozen=True, slots=True)
class WorkflowStats:
    """Jobs of a workflow by state, counted when it is asked for.

    Attributes:
        total: all jobs, those of workflows inside it included.
        pending: jobs that are waiting, scheduled, ready or parked.
    """

    total: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    pending: int
    running: int

    @property
    def ended(self) -> int:
        """Jobs that have ended in any way."""
        return self.total - self.pending - self.running

    @property
    def completion_percentage(self) -> float:
        """The share of jobs that have ended in any way, from 0 to 100."""
        return 100.0 * self.ended / self.total if self.total else 100.0


def stats_of(counts: Counter[JobState]) -> WorkflowStats:
    """The same of counts by state."""
    return WorkflowStats(
        total=counts.total(),
        completed=counts[JobState.COMPLETED],
        failed=counts[JobState.FAILED],
        cancelled=counts[JobState.CANCELLED],
        skipped=counts[JobState.SKIPPED],
        pending=sum(counts[state] for state in _PENDING),
        running=counts[JobState.RUNNING],
    )


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """A batch's status, counts and errors.

    Attributes:
        errors: job id to error text, for the first 1 000 jobs that did not complete.
    """

    status: WorkflowStatus
    stats: WorkflowStats
    errors: Mapping[uuid.UUID, str]

    @property
    def success_rate(self) -> float:
        """Completed jobs by ended jobs, from 0 to 1; 1 while none has ended."""
        return self.stats.completed / self.stats.ended if self.stats.ended else 1.0


class WorkflowResult:
    """A handle on a workflow by its id: wait for it, read its results, cancel or retry it."""

    def __init__(self, workflow_id: bytes, backend: ResultBackend) -> None:
        self._key = workflow_id
        self._backend = backend

    @property
    def id(self) -> uuid.UUID:
        """The workflow's id, a UUID version 7."""
        return uuid.UUID(bytes=self._key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkflowResult) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def row(self) -> WorkflowRow:
        """The workflow's row.

        Raises:
            JobNotFound: no workflow has this id.
        """
        row = self._backend.store.workflows.get(self._key)
        if row is None:
            raise not_found(self._backend, "workflow", self._key)
        return row

    def status(self) -> Any:
        """The WorkflowStatus now; of a batch a BatchStatus."""
        return self.row().state.status

    def stats(self) -> WorkflowStats:
        """How many of its jobs are in each state, including jobs of workflows inside it."""
        return stats_of(self._backend.store.workflows.counts(self._key))

    def wait(self, timeout: float | timedelta | None = None) -> WorkflowStatus:
        """Wait for the workflow's end and return its final status.

        Args:
            timeout: seconds or timedelta; None waits without a limit.

        Raises:
            TimeoutError: it has not ended in time; the message says how many jobs have.
            JobNotFound: no workflow has this id.
        """
        return self._wait().until(Deadline(timeout))

    async def await_(self, timeout: float | timedelta | None = None) -> WorkflowStatus:
        """:meth:`wait` without blocking the event loop."""
        return await self._wait().until_async(Deadline(timeout))

    def get(self, timeout: float | timedelta | None = None, *, propagate: bool = True) -> Any:
        """Wait for the workflow's end and return the results of its nodes by name.

        The result of a node of several jobs (a group, a batch) is a list, that of a skipped node
        None.

        Args:
            timeout: as for :meth:`wait`.
            propagate: raise the error of a workflow that has failed or was cancelled, or of a
                result that cannot be decoded here; otherwise each job's error is in the place of
                its result.

        Raises:
            JobFailed: the workflow failed; it has the error of the job that failed first.
            JobCancelled: the workflow was cancelled.
            NotDecodable: a stored result cannot be decoded; the message names its job.
            TimeoutError: it has not ended in time.
            JobNotFound: no workflow has this id.
        """
        propagate = FLAG(propagate, "get(): propagate")
        return self._value(self.wait(timeout), propagate)

    async def aget(
        self, timeout: float | timedelta | None = None, *, propagate: bool = True
    ) -> Any:
        """:meth:`get` without blocking the event loop. It takes no thread, and can be cancelled."""
        propagate = FLAG(propagate, "aget(): propagate")
        status = await self.await_(timeout)
        return await self._backend.async_calls.read(lambda: self._value(status, propagate))

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel the jobs that have not started; ask workers to stop the running ones."""
        reason = NOTE(reason, "cancel(): reason")
        announce(self._backend, self._backend.store.workflows.cancel(self._key, reason))
        self._backend.notifier.ring_control()

    def retry(
        self, node: str | None = None, *, failed_only: bool = True, downstream: bool = False,
        by: str = "",
    ) -> None:  # fmt: skip
        """Run the failed and cancelled jobs again, and those skipped because of them.

        Args:
            node: only this node and the nodes skipped because of it.
            failed_only: must be true unless ``downstream`` is.
            downstream: also rerun everything that depends on them, completed or not (except
                spawners that have children).
            by: who asks, recorded with the jobs.

        Raises:
            HammerflowError: the workflow is still ending, or nothing in it has failed.
            JobNotFound: it has no such node.
        """
        by = NOTE(by, "retry(): by")
        downstream = FLAG(downstream, "retry(): downstream")
        if not (FLAG(failed_only, "retry(): failed_only") or downstream):
            raise ValueError("retry() is either failed_only or downstream")
        self._check_retry(anything=node is not None or downstream)
        only = None if node is None else [self._named(node)]
        workflows = self._backend.store.workflows
        announce(self._backend, workflows.rerun(self._key, only=only, downstream=downstream, by=by))

    def _check_retry(self, *, anything: bool) -> None:
        state = self.row().state
        if state.is_halted and not state.status.is_final:
            raise HammerflowError(
                f"workflow {self.id} is still ending: retry it once its running jobs have ended"
            )
        if anything or state.status in (WorkflowStatus.FAILED, WorkflowStatus.CANCELLED):
            return
        if not any(self._failed(1)):
            raise HammerflowError(
                f"workflow {self.id} is {state.status} and nothing in it has failed: there is "
                "nothing to retry"
            )

    def skip(self, node: str, *, by: str = "") -> None:
        """Treat a failed node as completed, so that its dependents run.

        Raises:
            HammerflowError: the node has completed, or has not ended.
            JobNotFound: the workflow has no such node.
        """
        by, workflows = NOTE(by, "skip(): by"), self._backend.store.workflows
        announce(self._backend, workflows.skip(self._key, self._named(node), by))

    def resume(self, *, by: str = "") -> None:
        """Continue a paused workflow without the dependents of its failed nodes.

        Raises:
            HammerflowError: the workflow is not paused.
        """
        by = NOTE(by, "resume(): by")
        announce(self._backend, self._backend.store.workflows.resume(self._key, by))

    def result(self, node: str) -> Result[Any]:
        """The Result of one node.

        Raises:
            JobNotFound: the workflow has no such node.
        """
        return Result(self._named(node), self._backend)

    def members(self) -> Iterator[WorkflowMember]:
        """Its nodes and the jobs that they spawned."""
        return self._backend.store.workflows.members(self._key)

    def errors(self) -> dict[uuid.UUID, str]:
        """Error text by job id, for the first 1 000 jobs that failed or were cancelled."""
        found: dict[uuid.UUID, str] = {}
        for job_id, _, state, reason in itertools.islice(self._failed(_ERRORS), _ERRORS):
            error = self._last_error(job_id, state)
            text = f"{error[1]}: {error[2]}" if error else f"{state}: {reason}"
            found[uuid.UUID(bytes=job_id)] = text
        return found

    def graph(self, format: str = "mermaid", **limits: Any) -> str:  # noqa: A002 - as the command
        """Its graph with the states of its jobs, as ``mermaid``, ``dot``, ``json`` or ``text``."""
        nodes: list[GraphNode] = []
        edges: list[tuple[str, str]] = []
        self._collect(self._key, None, nodes, edges)
        known = {node.key for node in nodes}
        edges = [edge for edge in edges if known.issuperset(edge)]
        return draw(Graph(self.row().name, nodes, edges), format, **limits)

    def _collect(
        self, workflow_id: bytes, group: str | None, nodes: list[GraphNode],
        edges: list[tuple[str, str]],
    ) -> None:  # fmt: skip
        workflows = self._backend.store.workflows
        members = [*workflows.members(workflow_id)]
        for m in members:
            key = _dashed(m.id)
            if m.task is None:
                inner = workflows.get(m.id)
                if inner is not None:
                    nodes.append(
                        GraphNode(key, m.name or inner.name, inner.kind, inner.state.status, group)
                    )
                    self._collect(m.id, m.name or key, nodes, edges)
                    continue
            label = m.name or (m.task or "").rpartition(".")[2]
            place = (m.name or "").partition("[")[0] or None
            folder = group or (place if place != m.name else None)
            nodes.append(GraphNode(key, label, m.task, m.state, folder))
            if m.parent_id is not None:
                edges.append((_dashed(m.parent_id), key))
            # A spawner may wait for what it has spawned: it is still drawn before that.
            if m.dependent_id not in (None, m.parent_id):
                edges.append((key, _dashed(m.dependent_id)))
        edges += [
            (_dashed(parent), _dashed(child))
            for parent, child, _ in workflows.edges([m.id for m in members])
        ]

    def _named(self, node: str) -> bytes:
        name = NAME_CHECK(node, "the name of a node")
        found = self._backend.store.workflows.named(self._key, name)
        if found is None:
            raise JobNotFound(f"workflow {self.id} has no node {name!r}")
        return found

    def _wait(self) -> EndWait[WorkflowStatus]:
        def ended() -> WorkflowStatus | None:
            status = self.row().state.status
            return status if status.is_final else None

        return EndWait(self._key, self._backend, ended, self._not_ended, is_workflow=True)

    def _value(self, status: WorkflowStatus, propagate: bool) -> Any:
        """The results, or the error of a workflow that has not ended well."""
        if propagate and status is WorkflowStatus.CANCELLED:
            raise JobCancelled(f"workflow {self.id} was cancelled: {self.row().reason}")
        if propagate and status is WorkflowStatus.FAILED:
            raise self._failure()
        return self._results(propagate)

    def _failed(self, limit: int) -> Iterator[tuple[bytes, str | None, JobState, str | None]]:
        """(job id, node, state, reason) of up to ``limit`` jobs of it, and of each workflow inside,
        that failed or were cancelled."""
        workflows = self._backend.store.workflows
        for workflow_id in [self._key, *workflows.inside(self._key)]:
            yield from workflows.failed(workflow_id, limit)

    def _last_error(self, job_id: bytes, state: JobState) -> tuple[str, str, str, str] | None:
        return self._backend.store.jobs.last_error(job_id) if state is JobState.FAILED else None

    def _failure(self) -> HammerflowError:
        for job_id, name, state, reason in self._failed(1):
            job = f"job {uuid.UUID(bytes=job_id)}"
            failure: HammerflowError = JobCancelled(f"{job} was {state}: {reason}")
            if self._last_error(job_id, state):
                failure = failure_of_job(self._backend, job_id)
            failure.add_note(f"{f'node {name!r}' if name else job} of workflow {self.id}")
            return failure
        for member in self.members():  # the failed job may belong to another workflow
            if member.cause is not None and self._last_error(member.cause, JobState.FAILED):
                return failure_of_job(self._backend, member.cause)
        text = self.row().reason or "a node has failed"
        return JobFailed("hammerflow.WorkflowFailed", f"{text} (workflow {self.id})")

    def _results(self, propagate: bool) -> Any:
        outputs = self.row().options.get("outputs", {})
        found: dict[str, Any] = {}
        read = partial(self._read, propagate=propagate)
        for member in self.members():
            if member.name is None or member.position is None:
                continue
            node = whole_of(member.name, outputs)
            if node is None:
                found[member.name] = self._member_value(member, propagate)
            elif node not in found:
                found[node] = ResultRef.from_json(outputs[node]).resolve(read)
        return found

    def _member_value(self, member: WorkflowMember, propagate: bool) -> Any:
        if member.task is None:
            inner = self._backend.store.workflows.get(member.id)
            kind = BatchResult if inner is not None and inner.kind == "batch" else WorkflowResult
            return kind(member.id, self._backend)._results(propagate)
        return next(self._read(ResultRef(member.id), propagate=propagate), None)

    def _read(self, ref: ResultRef, *, propagate: bool) -> Iterator[Any]:
        """The results of a reference's jobs, in order: None for a job that did not complete, or its
        error unless ``propagate``."""
        workflows = self._backend.store.workflows
        ids = cache(lambda: workflows.ids(ref))
        for index, (state, value) in enumerate(workflows.results(ref)):
            try:
                if not propagate and state in (JobState.FAILED, JobState.CANCELLED):
                    Result[Any](ids()[index], self._backend).get(timeout=0)  # raises its error
                result = decoded(self._backend, value, lambda: ids()[index])  # noqa: B023
            except MEMBER_ERRORS as error:
                if propagate:
                    raise
                result = error
            yield result

    def _not_ended(self, limit: float | None) -> str:
        row = self.row()
        stats = self.stats()
        text = (
            f"workflow {self.id} has not ended within {limit} s: it is {row.state.status}, "
            f"{stats.ended} of {counted(stats.total, 'job')} ended"
        )
        if row.state.status is WorkflowStatus.PAUSED:
            text += f"; {row.reason} (hammerflow workflow show {self.id})"
        return text


def _dashed(id_: bytes) -> str:
    return str(uuid.UUID(bytes=id_))


class BatchResult(WorkflowResult):
    """A handle on a batch by its id."""

    def progress(self) -> float:
        """The share of calls that have ended in any way, from 0 to 1."""
        return self.stats().completion_percentage / 100

    def seconds(self) -> float | None:
        """How long it ran, until now or its end; None if the clock of its start is not known."""
        row = self.row()
        if row.created_at is None:
            return None
        ended = row.ended_at.timestamp() if row.ended_at else self._backend.store.clock()
        return max(0.0, ended - row.created_at.timestamp())

    def failed(self) -> Iterator[Result[Any]]:
        """The Results of the first 1 000 calls that failed or were cancelled while they ran;
        :meth:`retry` runs them again."""
        for job_id, *_ in itertools.islice(self._failed(_ERRORS), _ERRORS):
            yield Result(job_id, self._backend)

    def status(self) -> BatchStatus:
        """Counts, errors by job and success rate."""
        return BatchStatus(self.row().state.status, self.stats(), self.errors())

    def get(self, timeout: float | timedelta | None = None, *, propagate: bool = True) -> list[Any]:
        """Wait for the batch's end and return the results in order; None for calls that did not
        complete, where failures are collected.

        Args:
            timeout: as for :meth:`wait`.
            propagate: as for :meth:`WorkflowResult.get`.

        Raises:
            JobFailed, JobCancelled, NotDecodable, TimeoutError: as :meth:`WorkflowResult.get`.
        """
        propagate = FLAG(propagate, "get(): propagate")
        return self._value(self.wait(timeout), propagate)  # type: ignore[no-any-return]

    def iter_results(self, *, propagate: bool = True) -> Iterator[Any]:
        """The results in order, read page by page; None for calls that did not complete.

        Args:
            propagate: raise NotDecodable at a result that cannot be decoded here; otherwise each
                job's error is in the place of its result.
        """
        calls = ResultRef(JobRange(bytes(16), b"\xff" * 16, self._key))
        then = self.then
        ids = (m.id for m in self.members() if m.position is not None)
        found = self._read(calls, propagate=FLAG(propagate, "iter_results(): propagate"))
        for job_id, value in zip(ids, found, strict=False):
            if then is None or job_id != then.id.bytes:
                yield value

    @property
    def then(self) -> Result[Any] | None:
        """The Result of the call that runs after all others; None if there is none."""
        found = self._backend.store.workflows.named(self._key, "then")
        return None if found is None else Result(found, self._backend)

    def _results(self, propagate: bool) -> Any:
        return [*self.iter_results(propagate=propagate)]
