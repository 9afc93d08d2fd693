"""Checker: what must be true of the database, the ledger and the promises once all is quiet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from hammerflow import JobFailed, WorkflowResult, WorkflowStatus
from tests.acceptance.kit import Shop, Worker
from tests.proof.chaos.events import check_log, check_sink
from tests.proof.chaos.load import Load
from tests.proof.chaos.promise import Promise
from tests.stores.kit import Desk, as_bytes
from tests.support.waiting import until

__all__ = ["begins_of", "check", "ids", "told"]

_COMPLETED, _CANCELLED = 4, 6  # states in {done}
#: Two clocks: the database's rounds to a millisecond or less, the ledger's is read in the body.
_CLOCKS = 0.005
#: Kinds whose handle is a sequence of results.
_MANY = (
    "group", "bulk", "shelved", "unique", "cancel many", "paused", "run now", "many turns",
    "later", "paced",
)  # fmt: skip
#: Kinds of which get() gives the value.
_VALUED = (
    "job", "chain", "chord", "group", "workflow", "charge", "rude", "neighbour", "turn",
)  # fmt: skip


def check(shop: Shop, load: Load, workers: list[Worker]) -> list[tuple[str, str]]:
    """(invariant, "ok" or what is wrong) for each; the last one ends the workers."""
    desk = shop.desk
    begins = begins_of(shop)
    return [
        told("I1 what was acknowledged is there", lambda: _acknowledged(shop, load)),
        told("I2 nothing is invented", lambda: _no_more(shop, load)),
        told("I3 nothing is left undone", lambda: _nothing_left(shop)),
        told("I4 one state each, no orphan", lambda: _no_damage(desk)),
        told("I5 attempts without a gap", lambda: shop._check_attempts(1000)),
        told("I6 ends under the last lease", shop._check_leases),
        told("I8 children 0..k-1, each once", shop._check_spawns),
        told("I9 policies and conditions", lambda: _workflows(load)),
        told("I10 ends of workflows", lambda: _joins(shop)),
        told("I13, I14 limits", shop.check_limits),
        told("I15 results", lambda: _values(shop, load)),
        told("I16 no lease without a worker", lambda: _no_leases(shop)),
        told("I17 nothing starts once cancelled", lambda: _cancelled(shop, load, begins)),
        told("I18 the log of events", lambda: check_log(shop)),
        told("I18 a sink of all events", lambda: check_sink(shop)),
        told("I20 nothing starts too early", lambda: _not_before(load, begins, "later")),
        told("I21 own writes exactly once", lambda: _marks(shop, load)),
        told("I23 nothing of a paused queue", lambda: _not_before(load, begins, "shelved")),
        told("I24 the database is sound", lambda: _sound(shop)),
        told("I25 nothing is left behind", lambda: _left_behind(shop, workers)),
        told("I26 every loss is recorded", lambda: _losses(shop)),
        told("I27 no neighbour is charged", lambda: _neighbours(shop, load)),
    ]


def told(name: str, work: Callable[[], Any]) -> tuple[str, str]:
    """The invariant's name, and "ok" or what is wrong."""
    try:
        work()
    except AssertionError as error:
        return name, " ".join(str(error).split())[:300] or "wrong"
    return name, "ok"


def _no_damage(desk: Desk) -> None:
    """What ``maintenance check`` asks, too."""
    desk.check()
    assert desk.damage() == {}, desk.damage()


def ids(promise: Promise) -> list[bytes]:
    """Of the jobs and workflows that were acknowledged."""
    handle = promise.handle
    if promise.kind in _MANY:
        return [result.id.bytes for result in handle]
    return [handle.id.bytes]


def _acknowledged(shop: Shop, load: Load) -> None:
    there = set(shop.desk.ids("SELECT id FROM {jobs}"))
    there |= set(shop.desk.ids("SELECT id FROM {workflows}"))
    kept = (promise for promise in load.promises if promise.kind != "bin")
    missing = [id_ for p in kept for id_ in ids(p) if id_ not in there]
    assert not missing, f"{len(missing)} acknowledged jobs or workflows are lost"


