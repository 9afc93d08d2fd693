"""Unique keys: who holds one, and what becomes of a call whose key is taken."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hammerflow.errors import HammerflowError, NotUnique
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.limit import key_id, order_of, order_of_lane
from hammerflow.jobs.unique import HeldKey
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import ReadyRow, Row, scheduled_row
from hammerflow.stores.transitions.unit import Unit

__all__ = ["retake_keys", "take_job_keys", "take_keys"]

#: A job that moves while it is searched for is found in a later round.
_ROUNDS = 100
#: Tables of jobs that have not started, in the order in which jobs move on.
_TABLES = ("waiting", "parked", "scheduled", "ready")


def take_keys(tx: Tx, keys: Iterable[tuple[str | None, bytes]]) -> list[tuple[str, bytes, bytes]]:
    """Take unique keys, (key or None, job id); (key, job id, holder) of those that others hold.

    A key that its holder releases between the two statements is tried again.
    """
    wanted = [(key, job_id) for key, job_id in keys if key is not None]
    held: dict[str, bytes] = {}
    while missing := sorted((key, job_id) for key, job_id in wanted if key not in held):
        tx.many("unique_insert", missing)
        held.update(tx.rows("unique_holders", ukeys=sorted({key for key, _ in missing})))
    return [(key, job_id, held[key]) for key, job_id in wanted if held[key] != job_id]


def retake_keys(tx: Tx, keys: Iterable[tuple[str | None, bytes]]) -> None:
    """Take the unique keys of jobs that run again, (key or None, job id).

    Raises:
        HammerflowError: another job holds one of them.
    """
    held = take_keys(tx, keys)
    if held:  # perhaps for a time that is over
        tx.run("unique_drop", ukeys=sorted({key for key, _, _ in held}))
        held = take_keys(tx, [(key, job_id) for key, job_id, _ in held])
    for key, _, holder in held:
        raise HammerflowError(
            f"the unique key {key!r} is held by job {uuid.UUID(bytes=holder)}: "
            "cancel that one first, or wait for its end"
        )


def take_job_keys(
    unit: Unit, jobs: Sequence[NewJob], *, refuse: bool = False
) -> tuple[Sequence[NewJob], dict[bytes, bytes]]:
    """Take the unique keys of new jobs.

    The rule of a call decides what becomes of the holder of its key. Keys are taken in their order,
    then the holders are locked in the order of their ids, before the rows of their keys: a cancel
    and a settle lock a job before its key, too.

    Args:
        refuse: raise where a rule rejects.

    Returns:
        The jobs to insert; and for the others, by their id, that of the job that does their work.

    Raises:
        NotUnique: a rule rejects a call.
    """
    if all(job.unique_key is None and job.unique is None for job in jobs):
        return jobs, {}
    plain = [(job.unique_key, job.id) for job in jobs if job.unique is None]
    holders = {job_id: holder for _, job_id, holder in take_keys(unit.tx, plain)}
    calls: dict[str, NewJob] = {}
    again: dict[bytes, str] = {}
    for job in jobs:
        if job.unique is None:
            continue
        first = calls.setdefault(job.unique.text, job)
        if first is not job:
            again[job.id] = job.unique.text
            if job.unique.replaces:
                calls[job.unique.text] = _latest(first, job)
    found = _Conflicts(unit, refuse=refuse).resolve(calls) if calls else {}
    holders |= {calls[text].id: holder for text, holder in found.items()}
    holders |= {job_id: found.get(text, calls[text].id) for job_id, text in again.items()}
    latest = {job.id: job for job in calls.values()}
    return [latest.get(job.id, job) for job in jobs if job.id not in holders], holders


def _latest(first: NewJob, job: NewJob) -> NewJob:
    """The first of two equal calls of one insert, as the second one has it."""
    return first._replace(
        args=job.args, options=job.options, headers=job.headers, delay=job.delay, eta=job.eta,
        expires=job.expires, expires_at=job.expires_at, limit_id=job.limit_id,
        limit_key=job.limit_key, fair_key=job.fair_key,
    )  # fmt: skip


class _Holder(NamedTuple):
    """A row of ``unique_keys`` that names another job."""

    text: str
    job_id: bytes
    is_over: int  # its time is over
    left: float | None  # seconds until a debounced job is due at the latest


class _Conflicts:
    """Settles the keys of the calls of one insert."""

    def __init__(self, unit: Unit, *, refuse: bool) -> None:
        self._unit = unit
        self._tx = unit.tx
        self._refuse = refuse

    def resolve(self, calls: dict[str, NewJob]) -> dict[str, bytes]:
        """Take the keys; key to holder's id for those whose call is not to be inserted."""
        found: dict[str, bytes] = {}
        left = dict(calls)
        for _ in range(_ROUNDS):
            for holder in self._held(left):
                job = left.pop(holder.text)
                decision = self._decide(holder, job)
                if decision is None:
                    left[holder.text] = job  # the holder has changed meanwhile
                elif decision != job.id:
                    found[holder.text] = decision
            if not left:
                return found
        raise HammerflowError(
            f"the unique key {next(iter(left))!r} changed its holder {_ROUNDS} times while it was "
            "being taken; try again"
        )

    def _held(self, calls: dict[str, NewJob]) -> list[_Holder]:
        """Insert the keys that are free and drop them from the calls; the holders of the others, in
        the order of their jobs."""
        texts = sorted(calls)
        self._tx.many("unique_take", [_key_row(calls[text]) for text in texts])
        rows = [_Holder(*row) for row in self._tx.rows("unique_rows", ukeys=texts)]
        taken = [row for row in rows if row.job_id != calls[row.text].id]
        for row in rows:
            if row.job_id == calls[row.text].id:
                del calls[row.text]
        return sorted(taken, key=lambda row: row.job_id)

    def _decide(self, holder: _Holder, job: NewJob) -> bytes | None:
        """The id of who does the work of this call; None where the key has to be read again."""
        held: HeldKey = job.unique  # type: ignore[assignment]
        if holder.is_over:
            return self._take_over(holder, job)
        if held.frees_at_start or held.replaces:
            place = self._unstarted(holder.job_id)
            if place is None and held.frees_at_start:
                return self._take_over(holder, job)
            if place is not None and held.replaces:
                self._change(holder, job, *place)
        if held.on_conflict == "reject" and self._refuse:
            raise NotUnique(held.text, uuid.UUID(bytes=holder.job_id), self._state(holder.job_id))
        return holder.job_id

    def _take_over(self, holder: _Holder, job: NewJob) -> bytes | None:
        held: HeldKey = job.unique  # type: ignore[assignment]
        taken = self._tx.run(
            "unique_take_over", ukey=held.text, holder=holder.job_id, job_id=job.id,
            within=held.within, max_wait=held.max_wait,
        )  # fmt: skip
        return job.id if taken else None

    def _unstarted(self, job_id: bytes) -> tuple[str, Row] | None:
        """Lock a job that has not started: its table, and its row as one of ``ready``. A lease
        number above 0 says that it has been claimed before."""
        place = self._tx.rows("job_place", id=job_id)
        if not place:
            return None
        values: dict[str, Any] = {"id": job_id}
        lane = {**values, "queue_id": place[0][0], "priority_order": place[0][1]}
        for _ in range(_ROUNDS):
            for table in _TABLES:
                rows = self._tx.rows(f"take_{table}", **(lane if table == "ready" else values))
                if rows:
                    return (table, rows[0]) if rows[0][4] == 0 else None
            if self._tx.rows("leases_existing", ids=[job_id]) or self._tx.rows(
                "take_done", id=job_id
            ):
                return None
        return None

    def _change(self, holder: _Holder, job: NewJob, table: str, row: Row) -> None:
        """Give the holder the arguments and the time of a later call."""
        time = self._unit.database.dialect.time
        expires_at = None if job.expires_at is None else time(job.expires_at)
        self._tx.run(
            "job_new_call", id=holder.job_id, args=job.args, options=job.options,
            headers=job.headers, expires_at=expires_at, expires=job.expires,
        )  # fmt: skip
        old, row = row, self._in_its_lane(job, row)
        if table not in ("scheduled", "ready"):
            if row != old:
                self._tx.run(
                    f"move_{table}", id=holder.job_id, queue_id=row[1], priority_order=row[2]
                )
            return
        delay, eta = job.delay, None if job.eta is None else time(job.eta)
        if holder.left is not None and self._is_later(job, holder.left):
            delay, eta = max(0.0, holder.left), None
        lane = {"queue_id": old[1], "priority_order": old[2]} if table == "ready" else {}
        self._tx.run(f"drop_{table}", id=holder.job_id, **lane)
        if delay or eta is not None:
            self._tx.many("scheduled_insert", [scheduled_row(row[:6], "delay", delay, eta)])
        else:
            self._unit.make_ready([ReadyRow(*row[:6])])

    def _is_later(self, job: NewJob, left: float) -> bool:
        """Whether a call is due more than ``left`` seconds from now."""
        if job.eta is None:
            return (job.delay or 0.0) > left
        return job.eta.timestamp() - float(self._tx.rows("clock")[0][0]) > left

    def _in_its_lane(self, job: NewJob, row: Row) -> Row:
        """The row of a holder in the lane of a later call, whose arguments may have other keys."""
        lane, task_id, limit_key, fair_key = self._tx.rows("job_keys", id=row[0])[0]
        if lane is None or job.limit_id is None:
            return row
        job = job._replace(priority=4 - order_of_lane(lane))
        keys = {"limit_key": limit_key, "fair_key": fair_key}
        if lane != order_of(job._replace(limit_id=key_id(task_id, limit_key or ""), **keys)):
            return row  # that of a batch
        if (new := order_of(job)) != lane:
            keys = {"limit_key": job.limit_key, "fair_key": job.fair_key}
            self._tx.run("job_set_lane", id=row[0], lane=new, **keys)
        return (*row[:2], new, *row[3:])

    def _state(self, job_id: bytes) -> str:
        rows = self._tx.rows("state_of", id=job_id)
        return rows[0][0] if rows else "deleted"


def _key_row(job: NewJob) -> Row:
    held: HeldKey = job.unique  # type: ignore[assignment]
    return held.text, job.id, held.within, held.max_wait
