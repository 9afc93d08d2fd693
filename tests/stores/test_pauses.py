"""Pauses: once one is acknowledged nothing is claimed, whichever door a job came through."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Released, Retrying, Snoozed
from hammerflow.stores.database import Tx
from hammerflow.stores.pauses import PauseKind
from tests.stores.gates import blocked, running
from tests.stores.kit import BAD, Desk, failed, lost, spawned
from tests.support.waiting import until

KINDS = {PauseKind.APP: "", PauseKind.QUEUE: "q", PauseKind.TASK: "t"}


def test_a_pause_says_who_when_and_why_and_holds_until_it_is_resumed(desk: Desk) -> None:
    desk.put(job := desk.job(), other := desk.job(task="u", queue="r"))
    pauses = desk.store.pauses
    for kind, name in KINDS.items():
        pauses.pause(kind, name, by="ann@here", reason="fire")
        pauses.pause(kind, name, by="bob@here", reason="flood")
        assert desk.claim() == []
        (pause,) = pauses.list()
        assert (pause.kind, pause.name) == (kind.name.lower(), name)
        assert (pause.paused_by, pause.reason) == ("bob@here", "flood")
        assert abs(pause.paused_at.timestamp() - desk.store.clock()) < 60
        assert pauses.of("q", "t") == [pause]
        assert pauses.of("r", "u") == ([] if kind else [pause])
        elsewhere = desk.claim(queue="r", tasks=["u"])
        assert [each.id for each in elsewhere] == ([other.id] if kind else [])
        desk.settle(*((each, Retrying(0, BAD)) for each in elsewhere))
        assert pauses.resume(kind, name) and not pauses.resume(kind, name)
        assert pauses.list() == []
    assert [each.id for each in desk.claim()] == [job.id]


def test_pauses_add_up(desk: Desk) -> None:
    desk.put(desk.job())
    for kind, name in KINDS.items():
        desk.store.pauses.pause(kind, name)
    for kind, name in KINDS.items():
        assert desk.claim() == []
        desk.store.pauses.resume(kind, name)
    assert len(desk.claim()) == 1


def test_a_paused_task_stays_where_it_is_among_others(desk: Desk) -> None:
    jobs = [desk.job(task=task, priority=p) for p in (2, 4) for task in ("t", "u", "t", "u")]
    desk.put(*jobs)
    desk.store.pauses.pause(PauseKind.TASK, "t")
    taken = [job.id for job in desk.claim(tasks=["t", "u"])]
    assert taken == [jobs[i].id for i in (5, 7, 1, 3)]
    assert not desk.store.jobs.has_passed("q", [name_id("t")])
    desk.check()
    desk.store.pauses.resume(PauseKind.TASK, "t")
    taken = [job.id for job in desk.claim(tasks=["t", "u"])]
    assert taken == [jobs[i].id for i in (4, 6, 0, 2)]


def test_strays_of_a_paused_task_are_not_claimed(desk: Desk) -> None:
    desk.store.pauses.pause(PauseKind.TASK, "t")
    place = {"queue_id": name_id("q"), "task_ids": [name_id("t")], "priority_order": 2}
    desk.put(job := desk.job())
    values = {**place, "bound": bytes(16), "window": 10, "age": 0.0, "n": 10, "is_strict": 1}
    assert desk.store.database.column("strays", **values) == []
    desk.store.pauses.resume(PauseKind.TASK, "t")
    assert desk.store.database.column("strays", **values) == [job.id]


# -- side doors: each makes a job ready, and none starts it


def _retry_later(desk: Desk, job: Claimed) -> None:
    desk.settle((job, Retrying(5.0, BAD)))
    desk.elapse(10)
    desk.store.jobs.promote()


def _snooze(desk: Desk, job: Claimed) -> None:
    desk.settle((job, Snoozed(0)))
    desk.store.jobs.promote()


def _become_due(desk: Desk, job: Claimed) -> None:
    desk.end(job)
    desk.put(desk.job(delay=5.0))
    desk.elapse(10)
    desk.store.jobs.promote()


def _replay(desk: Desk, job: Claimed) -> None:
    desk.settle((job, failed()))
    desk.store.jobs.replay(job.id)


def _rescue(desk: Desk, _: Claimed) -> None:
    desk.elapse(1_000)
    assert desk.store.workers.sweep(lease=30, poison_limit=9).workers == 1


def _follow(desk: Desk, job: Claimed) -> None:
    desk.put(desk.job(depends=[job.id]))
    desk.end(job)


DOORS: Mapping[str, Callable[[Desk, Claimed], object]] = {
    "retry": lambda desk, job: desk.settle((job, Retrying(0, BAD))),
    "late retry": _retry_later,
    "snooze": _snooze,
    "release": lambda desk, job: desk.settle((job, Released())),
    "loss": lambda desk, job: desk.settle((job, lost())),
    "promote": _become_due,
    "replay": _replay,
    "rescue": _rescue,
    "dependent": _follow,
    "child": lambda desk, job: desk.settle((job, spawned(desk.child(job, 0)))),
    "enqueue": lambda desk, job: (desk.end(job), desk.put(desk.job())),
}


def test_no_side_door_starts_a_paused_job(desk: Desk) -> None:
    for (door, passes), (kind, name) in zip(DOORS.items(), itertools.cycle(KINDS.items())):
        desk.register()
        (job,) = desk.run(desk.job())
        desk.store.pauses.pause(kind, name)
        passes(desk, job)
        assert desk.count("ready") == 1, f"{door} makes one job ready"
        assert desk.claim() == [] and desk.count("leases") == 0, f"{door}: {kind!r}"
        desk.store.pauses.resume(kind, name)
        desk.end(*desk.claim())
        assert desk.count("ready") + desk.count("leases") == 0, door
        desk.store.workers.leave(1)
    desk.check()


# -- the order between a pause and the claims


@pytest.mark.usefixtures("servers")
def test_a_pause_waits_for_the_claims_that_have_not_seen_it(desk: Desk) -> None:
    if desk.kind == "sqlite":
        pytest.skip("one writer: a claim and a pause are never open at the same time")
    other = desk.another()
    for kind, name in KINDS.items():
        desk.put(desk.job(), desk.job())
        with other.transaction() as tx:
            assert _claim_one(tx) == 1
            with running(lambda: desk.store.pauses.pause(kind, name)) as pause:  # noqa: B023
                if desk.kind == "postgres":
                    until("the pause is written", other.pauses.list)
                    time.sleep(0.05)  # nothing tells that it goes on waiting
                else:
                    until("the pause waits", lambda: blocked(desk), step=0.15)
                assert not pause.is_over
        pause()
        _check_order(desk)
        assert desk.claim() == []
        desk.store.pauses.resume(kind, name)
    other.close()


def test_a_claim_that_was_overtaken_by_a_pause_takes_nothing(desk: Desk) -> None:
    """Between the read and the write of a claim in steps, which has a snapshot for each."""
    if desk.kind != "mysql":
        pytest.skip("a claim is one statement, or holds the only writer")
    desk.put(desk.job())
    other = desk.another()
    with other.transaction() as tx:
        rows = tx.rows("claim_read", **CLAIM, n=1)
        desk.store.pauses.pause(PauseKind.TASK, "t")
        assert not tx.run("leases_take", **_lane(rows))
    other.close()
    desk.check()


def test_sixteen_claimers_take_nothing_after_the_acknowledgement(
    desk: Desk, pytestconfig: pytest.Config
) -> None:
    """`--whole --timeout 7200` runs 1 000 rounds."""
    stores = [desk.store] if desk.kind == "sqlite" else [desk.another() for _ in range(4)]
    for number in range(1_000 if pytestconfig.getoption("--whole") else 6):
        kind = PauseKind(number % 3)
        desk.put(*(desk.job() for _ in range(64)))
        start, stop = threading.Barrier(17), threading.Event()

        def claimer(worker: int) -> None:
            start.wait()  # noqa: B023 - the threads end with the round
            while not stop.is_set():  # noqa: B023
                desk.claim(1, worker=worker, store=stores[worker % len(stores)])

        threads = [threading.Thread(target=claimer, args=(n,)) for n in range(1, 17)]
        for thread in threads:
            thread.start()
        start.wait()
        try:
            until("claims", lambda: desk.count("leases"), step=0.001)
            desk.store.pauses.pause(kind, KINDS[kind])
            at_once = desk.count("leases")
            _check_order(desk)
            desk.put(desk.job())
            time.sleep(0.01)  # what a claim that had not seen it would take
        finally:
            stop.set()
        for thread in threads:
            thread.join()
        assert desk.count("leases") == at_once, f"round {number}: claimed after the pause"
        desk.store.pauses.resume(kind, KINDS[kind])
        for table in ("leases", "ready", "jobs"):  # the next round begins with nothing
            desk.sql(f"DELETE FROM {{{table}}}")
    for store in stores:
        store.close()


CLAIM = {"queue_id": name_id("q"), "task_ids": [name_id("t")]}


def _claim_one(tx: Tx) -> int:
    """Claim as a worker does, in an open transaction; how many jobs."""
    if tx.has("claim"):
        lanes = {"priority_orders": [2], "bookmarks": [bytes(16)]}
        return len(tx.rows("claim", **CLAIM, **lanes, worker_id=1, n=1))
    taken = _lane(tx.rows("claim_read", **CLAIM, n=1))
    return tx.run("leases_take", **taken) and tx.run("ready_delete", **taken)


def _lane(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """What the second step of a claim gets of the first one."""
    ids, version = [row[0] for row in rows], rows[0][-1]
    place = {"queue_id": name_id("q"), "priority_order": 2, "worker_id": 1}
    return {**place, "ids": ids, "version": version}


def _check_order(desk: Desk) -> None:
    """Every claim came before the pause, by the database's clock."""
    (pause,) = desk.store.pauses.list()
    jobs = desk.store.jobs.get_many(desk.ids("SELECT job_id FROM {leases}"))
    tick = timedelta(milliseconds=desk.kind == "sqlite")  # what its clock tells apart
    late = [job for job in jobs if job.started_at and job.started_at >= pause.paused_at + tick]
    assert jobs and not late