def _no_more(shop: Shop, load: Load) -> None:
    """Roots that no client and no tick has made: at most those of enqueues without an answer."""
    rows = "SELECT id FROM {jobs} WHERE parent_id IS NULL AND workflow_id IS NULL"
    roots = set(shop.desk.ids(rows)) | set(shop.desk.ids("SELECT id FROM {workflows}"))
    promised = {id_ for p in load.promises for id_ in ids(p)}
    promised |= {p.handle.workflow.id.bytes for p in load.promises if p.kind == "group"}
    promised |= set(shop.desk.ids("SELECT run FROM {schedule_ticks} WHERE run IS NOT NULL"))
    inside = dict(_pairs(shop, "SELECT id, workflow_id FROM {jobs} WHERE workflow_id IS NOT NULL"))
    promised |= {inside[id_] for id_ in promised & inside.keys()}
    extra = roots - promised
    assert len(extra) <= load.unknown, f"{len(extra)} roots of no origin, {load.unknown} unknown"


def _pairs(shop: Shop, text: str) -> Iterable[tuple[bytes, bytes]]:
    return ((as_bytes(one), as_bytes(other)) for one, other in shop.desk.sql(text))


def _nothing_left(shop: Shop) -> None:
    for table in ("waiting", "scheduled", "ready", "leases", "parked"):
        count = shop.desk.count(table)
        assert count == 0, f"{count} rows in {table}"


def _joins(shop: Shop) -> None:
    assert shop.desk.count("barriers") == 0, f"{shop.desk.count('barriers')} barriers are open"
    open_ = shop.desk.sql("SELECT count(*) FROM {workflows} WHERE ended_at IS NULL")[0][0]
    assert open_ == 0, f"{open_} workflows have not ended"


def _workflows(load: Load) -> None:
    wrong = []
    for promise in load.promises:
        if promise.kind != "failing":
            continue
        handle: WorkflowResult = promise.handle
        states = {m.name: m.state for m in handle.members() if m.name is not None}
        if handle.status() is not WorkflowStatus.FAILED or any(
            states[name] not in wanted for name, wanted in promise.states.items()
        ):
            wrong.append(f"{handle.id}: {handle.status()} {states}")
    assert not wrong, f"{len(wrong)} workflows ended against their policy: {wrong[:3]}"


def _values(shop: Shop, load: Load) -> None:
    ends = _ends(shop)
    codec = shop.client.codec
    wrong = []
    for promise in load.promises:
        if promise.kind in ("bulk", "paced"):
            for id_, wanted in zip(ids(promise), promise.value, strict=True):
                state, result = ends.get(id_, (None, b""))
                if state != _COMPLETED or codec.decode(result) != wanted:
                    wrong.append(f"job {id_.hex()}: state {state}")
        if promise.kind not in _VALUED:
            continue
        try:
            value = promise.handle.get(timeout=5)
        except (JobFailed, TimeoutError) as error:
            value = f"{type(error).__name__}: {error}"
        if value != promise.value:
            wrong.append(f"{promise.kind} {promise.handle.id}: {value!r} != {promise.value!r}")
    assert not wrong, f"{len(wrong)} wrong results: {wrong[:3]}"


def _ends(shop: Shop) -> dict[bytes, tuple[int, bytes]]:
    rows = shop.desk.sql("SELECT job_id, state, result FROM {done}")
    return {as_bytes(job): (state, bytes(result or b"")) for job, state, result in rows}


def begins_of(shop: Shop) -> dict[str, list[float]]:
    """When bodies began, by job."""
    found: dict[str, list[float]] = {}
    for run in shop.ledger.runs():
        found.setdefault(run.job, []).append(run.began)
    return found


def _cancelled(shop: Shop, load: Load, begins: dict[str, list[float]]) -> None:
    ends = _ends(shop)
    for promise in _of(load, "cancelled"):
        (id_,) = ids(promise)
        state = ends[id_][0]
        assert state in (_COMPLETED, _CANCELLED), f"{id_.hex()} ended in state {state}"
        if promise.value is not None:
            late = [at for at in begins.get(id_.hex(), ()) if at > promise.value]
            assert not late, f"{id_.hex()} began {late[0] - promise.value:.3f} s after its cancel"


