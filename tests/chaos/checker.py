"""Checker: what must be true of the database, the ledger and the promises once all is quiet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hammerflow import JobFailed, WorkflowResult, WorkflowStatus
from tests.acceptance.kit import Shop
from tests.chaos.load import Load, Promise

__all__ = ["check"]


def check(shop: Shop, load: Load) -> list[tuple[str, str]]:
    """(invariant, "ok" or what is wrong) for each."""
    desk = shop.desk
    return [
        _told("I1 what was acknowledged is there", lambda: _acknowledged(shop, load)),
        _told("I2 nothing is invented", lambda: _no_more(shop, load)),
        _told("I3 nothing is left undone", lambda: _nothing_left(shop)),
        _told("I4 one state each, no orphan", desk.check),
        _told("I5 attempts without a gap", lambda: shop._check_attempts(1000)),
        _told("I6 ends under the last lease", shop._check_leases),
        _told("I8 children 0..k-1, each once", shop._check_spawns),
        _told("I9 policies and conditions", lambda: _workflows(load)),
        _told("I10 ends of workflows", lambda: _joins(shop)),
        _told("I15 results", lambda: _values(load)),
        _told("I16 no lease without a worker", lambda: _no_leases(shop)),
        _told("I24 the database is sound", lambda: _sound(shop)),
    ]


def _told(name: str, work: Callable[[], Any]) -> tuple[str, str]:
    try:
        work()
    except AssertionError as error:
        return name, " ".join(str(error).split())[:300] or "wrong"
    return name, "ok"


def _ids(promise: Promise) -> list[bytes]:
    handle = promise.handle
    if promise.kind == "group":
        return [result.id.bytes for result in handle]
    return [handle.id.bytes]


def _acknowledged(shop: Shop, load: Load) -> None:
    there = set(shop.desk.ids("SELECT id FROM {jobs}"))
    there |= set(shop.desk.ids("SELECT id FROM {workflows}"))
    missing = [id_ for p in load.promises for id_ in _ids(p) if id_ not in there]
    assert not missing, f"{len(missing)} acknowledged jobs or workflows are lost"


def _no_more(shop: Shop, load: Load) -> None:
    """Roots that no client was promised: at most those of enqueues without an answer."""
    rows = "SELECT id FROM {jobs} WHERE parent_id IS NULL AND workflow_id IS NULL"
    roots = set(shop.desk.ids(rows)) | set(shop.desk.ids("SELECT id FROM {workflows}"))
    promised = {id_ for p in load.promises for id_ in _ids(p)}
    promised |= {p.handle.workflow.id.bytes for p in load.promises if p.kind == "group"}
    for promise in load.promises:
        if promise.kind in ("chain", "chord"):
            promised.add(promise.handle.job().workflow_id.bytes)
    extra = roots - promised
    assert len(extra) <= load.unknown, f"{len(extra)} roots of no origin, {load.unknown} unknown"


def _nothing_left(shop: Shop) -> None:
    for table in ("waiting", "scheduled", "ready", "leases", "parked"):
        count = shop.desk.count(table)
        assert count == 0, f"{count} rows in {table}"


def _joins(shop: Shop) -> None:
    assert shop.desk.count("joins") == 0, f"{shop.desk.count('joins')} joins are open"
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


def _values(load: Load) -> None:
    wrong = []
    for promise in load.promises:
        if promise.kind in ("failing", "spawner"):
            continue
        try:
            value = promise.handle.get(timeout=5)
        except (JobFailed, TimeoutError) as error:
            value = f"{type(error).__name__}: {error}"
        if value != promise.value:
            wrong.append(f"{promise.kind} {promise.handle.id}: {value!r} != {promise.value!r}")
    assert not wrong, f"{len(wrong)} wrong results: {wrong[:3]}"


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
