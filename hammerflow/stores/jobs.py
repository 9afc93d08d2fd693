"""Jobs: the verbs of a job's life, each in a transaction of its own or in the caller's."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from hammerflow.errors import HammerflowError, StoreUnavailable
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record, pack
from hammerflow.ids import name_id
from hammerflow.jobs.job import (
    CHUNK,
    FINAL_STATES,
    Claimed,
    DependencyStatus,
    ErrorRecord,
    Job,
    JobState,
    NewJob,
    Priority,
)
from hammerflow.jobs.outcome import Completed, Outcome, Replaced
from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.cancel_files import asked_by_file
from hammerflow.stores.claiming.claims import Claims
from hammerflow.stores.claiming.promotion import Promoted, promote_due
from hammerflow.stores.connections.error_codes import ErrorKind
from hammerflow.stores.database import Database, LockedOut, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.pages.job_pages import Span, ids_page, jobs_of_pages
from hammerflow.stores.records import Records
from hammerflow.stores.rows import JobLogRow
from hammerflow.stores.transitions.cancel import cancel_jobs
from hammerflow.stores.transitions.children import add_children
from hammerflow.stores.transitions.dependents import DependencyResolver
from hammerflow.stores.transitions.insert import LeftOut
from hammerflow.stores.transitions.late_dependencies import Inserted, insert_calls
from hammerflow.stores.transitions.rescue import release_unheld
from hammerflow.stores.transitions.retry import retry_job
from hammerflow.stores.transitions.settle import Batch, is_plain, settle, settle_streaming
from hammerflow.stores.transitions.unit import CascadeTooLong, Unit, Verbs, in_chunks
from hammerflow.text import storable

__all__ = ["Inserted", "Jobs"]

_log = logging.getLogger("hammerflow.stores")

_PAGE = 1_000
_ENQUEUED = EventKind.JOB_ENQUEUED


class _NotMeant(Exception):
    """Leaves a transaction that was only a trial."""


class Jobs(Verbs):
    """The tables that hold jobs."""

    def __init__(self, database: Database, names: NameTable, *, poison_limit: int) -> None:
        super().__init__(database, names)
        self._poison_limit = poison_limit
        self._inserts_in_one = "job_insert_ready" in database.dialect.statements
        self._settles_in_one = "settle_end" in database.dialect.statements
        claims = Claims(database, names.outbox)
        self.claim, self.has_passed = claims.claim, claims.has_passed
        self.claim_wait = claims.wait

    def insert(
        self, jobs: Sequence[NewJob], tx: Tx | None = None, *, check_ids: bool = False,
        refuse: bool = False,
    ) -> Inserted:  # fmt: skip
        """Insert jobs; with ``check_ids`` a job whose id exists is left as it is.

        Args:
            refuse: raise where the rule of a unique key rejects a call.

        Raises:
            JobNotFound: a dependency does not exist.
            NotUnique: a rule rejects a call.
        """

        def work(unit: Unit) -> Inserted:
            return insert_calls(unit, jobs, check_ids=check_ids, refuse=refuse)

        self._names.ensure(jobs, tx)
        try:
            return self._run(work, tx)
        except Exception as error:
            is_taken = self._database.kind_of(error) is ErrorKind.DUPLICATE
            if tx is not None or not check_ids or not is_taken:
                raise
            return self._run(work)  # another process has just inserted that id: now it is found

    def insert_one(self, job: NewJob) -> None:
        """Insert one job with a fresh id that is ready at once: the short way of ``delay()``.

        Where the dialect offers it, that is one statement in one round trip.
        """
        queue_id, task_id, names = name_id(job.queue), name_id(job.task), self._names
        if (
            queue_id not in names.queues
            or task_id not in names.tasks
            or time.monotonic() >= names.until
        ):
            names.ensure([job], None)
        expires_at = job.expires_at and self._database.dialect.time(job.expires_at)
        events = [Record(_ENQUEUED, job.id)] if names.outbox.wanted >> _ENQUEUED & 1 else []
        logged = {"pack": pack(events)} if events else {}

        def insert(tx: Tx) -> None:
            if tx.repeated and tx.rows("jobs_existing", ids=[job.id]):
                return
            if self._inserts_in_one:
                tx.run(
                    "job_insert_logged" if logged else "job_insert_ready", id=job.id,
                    queue_id=queue_id, priority=job.priority, task_id=task_id, args=job.args,
                    options=job.options, headers=job.headers, trace=job.trace,
                    expires_at=expires_at, expires=job.expires, **logged,
                )  # fmt: skip
                tx.has_events = bool(logged)
                return
            # Not job_row() and ReadyRow.of(): every delay() would pay for their empty columns.
            row = (
                job.id, queue_id, job.priority, task_id, job.args, job.options, job.headers,
                job.trace, expires_at, job.expires,
            )  # fmt: skip
            tx.many("job_insert_plain", [row])
            tx.many("ready_insert_plain", [row[:4]])
            if events:
                names.outbox.write(tx, events)

        self._database.unit(insert, single=self._inserts_in_one)

    def settle(
        self, worker_id: int, batch: Batch, tx: Tx | None = None, *,
        patience: float | None = None, most: int | None = None, logs: Sequence[JobLogRow] = (),
    ) -> Settlement:  # fmt: skip
        """Write the ends of a batch, fenced: what this worker does not hold any more is left out.

        A PostgreSQL batch of nothing but plain ends is one statement and one round trip.

        Args:
            patience: leave out the jobs whose lease another transaction has locked, instead of
                waiting for it; they are ``held`` in the settlement. For other locks, of workflows,
                dependents and unique keys, wait this number of seconds.
            most: jobs that may start or end because of these ends.
            logs: what bodies of these attempts have logged: written for those whose lease holds.

        Raises:
            LockedOut: the patience is over, and nothing is written.
            CascadeTooLong: more would start or end, and nothing is written.
        """
        if not batch:
            return Settlement()
        self._ensure_children(batch, tx)
        if tx is not None or logs or not (self._settles_in_one and is_plain(batch)):
            return self._settle(worker_id, batch, tx, patience=patience, most=most, logs=logs)
        result = self._settle(worker_id, batch, single=True, patience=patience)
        if result.stale:  # not ours any more, or something has come to depend on them
            rest = [pair for pair in batch if pair[0].id in result.stale]
            try:
                second = self._settle(worker_id, rest, patience=patience, most=most)
            except (LockedOut, CascadeTooLong):
                second = Settlement(held=result.stale)
            result.stale, result.held = second.stale, second.held
            result.ended += second.ended
            result.queues |= second.queues
        return result

    def _settle(
        self, worker_id: int, batch: Batch, tx: Tx | None = None, *, single: bool = False,
        patience: float | None = None, most: int | None = None, logs: Sequence[JobLogRow] = (),
    ) -> Settlement:  # fmt: skip
        def change(unit: Unit) -> None:
            settle(
                unit, worker_id, batch, poison_limit=self._poison_limit, single=single,
                patience=patience, logs=logs,
            )  # fmt: skip

        return self._change(
            change, tx, single=single, patience=None if single else patience, most=most
        )

    def would_settle(self, worker_id: int, job: Claimed, outcome: Outcome) -> bool:
        """Whether the database takes an outcome: it is written, and rolled back.

        Raises:
            LockedOut, StoreUnavailable: as for :meth:`settle`.
        """

        def settle_in_vain(unit: Unit) -> None:
            settle(unit, worker_id, [(job, outcome)], poison_limit=self._poison_limit)
            if unit.tx.has("check_deferred"):
                unit.tx.run("check_deferred")
            raise _NotMeant

        try:
            self._change(settle_in_vain, patience=0.02)
        except (LockedOut, StoreUnavailable):
            raise
        except Exception as answer:  # noqa: BLE001 - whatever the database says
            return type(answer) is _NotMeant
        return False

    def settle_stream(
        self,
        worker_id: int,
        job: Claimed,
        outcome: Completed,
        chunks: Callable[[], Iterable[Sequence[NewJob]]],
        logs: Sequence[JobLogRow] = (),
    ) -> Settlement:
        """Complete a spawner and insert all its children, in chunks, in one fenced transaction.

        Args:
            outcome: with ``spawned`` set and no children in it.
            chunks: gives the children from the start each time, as the transaction may run again.
            logs: as of :meth:`settle`.
        """
        for chunk in chunks():
            self._names.ensure(chunk, None)
        return self._change(
            lambda unit: settle_streaming(unit, worker_id, job, outcome, chunks(), logs)
        )

    def insert_children(
        self, chunks: Iterable[Sequence[NewJob]], job: Claimed, settlement: Settlement, tx: Tx
    ) -> None:
        """Insert the spooled children of a job that was settled in this transaction."""
        records = Records(self._names.outbox.current())
        unit = Unit(self._database, self._names, tx, settlement, records=records)
        resolver = DependencyResolver(unit)
        left_out = LeftOut(job.lease)
        for chunk in chunks:
            self._names.ensure(chunk, tx)
            add_children(unit, resolver, chunk, left_out)
            unit.write_events()

    def _ensure_children(self, batch: Batch, tx: Tx | None) -> None:
        for _, outcome in batch:
            if type(outcome) is Completed and outcome.spawned is not None:
                self._names.ensure(outcome.spawned.children, tx)
            elif type(outcome) is Replaced:
                self._names.ensure([outcome.call, *outcome.children], tx)

    def next_due(self, queue: str | None = None) -> float | None:
        """Seconds until the next scheduled job is due, 0 or less where one is; None for none.

        Args:
            queue: only its jobs, which reads all that are scheduled.
        """
        if queue is None:
            [(seconds,)] = self._database.rows("scheduled_next")
        else:
            [(seconds,)] = self._database.rows("scheduled_next_in", queue=name_id(queue))
        return None if seconds is None else float(seconds)

    def promote(self, limit: int = CHUNK) -> Promoted:
        """Move jobs that are due from scheduled to ready."""
        single = "promote" in self._database.dialect.statements
        moved = self._database.unit(lambda tx: promote_due(tx, limit), single=single)
        return Promoted(sum(moved.values()), {self._names.queue(queue_id) for queue_id in moved})

    def cancel(
        self, job_id: bytes, reason: str, *, then: Callable[[Settlement], None] = lambda _: None
    ) -> JobState | None:
        """Ask a job to stop; ``then`` gets what followed from it, once it is committed.

        Returns:
            CANCELLED where it had not started; RUNNING where its worker was told; else the final
            state it has already; None for an unknown id.
        """
        told, passed = {}, {job_id}
        while passed:
            with asked_by_file(self._database, passed):
                answers, settlement = self._run(
                    lambda unit: (cancel_jobs(unit, passed, reason), unit.settlement)  # noqa: B023
                )
            then(settlement)
            told, passed = answers.told, answers.passed
        return told.get(job_id)

    def replay(self, job_id: bytes, by: str = "") -> set[str]:
        """Put a failed, cancelled, skipped or parked job back to ready with all its attempts.

        Returns:
            The queues that have work now.

        Raises:
            HammerflowError: it is in another state, or its unique key is taken; says which.
        """
        return self._change(lambda unit: retry_job(unit, job_id, by)).queues

    def release_unheld(self, worker_id: int, held: set[bytes]) -> int:
        """Release leases that this worker does not know of: the reply to a claim was lost."""
        return self._run(lambda unit: release_unheld(unit, worker_id, held))

    def progress(self, notes: Sequence[tuple[bytes, float, str]]) -> None:
        """Keep how much of running jobs is done: (id, fraction, note)."""
        latest = {job_id: (job_id, fraction, storable(note)) for job_id, fraction, note in notes}
        if latest:
            rows = [latest[job_id] for job_id in sorted(latest)]
            self._database.unit(lambda tx: tx.many("progress_put", rows))

    def result(self, job_id: bytes) -> tuple[JobState, bytes | None, str | None] | None:
        """(state, encoded result, reason) of a job that has ended, else None."""
        row = self._database.first("job_result", id=job_id)
        return (FINAL_STATES[row[0]], row[1], row[2]) if row else None

    def cause(self, job_id: bytes) -> bytes | None:
        """The job whose failure is why this one was skipped."""
        row = self._database.first("outcomes_of", ids=[job_id])
        return row[2] if row and row[2] != job_id else None

    def last_error(self, job_id: bytes) -> tuple[str, str, str, str] | None:
        """(kind, type, message, traceback) of the last attempt that went wrong."""
        return self._database.first("job_last_error", id=job_id)

    def last_errors(self, job_ids: Sequence[bytes]) -> dict[bytes, tuple[str, str]]:
        """(type, message cut to 1 000 characters) of what went wrong last in each of these jobs."""
        rows = self._database.rows("last_errors", ids=list(job_ids)) if job_ids else []
        return {job_id: (type_, message) for job_id, type_, message in rows}

    def exists(self, job_id: bytes) -> bool:
        """Whether there is such a job."""
        return bool(self._database.rows("job_exists", id=job_id))

    def ended(self, job_ids: Sequence[bytes]) -> set[bytes]:
        """Those of these ids whose job has ended."""
        return self._ids("outcomes_of", job_ids)

    def unknown(self, job_ids: Sequence[bytes]) -> set[bytes]:
        """Those of these ids that no job has."""
        return set(job_ids) - self._ids("jobs_existing", job_ids)

    def deleted(self, job_ids: Sequence[bytes]) -> set[bytes]:
        """Those of these jobs of which somebody has deleted rows by hand: all, or that of the
        state."""
        return self.unknown(job_ids) | self._ids("jobs_missing", job_ids)

    def _ids(self, name: str, job_ids: Sequence[bytes]) -> set[bytes]:
        pages = in_chunks(job_ids, _PAGE)
        return {row[0] for page in pages for row in self._database.rows(name, ids=page)}

    def ids_between(self, low: bytes, high: bytes, limit: int) -> Sequence[bytes]:
        """The first ``limit`` ids of jobs from ``low`` to ``high``, both included."""
        return self._database.column("job_ids_between", low=low, high=high, n=limit)

    def args(self, job_id: bytes) -> bytes | None:
        """A job's encoded arguments."""
        return next(iter(self._database.column("job_args", id=job_id)), None)

    def get(self, job_id: bytes) -> Job | None:
        """A job with its error history; None for an unknown id."""
        found = self.get_many([job_id], must_read=True)
        if not found:
            return None
        rows = self._database.rows("job_errors", id=job_id)
        instant = self._database.dialect.instant
        errors = tuple(
            ErrorRecord(attempt, at, kind, type_, message, trace, instant(started), worker_id)
            for attempt, moment, kind, type_, message, trace, started, worker_id in rows
            if (at := instant(moment)) is not None
        )
        return replace(found[0], errors=errors)

    def get_many(self, job_ids: Sequence[bytes], *, must_read: bool = False) -> Sequence[Job]:
        """Jobs without error histories, in the order of the ids; unknown ids are left out.

        So are rows that nothing of hammerflow has written and that cannot be read, unless they
        ``must_read``: one of them must not hide all others.
        """
        if not job_ids:
            return []
        rows = self._database.rows("job_rows", ids=list(job_ids))
        jobs: dict[bytes, Job] = {}
        for row in rows:
            try:
                jobs[row[0]] = self._job(row)
            except HammerflowError as error:
                if must_read:
                    raise
                _log.warning("left out of a list: %s", error)
        return [jobs[job_id] for job_id in job_ids if job_id in jobs]

    def list(
        self, *, state: JobState | None = None, queue: str | None = None, task: str | None = None,
        since: datetime | None = None, until: datetime | None = None, limit: int = 100,
        before: bytes | None = None,
    ) -> Sequence[Job]:  # fmt: skip
        """Jobs, newest first; ``before`` an id for the next page."""
        page = partial(self.page, state=state, queue=queue, task=task)
        return jobs_of_pages(page, Span(since, until), limit, before)

    def page(
        self, *, state: JobState | None = None, queue: str | None = None, task: str | None = None,
        limit: int, before: bytes | None = None,
    ) -> tuple[Sequence[Job], bytes | None]:  # fmt: skip
        """A page of :meth:`list`, and the id before which the next one begins; None after the last.

        A page that is not the last may be short: it reads a bounded number of rows, leaves out one
        that cannot be read, and a job that has left the state meanwhile.
        """
        ids, after = self.ids_page(state=state, queue=queue, task=task, limit=limit, before=before)
        return [job for job in self.get_many(ids) if state in (None, job.state)], after

    def ids_page(
        self, *, state: JobState | None, queue: str | None, task: str | None, limit: int,
        before: bytes | None,
    ) -> tuple[Sequence[bytes], bytes | None]:  # fmt: skip
        """As :meth:`page`, but only the ids."""
        return ids_page(self._database, state, queue, task, limit=limit, before=before)

    def children(self, parent_id: bytes, *, after: int = -1, limit: int = _PAGE) -> Sequence[Job]:
        """A page of a spawner's children in spawn order (its fan-in comes last)."""
        values = {"parent": parent_id, "after": after, "n": limit}
        return self.get_many(self._database.column("ids_children", **values))

    def children_states(self, parent_id: bytes) -> Sequence[tuple[str, str, int]]:
        """(state, task, count) over the children of a job."""
        return self._database.rows("children_states", parent=parent_id)

    def results_of_children(
        self, parent_id: bytes, dependent_id: bytes
    ) -> Iterator[tuple[int, bytes | None, bool]]:
        """(spawn index, encoded result, whether it has ended) of the single jobs among the children
        that a fan-in waited for, in order."""
        after = -1
        while True:
            values = {"parent": parent_id, "dependent_id": dependent_id, "after": after}
            rows = self._database.rows("children_results", n=_PAGE, **values)
            yield from ((index, value, state is not None) for index, value, state in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def spawn(self, parent_id: bytes) -> dict[str, Any] | None:
        """The recorded spawn operation of a job."""
        row = self._database.first("spawn_row", id=parent_id)
        if row is None:
            return None
        at, handler, operation_id, spawned, metadata = row
        return {
            "at": self._database.dialect.instant(at), "handler": handler, "spawned": spawned,
            "operation_id": operation_id, "metadata": json.loads(metadata or "{}"),
        }  # fmt: skip

    def _job(self, row: tuple[Any, ...]) -> Job:
        (
            id_, task, queue, state, priority, dependency, attempt, created, run_at, started,
            finished, parent, root, depth, index, key, reason, fraction, note, headers, options,
            workflow, worker_id,
        ) = row  # fmt: skip
        instant = self._database.dialect.instant
        created_at = instant(created)
        if created_at is None or state == "missing":
            raise HammerflowError(
                f"job {uuid.UUID(bytes=id_)} is in none of the state tables: rows were deleted by "
                "hand; run hammerflow maintenance check --fix"
            )
        try:
            return Job(
                id=uuid.UUID(bytes=id_), task=task, queue=queue, priority=Priority(priority),
                state=JobState(state), dependency_status=DependencyStatus(dependency),
                attempt=attempt, created_at=created_at, run_at=instant(run_at),
                started_at=instant(started), finished_at=instant(finished), parent_id=_uuid(parent),
                root_id=_uuid(root), depth=depth, spawn_index=index, unique_key=key, reason=reason,
                progress=fraction, progress_note=note, headers=json.loads(headers or "{}"),
                options=json.loads(options or "{}"), workflow_id=_uuid(workflow),
                worker_id=worker_id,
            )  # fmt: skip
        except (ValueError, TypeError, RecursionError) as error:  # another program wrote the row
            raise HammerflowError(f"job {uuid.UUID(bytes=id_)} cannot be read: {error}") from error


def _uuid(id_: bytes | None) -> uuid.UUID | None:
    return None if id_ is None else uuid.UUID(bytes=id_)