def _not_before(load: Load, begins: dict[str, list[float]], kind: str) -> None:
    for promise in _of(load, kind):
        for id_, at in zip(ids(promise), promise.value, strict=True):
            early = [began for began in begins.get(id_.hex(), ()) if began < at - _CLOCKS]
            assert not early, f"{id_.hex()} began {at - early[0]:.3f} s too early"


def _marks(shop: Shop, load: Load) -> None:
    """Of calls without an answer, too: each job's body writes its one mark."""
    marks = Counter(row[0] for row in shop.desk.sql("SELECT mark FROM marks"))
    assert all(count == 1 for count in marks.values()), "a mark was made twice"
    promised = {promise.value for promise in _of(load, "charge")}
    assert promised <= set(marks), f"{len(promised - set(marks))} marks are missing"
    extra = len(set(marks) - promised)
    assert extra <= load.unknown, f"{extra} marks of no job that was acknowledged"


def _of(load: Load, kind: str) -> Iterable[Promise]:
    return (promise for promise in load.promises if promise.kind == kind)


def _losses(shop: Shop) -> None:
    """A body that began and never came to its end stands in the errors of its job; unless the
    cancel stopped it that ended the job, or its own worker, which gave the attempt back (to be run
    again, or cancelled before that). What was removed tells nothing."""
    rows = shop.desk.sql("SELECT job_id, attempt FROM {errors}")
    told = {(as_bytes(job).hex(), attempt) for job, attempt in rows}
    rows = shop.desk.sql(f"SELECT job_id, attempt FROM {{done}} WHERE state = {_CANCELLED}")
    cancelled = {as_bytes(job).hex(): attempt for job, attempt in rows}
    runs = shop.ledger.runs()
    told |= {(run.job, run.attempt) for run in runs if run.ended is not None}
    there = {job.hex() for job in shop.desk.ids("SELECT id FROM {jobs}")}
    dead = [run for run in runs if run.ended is None and run.job in there]
    untold = [
        run
        for run in dead
        if (run.job, run.attempt) not in told
        and run.attempt < cancelled.get(run.job, run.attempt + 1)
    ]
    assert not untold, f"{len(untold)} of {len(dead)} lost attempts are not recorded: {untold[:2]}"


def _neighbours(shop: Shop, load: Load) -> None:
    """A body on a shared loop is charged when its process was killed, and for nothing else."""
    rows = "SELECT job_id, type FROM {errors} WHERE kind NOT IN ('lost', 'suspected')"
    charged = shop.desk.sql(rows)
    neighbours = {id_ for promise in _of(load, "neighbour") for id_ in ids(promise)}
    wrong = [kind for job, kind in charged if as_bytes(job) in neighbours]
    assert not wrong, f"{len(wrong)} attempts failed by what others did: {wrong[:3]}"


def _left_behind(shop: Shop, workers: list[Worker]) -> None:
    """After the drain: no process, no open transaction, no lock."""
    for worker in workers:
        status = worker.stop()
        assert status == 0, f"the worker of {worker.log_path} ended with {status}"
    until("no process is left", lambda: not any(worker.family() for worker in shop.workers))
    busy = {
        "sqlite": None,
        "postgres": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state <> 'idle' AND pid <> pg_backend_pid()",
        "mysql": "SELECT count(*) FROM information_schema.innodb_trx",
    }[shop.desk.kind]
    if busy is not None:
        until("no transaction is open", lambda: shop.desk.sql(busy)[0][0] == 0)


def _no_leases(shop: Shop) -> None:
    rows = shop.desk.sql(
        "SELECT count(*) FROM {leases} l WHERE NOT EXISTS "
        "(SELECT 1 FROM {workers} w WHERE w.id = l.worker_id)"
    )
    assert rows[0][0] == 0


def _sound(shop: Shop) -> None:
    if shop.desk.kind == "sqlite":
        assert shop.desk.sql("PRAGMA integrity_check") == [("ok",)]
    elif shop.desk.kind == "mysql":
        for table in ("jobs", "done", "edges", "workflows", "nodes"):
            rows = shop.desk.sql(f"CHECK TABLE {{{table}}}")
            assert rows[-1][-1] == "OK", rows
