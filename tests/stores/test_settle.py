"""Settle: each outcome moves a job as it says, once, and only for the holder of the lease."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from hammerflow.jobs.job import Claimed, JobState
from hammerflow.jobs.outcome import (
    Cancelled,
    Completed,
    Failed,
    Failure,
    Outcome,
    Parked,
    Released,
    Retrying,
    Snoozed,
)
from tests.stores.gates import Gate, blocked, running
from tests.stores.kit import BAD, GONE, Desk, desk_at, failed, lost, spawned
from tests.stores.workflow_kit import OK
from tests.support.waiting import until

EVERY = [
    pytest.param(Completed(b"M\x2a"), "completed", id="completed"),
    pytest.param(Completed(None), "completed", id="completed without a result"),
    pytest.param(failed(), "failed", id="failed"),
    pytest.param(Retrying(30.0, BAD), "scheduled", id="retrying"),
    pytest.param(Retrying(0.0, BAD), "ready", id="retrying at once"),
    pytest.param(Snoozed(30.0), "scheduled", id="snoozed"),
    pytest.param(Cancelled("why not"), "cancelled", id="cancelled"),
    pytest.param(Released(), "ready", id="released"),
    pytest.param(Parked("undecodable", BAD), "parked", id="parked"),
    pytest.param(lost(), "ready", id="lost"),
    pytest.param(lost(5.0), "scheduled", id="lost with a delay"),
    pytest.param(lost(None), "failed", id="lost for good"),
]
FINAL = {"completed", "failed", "cancelled"}


@pytest.mark.parametrize(("outcome", "state"), EVERY)
def test_an_outcome_moves_the_job(desk: Desk, outcome: Outcome, state: str) -> None:
    (job,) = desk.run(desk.job())
    settlement = desk.settle((job, outcome))
    assert desk.state(job.id) == state
    assert settlement.stale == set()
    assert settlement.ended == ([job.id] if state in FINAL else [])
    assert settlement.queues == ({"q"} if state == "ready" else set())


@pytest.mark.parametrize(("outcome", "state"), EVERY)
def test_settling_twice_changes_nothing_more(desk: Desk, outcome: Outcome, state: str) -> None:
    job, other = desk.run(desk.job(), desk.job())
    desk.settle((job, outcome))
    before = desk.errors(job.id)
    settlement = desk.settle((job, outcome), (other, Completed(None)))
    assert (settlement.stale, settlement.ended) == ({job.id}, [other.id])
    assert settlement.queues == set()
    assert desk.state(job.id) == state and desk.errors(job.id) == before


@pytest.mark.parametrize(("outcome", "state"), EVERY)
def test_a_lease_taken_over_settles_nothing(desk: Desk, outcome: Outcome, state: str) -> None:
    (old,) = desk.run(desk.job())
    desk.settle((old, Released()))
    (new,) = desk.claim(worker=2)
    assert desk.settle((old, outcome), worker=1).stale == {old.id}
    assert desk.settle((old, outcome), worker=2).stale == {old.id}  # its lease, but an old number
    assert desk.settle((new, outcome), worker=1).stale == {old.id}  # the number, but not its lease
    assert desk.state(old.id) == "running" and desk.errors(old.id) == []
    assert desk.settle((new, outcome), worker=2).stale == set()


def test_a_job_that_is_given_back_is_not_charged_an_attempt(desk: Desk) -> None:
    (first,) = desk.run(desk.job())
    desk.settle((first, Released()))
    (second,) = desk.claim()
    desk.settle((second, Retrying(0.0, BAD)))
    (third,) = desk.claim()
    assert [(job.attempt, job.lease) for job in (first, second, third)] == [(1, 1), (1, 2), (2, 3)]


def test_a_stale_spawner_inserts_no_child(desk: Desk) -> None:
    (old,) = desk.run(desk.job())
    desk.settle((old, Released()))
    (new,) = desk.claim(worker=2)
    ghosts, kids = desk.family(old, 3), desk.family(new, 2)
    assert desk.settle((old, spawned(*ghosts))).stale == {old.id}
    assert desk.count("jobs") == 1 and desk.count("spawns") == 0
    desk.settle((new, spawned(*kids)), worker=2)
    assert desk.store.jobs.get_many([kid.id for kid in ghosts]) == []
    assert desk.states([kid.id for kid in kids]) == ["ready", "ready", "waiting"]
    desk.check()


def test_two_leases_of_one_job_in_one_batch(desk: Desk) -> None:
    (old,) = desk.run(desk.job())
    desk.settle((old, Retrying(0, BAD)))
    (new,) = desk.claim()
    batches: list[list[tuple[Claimed, Outcome]]] = [
        [(old, failed()), (new, Snoozed(5))],
        [(new, Snoozed(5)), (old, failed())],
    ]
    for batch in batches:
        settlement = desk.settle(*batch)
        assert settlement.ended == []
        assert desk.state(new.id) == "scheduled"
        assert desk.errors(new.id) == [("failed", 1)]


def test_a_batch_of_everything_is_one_settle(desk: Desk) -> None:
    outcomes: list[Any] = [param.values for param in EVERY]
    jobs = desk.run(*(desk.job() for _ in outcomes), desk.job())
    *live, stale = jobs
    desk.settle((stale, failed()))
    batch = [(job, outcome) for job, (outcome, _) in zip(live, outcomes, strict=True)]
    settlement = desk.settle(*batch, (stale, Completed(None)))
    assert settlement.stale == {stale.id}
    assert desk.states([job.id for job in live]) == [state for _, state in outcomes]
    assert settlement.queues == {"q"}
    desk.check()


def test_a_thousand_ends_are_one_settle(desk: Desk) -> None:
    jobs = desk.run(*(desk.job() for _ in range(1000)))
    settlement = desk.end(*jobs)
    assert sorted(settlement.ended) == sorted(job.id for job in jobs)
    assert desk.count("done") == 1000 and desk.count("leases") == 0


def test_nothing_settles_as_nothing(desk: Desk) -> None:
    assert desk.settle().ended == []


def test_the_end_is_recorded(desk: Desk) -> None:
    a, b, c = desk.run(desk.job(), desk.job(), desk.job())
    result = bytes(range(256))
    desk.settle((a, Completed(result)), (b, failed()), (c, Cancelled("it's over")))
    jobs = desk.store.jobs
    assert jobs.result(a.id) == (JobState.COMPLETED, result, None)
    assert jobs.result(b.id) == (JobState.FAILED, None, None)
    assert jobs.result(c.id) == (JobState.CANCELLED, None, "it's over")
    assert jobs.last_error(b.id) == (BAD.kind, BAD.type, BAD.message, BAD.traceback)
    seen = jobs.get(b.id)
    assert seen is not None and seen.finished_at is not None
    (error,) = seen.errors
    assert (error.attempt, error.kind, error.message) == (1, "failed", BAD.message)
    assert error.at.utcoffset() is not None


def test_the_error_history_keeps_each_attempt(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    for n in range(3):
        desk.settle((job, Retrying(0, Failure("failed", "E", f"number {n}", "trace"))))
        (job,) = desk.claim()
    desk.settle((job, Failed(Failure("timeout", "T", "late", ""))))
    seen = desk.store.jobs.get(job.id)
    assert seen is not None
    assert [(e.attempt, e.kind, e.message) for e in seen.errors] == [
        (1, "failed", "number 0"),
        (2, "failed", "number 1"),
        (3, "failed", "number 2"),
        (4, "timeout", "late"),
    ]


def test_the_error_history_tells_when_each_attempt_began_and_where(desk: Desk) -> None:
    (job,) = desk.run(desk.job(), worker=7)
    began = []
    for worker in (8, 9):
        began.append(_began(desk, job))
        desk.settle((job, Retrying(0, BAD)), worker=worker - 1)
        (job,) = desk.claim(worker=worker)
    began.append(_began(desk, job))
    desk.settle((job, Failed(BAD)), worker=9)
    desk.store.jobs.replay(job.id)
    seen = desk.store.jobs.get(job.id)
    assert seen is not None and None not in began
    assert [(e.kind, e.started_at, e.worker_id) for e in seen.errors] == [
        ("failed", began[0], 7), ("failed", began[1], 8), ("failed", began[2], 9),
        ("replayed", None, None),
    ]  # fmt: skip
    assert all(e.started_at <= e.at for e in seen.errors if e.started_at)


def _began(desk: Desk, job: Claimed) -> datetime | None:
    running = desk.store.jobs.get(job.id)
    return running and running.started_at


def test_a_sweep_tells_when_what_it_takes_over_began(desk: Desk) -> None:
    desk.register(7)
    one, two = desk.run(desk.job(), desk.job(), worker=7)
    began = [_began(desk, job) for job in (one, two)]
    desk.sql(f"UPDATE {{workers}} SET beat_at = {desk.shift('beat_at', 60)}")
    assert desk.store.workers.sweep(lease=30, poison_limit=3).rescued == 2
    told = [desk.store.jobs.get(job.id) for job in (one, two)]
    found = [job.errors[0] for job in told if job is not None]
    assert [(e.kind, e.started_at, e.worker_id) for e in found] == [
        ("lost", began[0], 7), ("lost", began[1], 7),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["a\0b", "\ud800 alone", "\U0001f980" * 70_000, "x" * 300_000])
def test_no_text_of_a_failure_can_hold_up_a_batch(desk: Desk, text: str) -> None:
    failure = Failure("failed", text, text, text)
    a, b, c, d = desk.run(*(desk.job() for _ in range(4)))
    desk.settle(
        (a, Failed(failure)), (b, Cancelled(text)), (c, Parked("poison", failure)), (d, failed())
    )
    states = ["failed", "cancelled", "parked", "failed"]
    assert desk.states([a.id, b.id, c.id, d.id]) == states
    desk.store.jobs.progress([(a.id, 0.5, text)])
    desk.store.jobs.cancel(c.id, text)
    seen = desk.store.jobs.get(b.id)
    assert (
        seen is not None
        and seen.reason
        and seen.reason.startswith(text[:1].encode(errors="backslashreplace").decode())
    )


def test_a_result_may_be_large(desk: Desk) -> None:
    result = bytes(range(256)) * 4096 * 5
    (job,) = desk.run(desk.job())
    desk.settle((job, Completed(result)))
    assert desk.store.jobs.result(job.id) == (JobState.COMPLETED, result, None)


def test_a_result_is_dropped_when_its_time_is_over(desk: Desk) -> None:
    brief, kept = desk.run(desk.job(), desk.job())
    desk.settle((brief, Completed(b"M1", ttl=60.0)), (kept, Completed(b"M2")))
    assert desk.store.expiry.drop_results() == 0
    desk.elapse(61)
    assert desk.store.expiry.drop_results() == 1
    assert desk.store.jobs.result(brief.id) == (JobState.COMPLETED, None, None)
    assert desk.store.jobs.result(kept.id) == (JobState.COMPLETED, b"M2", None)


def test_a_result_outlives_its_time_until_its_dependent_has_ended(desk: Desk) -> None:
    then = desk.job(pending=1)
    desk.put(first := desk.job(dependent_id=then.id), then)
    (claimed,) = desk.claim()
    assert claimed.id == first.id
    desk.settle((claimed, Completed(b"M1", ttl=60.0)))
    desk.elapse(61)
    assert desk.store.expiry.drop_results() == 0
    desk.end(*desk.claim())
    assert desk.store.expiry.drop_results() == 1
    assert desk.store.expiry.drop_results() == 0


@pytest.mark.parametrize(
    "outcome",
    [
        *(Completed(b"M1"), Completed(b"M1", ttl=60.0), failed(), Cancelled("its own")),
        *(Retrying(0, BAD), Retrying(9, BAD), Snoozed(9), Released(), lost(), Parked("x", BAD)),
    ],
)
def test_a_job_asked_to_stop_is_cancelled(desk: Desk, outcome: Outcome) -> None:
    (job,) = desk.run(desk.job(unique_key="k"))
    assert desk.store.jobs.cancel(job.id, "enough") is JobState.RUNNING
    assert desk.store.workers.cancels(1) == [(job.id, "enough")]
    settlement = desk.settle((job, outcome))
    assert settlement.ended == [job.id] and settlement.queues == set()
    assert desk.state(job.id) == "cancelled"
    assert desk.store.jobs.result(job.id) == (JobState.CANCELLED, None, "enough")
    assert desk.count("unique_keys") == 0
    assert settlement.stopped == {job.id}
    desk.check()


def test_a_cancel_touches_no_neighbour_of_a_plain_settle(desk: Desk) -> None:
    stopped, other = desk.run(desk.job(), desk.job())
    desk.store.jobs.cancel(stopped.id, "enough")
    settlement = desk.settle((stopped, Completed(b"M1", ttl=60.0)), (other, Completed(b"M2")))
    assert (settlement.stale, settlement.stopped) == (set(), {stopped.id})
    assert desk.store.jobs.result(stopped.id) == (JobState.CANCELLED, None, "enough")
    assert desk.store.jobs.result(other.id) == (JobState.COMPLETED, b"M2", None)
    assert desk.one("result_until", "done", stopped.id) == (None,)


@pytest.mark.parametrize("streams", [False, True])
def test_a_spawner_asked_to_stop_leaves_no_children(desk: Desk, streams: bool) -> None:
    then = desk.job(pending=1)
    desk.put(first := desk.job(dependent_id=then.id), then)
    (parent,) = desk.claim()
    assert parent.id == first.id
    assert desk.store.jobs.cancel(parent.id, "enough") is JobState.RUNNING
    kids = [desk.child(parent, index) for index in range(3)]
    if streams:
        outcome = spawned()
        settlement = desk.store.jobs.settle_stream(1, parent, outcome, lambda: [kids])
    else:
        settlement = desk.settle((parent, spawned(*kids)))
    assert settlement.stopped == {parent.id}
    assert desk.states([parent.id, then.id]) == ["cancelled", "skipped"]
    assert desk.count("jobs") == 2


def test_what_a_stopped_body_answered_is_kept(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    desk.store.jobs.cancel(job.id, "enough")
    desk.settle((job, Retrying(0, BAD)))
    assert desk.errors(job.id) == [("failed", 1)]


# -- children


def test_children_and_their_parent_end_in_one_settle(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    kids = [
        desk.child(parent, 0, queue="other"),
        desk.child(parent, 1, delay=30.0),
        desk.child(parent, 2),
    ]
    settlement = desk.settle((parent, spawned(*kids, result=b"Mr")))
    assert settlement.queues == {"q", "other"}
    assert desk.states([kid.id for kid in kids]) == ["ready", "scheduled", "ready"]
    assert desk.store.jobs.result(parent.id) == (JobState.COMPLETED, b"Mr", None)
    seen = desk.store.jobs.children(parent.id)
    assert [(job.id.bytes, job.spawn_index) for job in seen] == [
        (kid.id, n) for n, kid in enumerate(kids)
    ]
    operation = desk.store.jobs.spawn(parent.id)
    assert operation is not None
    assert (operation["handler"], operation["spawned"]) == ("handler", 3)


def test_children_that_cannot_be_inserted_leave_the_parent_running(desk: Desk) -> None:
    parent, other = desk.run(desk.job(), desk.job())
    twins = [desk.child(parent, 0), desk.child(parent, 0)]
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        desk.settle((other, Completed(None)), (parent, spawned(*twins)))
    assert desk.states([parent.id, other.id]) == ["running", "running"]
    assert desk.count("jobs") == 2


@pytest.mark.parametrize("stream", [False, True])
def test_the_holder_of_a_key_stands_for_a_child(desk: Desk, stream: bool) -> None:
    (parent,) = desk.run(desk.job())
    desk.put(desk.job(unique_key="k", queue="other"))
    a, b, c, then = desk.family(parent, 3)
    b, c = b._replace(unique_key="k"), c._replace(unique_key="free")
    if stream:
        chunks = [[a, b], [c, then]]
        desk.store.jobs.settle_stream(1, parent, spawned(), lambda: chunks)
    else:
        desk.settle((parent, spawned(a, b, c, then)))
    assert desk.store.jobs.get(b.id) is None
    assert tuple(desk.one("pending", "waiting", then.id)) == (2,)
    desk.end(*desk.claim())
    assert desk.state(then.id) == "ready"
    desk.check()


def test_a_job_may_spawn_the_next_one_under_its_own_key(desk: Desk) -> None:
    (job,) = desk.run(desk.job(unique_key="k"))
    for _ in range(3):
        kid = desk.child(job, 0, unique_key="k")
        desk.settle((job, spawned(kid)))
        (job,) = desk.claim()
        assert job.id == kid.id
    assert desk.put(desk.job(unique_key="k")) == [job.id]


def test_a_fan_in_of_children_that_all_run_elsewhere_is_ready(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    desk.put(desk.job(unique_key="k", queue="other"))
    kid, then = desk.family(parent, 1)
    settlement = desk.settle((parent, spawned(kid._replace(unique_key="k"), then)))
    assert settlement.queues == {"q"}
    assert desk.state(then.id) == "ready"


def test_a_stream_of_children_is_all_there(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    kids = desk.family(parent, 20_000)
    outcome = spawned(result=b"Mr")
    outcome = outcome._replace(spawned=outcome.spawned._replace(spawned=20_000))  # type: ignore[union-attr]
    chunks = lambda: (kids[n : n + 5000] for n in range(0, len(kids), 5000))  # noqa: E731
    settlement = desk.store.jobs.settle_stream(1, parent, outcome, chunks)
    assert settlement.ended == [parent.id] and settlement.queues == {"q"}
    assert desk.count("ready") == 20_000 and desk.state(kids[-1].id) == "waiting"
    rows = desk.sql("SELECT count(*), min(spawn_index), max(spawn_index) FROM {jobs}")
    assert tuple(rows[0]) == (20_002, 0, 20_000)


def test_a_stream_after_the_lease_is_gone_inserts_nothing(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    kids = desk.family(parent, 10)
    desk.settle((parent, Released()))
    settlement = desk.store.jobs.settle_stream(1, parent, spawned(), lambda: [kids])
    assert settlement.stale == {parent.id}
    assert desk.count("jobs") == 1 and desk.count("spawns") == 0


def test_a_stream_that_breaks_off_inserts_nothing(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    calls = []

    def chunks() -> list[list[object]]:
        calls.append(1)
        twin = desk.child(parent, 0)
        return [[twin], [desk.child(parent, 0)]]

    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        desk.store.jobs.settle_stream(1, parent, spawned(), chunks)  # type: ignore[arg-type]
    assert desk.state(parent.id) == "running" and desk.count("jobs") == 1


@pytest.mark.usefixtures("servers")
def test_a_sweep_waits_for_a_settle_under_way(migrated_database: Callable[[str], str]) -> None:
    with desk_at(migrated_database("postgres")) as desk:
        (job,) = desk.run(desk.job())
        gate = Gate(desk, "done", "INSERT")
        with gate.shut(), running(lambda: desk.end(job)) as settled:
            gate.wait_for_one()
            swept = desk.store.workers.sweep(lease=30, poison_limit=3)  # no worker row: ownerless
            assert swept.rescued == 0
        assert settled().ended == [job.id]
        assert desk.state(job.id) == "completed"


def test_settle_in_a_transaction_of_the_task(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    kid = desk.child(job, 0)
    with pytest.raises(ZeroDivisionError), desk.store.transaction() as tx:
        assert desk.store.jobs.settle(1, [(job, spawned(kid))], tx).ended == [job.id]
        raise ZeroDivisionError
    assert desk.state(job.id) == "running" and desk.count("jobs") == 1
    with desk.store.transaction() as tx:
        desk.store.jobs.settle(1, [(job, spawned(kid))], tx)
    assert desk.states([job.id, kid.id]) == ["completed", "ready"]


def test_a_lost_child_is_counted_and_the_third_loss_parks(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    for n in range(2):
        desk.settle((job, lost()))
        (job,) = desk.claim()
        assert (job.lease, job.attempt) == (n + 2, n + 2)
    desk.settle((job, lost()))
    assert desk.state(job.id) == "parked"
    assert desk.errors(job.id) == [("lost", 1), ("lost", 2), ("lost", 3)]
    assert desk.one("why, detail", "parked", job.id) == ("poison", GONE.message)


def test_other_failures_do_not_count_as_losses(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    for outcome in (lost(), Retrying(0, BAD), Released(), lost(), Retrying(0, BAD)):
        desk.settle((job, outcome))
        (job,) = desk.claim()
    desk.settle((job, lost(None)))
    assert desk.state(job.id) == "parked"


def test_the_poison_limit_is_a_setting(migrated_url: str) -> None:
    with desk_at(migrated_url, poison_limit=1) as desk:
        (job,) = desk.run(desk.job())
        desk.settle((job, lost()))
        assert desk.state(job.id) == "parked"


def test_a_cancel_that_commits_during_a_settle_does_not_make_it_stale(desk: Desk) -> None:
    if desk.kind == "sqlite":
        return  # one writer: nothing can come between
    (job,) = desk.run(desk.job())
    with desk.store.transaction() as tx:
        tx.run("leases_cancel", id=job.id, reason="enough")
        with running(lambda: desk.end(job)) as settled:
            until("a lock", lambda: blocked(desk), step=0.15)
    assert settled().stale == set()
    assert desk.state(job.id) == "cancelled"


def test_a_lease_that_a_client_has_locked_holds_up_its_own_job_only(desk: Desk) -> None:
    held, plain, keyed = desk.run(desk.job(), desk.job(), desk.job(unique_key="k"))
    if desk.kind == "sqlite":  # one writer: no transaction holds single rows
        settlement = desk.store.jobs.settle(1, [(held, OK)], patience=0.05)
        assert settlement.held == set()
        return
    with contextlib.closing(desk.another()) as client:
        with client.transaction() as tx:
            client.jobs.insert([desk.job(depends=[held.id])], tx)
            for batch in ([held, plain], [held, keyed]):
                pairs = [(job, OK) for job in batch]
                settlement = desk.store.jobs.settle(1, pairs, patience=0.05)
                assert (settlement.held, settlement.stale) == ({held.id}, set())
                assert settlement.ended == [batch[1].id]
        assert desk.store.jobs.settle(1, [(held, OK)], patience=0.05).held == set()
    assert desk.settle((held, OK)).stale == {held.id}
    assert len(desk.claim()) == 1, "the dependent was not released"
