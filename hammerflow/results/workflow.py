"""WorkflowResult and BatchResult: handles on a workflow that may not have ended yet."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hammerflow.errors import HammerflowError, JobCancelled, JobFailed, JobNotFound
from hammerflow.jobs.job import JobState
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.results.result import Backend, Result
from hammerflow.workflows.graph import Graph, GraphNode, draw
from hammerflow.workflows.references import JobRange, ResultRef

if TYPE_CHECKING:
    from hammerflow.jobs.settlement import Settlement
    from hammerflow.stores.workflows import WorkflowMember, WorkflowRow

__all__ = ["BatchResult", "BatchStatus", "WorkflowResult", "WorkflowStats"]

_ERRORS = 1_000


@dataclass(frozen=True, slots=True)
class WorkflowStats:
    """How many jobs of a workflow stand where; a recount, not a running total.

    Attributes:
        pending: waiting, scheduled, ready or parked.
    """

    total: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    pending: int
    running: int

    @property
    def completion_percentage(self) -> float:
        """The share of jobs that have ended in any way, from 0 to 100."""
        if not self.total:
            return 100.0
        return 100.0 * (self.total - self.pending - self.running) / self.total


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """Where a batch stands.

    Attributes:
        errors: job id to what went wrong, for the first 1 000.
        success_rate: completed jobs by ended jobs, from 0 to 1 (1 while none has ended).
    """

    status: WorkflowStatus
    stats: WorkflowStats
    errors: Mapping[uuid.UUID, str]

    @property
    def success_rate(self) -> float:
        """Completed by ended."""
        ended = self.stats.total - self.stats.pending - self.stats.running
        return self.stats.completed / ended if ended else 1.0


class WorkflowResult:
    """A workflow by its id: wait for it, read its results, steer it.

    Attributes:
        id: the workflow's UUID.
    """

    def __init__(self, workflow_id: bytes, backend: Backend) -> None:
        self._key = workflow_id
        self._backend = backend

    @property
    def id(self) -> uuid.UUID:
        """The workflow's id."""
        return uuid.UUID(bytes=self._key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkflowResult) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def row(self) -> WorkflowRow:
        """The workflow as it stands in its table.

        Raises:
            JobNotFound: there is none.
        """
        row = self._backend.store.workflows.get(self._key)
        if row is None:
            raise JobNotFound(f"no workflow has the id {self.id}")
        return row

    def status(self) -> Any:
        """Where it stands: a WorkflowStatus."""
        return self.row().state.status

    def stats(self) -> WorkflowStats:
        """How many of its jobs stand where, those of workflows inside it included."""
        counts = self._backend.store.workflows.counts(self._key)
        return WorkflowStats(
            total=counts.total(),
            completed=counts[JobState.COMPLETED],
            failed=counts[JobState.FAILED],
            cancelled=counts[JobState.CANCELLED],
            skipped=counts[JobState.SKIPPED],
            pending=sum(
                counts[state]
                for state in (
                    JobState.WAITING,
                    JobState.SCHEDULED,
                    JobState.READY,
                    JobState.PARKED,
                )
            ),
            running=counts[JobState.RUNNING],
        )

    def wait(self, timeout: float | timedelta | None = None) -> WorkflowStatus:
        """Wait for its end, whatever it is.

        Raises:
            TimeoutError: it has not ended in time; says where it stands.
        """
        limit = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        deadline = None if limit is None else time.monotonic() + limit
        with self._backend.notifier.expect(self._key) as bell:
            while True:
                row = self.row()
                if row.state.status.is_final:
                    return row.state.status
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(self._not_ended(row, limit))
                poll = self._backend.poll
                bell.wait(poll if left is None else min(left, poll))

    def get(self, timeout: float | timedelta | None = None) -> Any:
        """Wait for its end and return the results of its nodes by name.

        A node of several jobs (a group, a batch) has a list; one that was skipped has None.

        Raises:
            JobFailed: it has failed; the error of the job that failed first.
            JobCancelled: it was cancelled.
            TimeoutError: it has not ended in time.
        """
        self._ended_well(timeout)
        return self._results()

    async def aget(self, timeout: float | timedelta | None = None) -> Any:
        """:meth:`get` without blocking the event loop."""
        return await self._backend.in_thread(self.get, timeout)

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel what has not started and ask what runs to stop."""
        self._after(self._backend.store.workflows.cancel(self._key, reason))
        self._backend.notifier.ring_control()

    def retry(
        self,
        node: str | None = None,
        *,
        failed_only: bool = True,
        downstream: bool = False,
        by: str = "",
    ) -> None:
        """Run again what failed or was cancelled, and what was skipped because of it.

        Args:
            node: only this one and what was skipped because of it.
            failed_only: must be true unless ``downstream`` is.
            downstream: everything that depends on it runs again, too, completed or not (but not
                spawners whose children are there).

        Raises:
            HammerflowError: it is still ending, or nothing in it has failed.
        """
        if not (failed_only or downstream):
            raise ValueError("retry() is either failed_only or downstream")
        self._check_retry(anything=node is not None or downstream)
        only = None if node is None else [self._named(node)]
        self._after(
            self._backend.store.workflows.rerun(self._key, only=only, downstream=downstream, by=by)
        )

    def _check_retry(self, *, anything: bool) -> None:
        workflows = self._backend.store.workflows
        state = self.row().state
        if state.is_halted and not state.status.is_final:
            raise HammerflowError(
                f"workflow {self.id} is still ending: retry it once its running jobs have ended"
            )
        if anything or state.status in (WorkflowStatus.FAILED, WorkflowStatus.CANCELLED):
            return
        if not any(workflows.failed(id_, 1) for id_ in [self._key, *workflows.inside(self._key)]):
            raise HammerflowError(
                f"workflow {self.id} is {state.status} and nothing in it has failed: there is "
                "nothing to retry"
            )

    def skip(self, node: str, *, by: str = "") -> None:
        """Take a failed node as done, so that what depends on it runs.

        Raises:
            HammerflowError: it has completed, or has not ended.
        """
        self._after(self._backend.store.workflows.skip(self._key, self._named(node), by))

    def resume(self, *, by: str = "") -> None:
        """Go on after a pause without what depends on the failures.

        Raises:
            HammerflowError: it is not paused.
        """
        self._after(self._backend.store.workflows.resume(self._key, by))

    def result(self, node: str) -> Result[Any]:
        """The result of one node."""
        return Result(self._named(node), self._backend)

    def members(self) -> Iterator[WorkflowMember]:
        """Its nodes, and what they spawned."""
        return self._backend.store.workflows.members(self._key)

    def errors(self) -> dict[uuid.UUID, str]:
        """What went wrong, by job, for the first 1 000 jobs that failed or were cancelled."""
        store = self._backend.store
        found: dict[uuid.UUID, str] = {}
        for workflow_id in [self._key, *store.workflows.inside(self._key)]:
            for job_id, _, state, reason in store.workflows.failed(
                workflow_id, _ERRORS - len(found)
            ):
                error = store.jobs.last_error(job_id) if state is JobState.FAILED else None
                text = f"{error[1]}: {error[2]}" if error else f"{state}: {reason}"
                found[uuid.UUID(bytes=job_id)] = text
        return found

    def graph(self, format: str = "mermaid", **limits: Any) -> str:  # noqa: A002 - as the command
        """Its graph with the states of its jobs: ``mermaid``, ``dot``, ``json`` or ``text``."""
        nodes: list[GraphNode] = []
        edges: list[tuple[str, str]] = []
        self._collect(self._key, None, nodes, edges)
        known = {node.key for node in nodes}
        row = self.row()
        return draw(
            Graph(row.name, nodes, [e for e in edges if e[0] in known and e[1] in known]),
            format,
            **limits,
        )

    # -- inside -----------------------------------------------------------------------------------

    def _collect(
        self,
        workflow_id: bytes,
        group: str | None,
        nodes: list[GraphNode],
        edges: list[tuple[str, str]],
    ) -> None:
        workflows = self._backend.store.workflows
        members = [*workflows.members(workflow_id)]
        for m in members:
            key = uuid.UUID(bytes=m.id).hex
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
            if m.dependent_id is not None:
                edges.append((key, m.dependent_id.hex()))
        edges += [
            (parent.hex(), child.hex())
            for parent, child, _ in workflows.edges([m.id for m in members])
        ]

    def _named(self, node: str) -> bytes:
        found = self._backend.store.workflows.named(self._key, node)
        if found is None:
            raise JobNotFound(f"workflow {self.id} has no node {node!r}")
        return found

    def _after(self, settlement: Settlement) -> None:
        notifier = self._backend.notifier
        if settlement.queues:
            notifier.ring(settlement.queues)
        if settlement.ended:
            notifier.ring_done(settlement.ended)

    def _ended_well(self, timeout: float | timedelta | None) -> None:
        status = self.wait(timeout)
        if status is WorkflowStatus.CANCELLED:
            raise JobCancelled(f"workflow {self.id} was cancelled: {self.row().reason}")
        if status is WorkflowStatus.FAILED:
            raise self._failure()

    def _failure(self) -> HammerflowError:
        store = self._backend.store
        for workflow_id in [self._key, *store.workflows.inside(self._key)]:
            for job_id, name, state, reason in store.workflows.failed(workflow_id, 1):
                error = store.jobs.last_error(job_id) if state is JobState.FAILED else None
                failure: HammerflowError = (
                    JobFailed(*error[1:])
                    if error is not None
                    else JobCancelled(f"job {uuid.UUID(bytes=job_id)} was {state}: {reason}")
                )
                where = f"node {name!r}" if name else f"job {uuid.UUID(bytes=job_id)}"
                failure.add_note(f"{where} of workflow {self.id}")
                return failure
        for member in self.members():  # what failed may stand elsewhere
            if member.cause is not None and (error := store.jobs.last_error(member.cause)):
                return JobFailed(*error[1:])
        return JobFailed("hammerflow.WorkflowFailed", self.row().reason or "a node has failed")

    def _results(self) -> dict[str, Any]:
        row = self.row()
        outputs = row.options.get("outputs", {})
        named = {m.name: m for m in self.members() if m.name is not None and m.position is not None}
        found: dict[str, Any] = {}
        for name, member in named.items():
            node = name.partition("[")[0]
            if node in outputs:
                found.setdefault(node, self._resolve(ResultRef.from_json(outputs[node])))
            elif not _is_part(name, named):
                found[name] = self._value(member)
        return found

    def _value(self, member: WorkflowMember) -> Any:
        if member.task is None:
            inner = self._backend.store.workflows.get(member.id)
            kind = BatchResult if inner is not None and inner.kind == "batch" else WorkflowResult
            return kind(member.id, self._backend)._results()
        return self._resolve(ResultRef(member.id))

    def _resolve(self, ref: ResultRef) -> Any:
        decode = self._backend.codec.decode

        def read(jobs: ResultRef) -> Iterator[Any]:
            for _, value in self._backend.store.workflows.results(jobs):
                yield None if value is None else decode(value)

        return ref.resolve(read)

    def _not_ended(self, row: WorkflowRow, limit: float | None) -> str:
        stats = self.stats()
        text = (
            f"workflow {self.id} has not ended within {limit} s: it is {row.state.status}, "
            f"{stats.total - stats.pending - stats.running} of {stats.total} jobs have ended"
        )
        if row.state.status is WorkflowStatus.PAUSED:
            text += f"; {row.reason} (hammerflow workflow show {self.id})"
        return text


def _is_part(name: str, named: Mapping[str, Any]) -> bool:
    """Whether it names a step before the last one of a chain that is a node."""
    node, _, number = name.rpartition(".")
    return node in named and number.isdigit()


class BatchResult(WorkflowResult):
    """A batch by its id."""

    def status(self) -> BatchStatus:
        """Counts, errors by job, and the rate of success."""
        return BatchStatus(self.row().state.status, self.stats(), self.errors())

    def get(self, timeout: float | timedelta | None = None) -> list[Any]:
        """Wait for its end and return its results in order (None for those that did not complete,
        where failures are collected).

        Raises:
            JobFailed, JobCancelled, TimeoutError: as for a workflow.
        """
        self._ended_well(timeout)
        found: list[Any] = self._results()
        return found

    def iter_results(self) -> Iterator[Any]:
        """The results in order, read page by page; None for those that did not complete."""
        decode = self._backend.codec.decode
        calls = ResultRef(JobRange(bytes(16), b"\xff" * 16, self._key))
        then = self.then
        ids = (m.id for m in self.members() if m.position is not None)
        found = self._backend.store.workflows.results(calls)
        for job_id, (_, value) in zip(ids, found, strict=False):
            if then is None or job_id != then.id.bytes:
                yield None if value is None else decode(value)

    @property
    def then(self) -> Result[Any] | None:
        """The call that comes after all of them."""
        found = self._backend.store.workflows.named(self._key, "then")
        return None if found is None else Result(found, self._backend)

    def _results(self) -> Any:
        return [*self.iter_results()]
