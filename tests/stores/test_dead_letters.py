"""Dead letters: a replay starts as a new job does, takes its key, and is undone until it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow.errors import HammerflowError
from hammerflow.ids import new_id
from hammerflow.jobs.outcome import Parked, Retrying
from hammerflow.stores.dead_letters import JobChange
from tests.stores.kit import BAD, GONE, Desk, desk_at, failed
from tests.stores.workflow_kit import OK, Sketch, check_flows, run, settle

DAY = 86_400.0


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A desk whose jobs and workflows are recounted at the end of each test."""
    with desk_at(migrated_url) as desk:
        yield desk
        desk.check()
        check_flows(desk)


def dead(desk: Desk, outcome: Any = None, **options: Any) -> bytes:
    """A job that has failed, or ended in another way."""
    (job,) = desk.run(desk.job(**options))
    desk.settle((job, outcome or failed()))
    return job.id


def sink(desk: Desk, days: float) -> None:
    """Let a job's whole past lie further back."""
    for table, column in (("jobs", "created_at"), ("jobs", "expires_at"), ("errors", "at")):
        desk.sql(f"UPDATE {{{table}}} SET {column} = {desk.shift(column, days * DAY)}")


def test_a_replay_long_after_the_end_counts_its_times_from_now(desk: Desk) -> None:
    job_id = dead(desk, expires=3600.0)
    for replays in (1, 2):
        sink(desk, 3)
        desk.store.dead_letters.replay(job_id, "ann", new_id())
        (again,) = desk.claim()
        assert not again.expired and again.attempt == 1
        assert [kind for kind, _ in desk.errors(job_id)].count("replayed") == replays
        desk.settle((again, Retrying(0, BAD)))
        sink(desk, 3590 / DAY)
        (again,) = desk.claim()
        assert not again.expired
        desk.settle((again, Retrying(0, BAD)))
        sink(desk, 20 / DAY)
        (again,) = desk.claim()
        assert again.expired  # the hour is over
        desk.settle((again, failed()))
    assert [kind for kind, _ in desk.errors(job_id)].count("failed") == 7


def test_a_member_of_a_workflow_counts_its_times_from_now_too(desk: Desk) -> None:
    w = Sketch("continue_on_failure")
    bad = w.job(expires=3600.0)
    w.put(desk)
    settle(desk, failed(), bad)
    sink(desk, 3)

    desk.store.dead_letters.replay(bad.id, "ann", new_id())

    (again,) = desk.claim()
    assert not again.expired
    desk.end(again)


def test_of_dead_twins_one_runs_and_the_others_name_it(desk: Desk) -> None:
    twins = [dead(desk, unique_key="k") for _ in range(4)]
    operation, refused = new_id(), []
    for twin in twins:
        try:
            desk.store.dead_letters.replay(twin, "ann", operation)
        except HammerflowError as error:
            refused.append(str(error))
    assert desk.states(twins) == ["ready", *["failed"] * 3]
    holder = desk.store.jobs.get(twins[0])
    assert holder is not None and all(str(holder.id) in text for text in refused)
    assert [*desk.store.dead_letters.replayed(operation)] == twins[:1]


@pytest.mark.parametrize("delay", [0.0, 50.0])
def test_an_operation_is_undone_until_its_jobs_start(desk: Desk, delay: float) -> None:
    parked = dead(desk, Parked("poison", GONE), unique_key="p")
    bad, started = dead(desk, unique_key="b"), dead(desk)
    before = [tuple(desk.one("attempt", "done", bad)), tuple(desk.one("why", "parked", parked))]
    letters, operation = desk.store.dead_letters, new_id()
    listed = {letter.job_id: letter for letter in letters.newest(10)}
    for job_id in (started, bad, parked):
        assert letters.replay(job_id, "ann", operation, 0.0 if job_id == started else delay)
    assert desk.claim(1)[0].id in (started, bad, parked)
    running = desk.ids("SELECT job_id FROM {leases}")

    undone = [job_id for job_id in letters.replayed(operation) if letters.undo(job_id, operation)]

    assert {*undone, *running} == {started, bad, parked} and len(undone) == 2
    assert {letter.job_id for letter in letters.newest(10)} == {*undone}
    assert {letter.error for letter in letters.newest(10)} <= {
        letter.error for letter in listed.values()
    }
    if running == [started]:
        assert desk.states([bad, parked]) == ["failed", "parked"]
        assert [
            tuple(desk.one("attempt", "done", bad)), tuple(desk.one("why", "parked", parked))
        ] == before  # fmt: skip
        assert desk.ids("SELECT job_id FROM {unique_keys}") == [parked]
    assert [*letters.replayed(operation)] == running
    assert letters.undo(running[0], operation) is None
    for job_id in undone:  # and once more
        letters.replay(job_id, "ann", new_id())


def test_an_undone_member_fails_its_workflow_again(desk: Desk) -> None:
    w = Sketch("fail_fast")
    first = w.job()
    bad = w.job(first)
    after = w.job(bad)
    w.put(desk)
    run(desk, first)
    settle(desk, failed(), bad)
    operation = new_id()

    desk.store.dead_letters.replay(bad.id, "ann", operation)
    (replayed,) = [*desk.store.dead_letters.replayed(operation)] or [None]
    if replayed is None:  # it waits as a job with dependencies does, and is ready at once
        pytest.fail("the replay is not in its operation")
    assert desk.state(bad.id) == "ready"
    assert desk.store.dead_letters.undo(bad.id, operation) is not None

    assert desk.state(bad.id) == "failed"
    assert desk.state(after.id) in ("cancelled", "skipped")
    desk.store.dead_letters.replay(bad.id, "ann", new_id())
    run(desk, bad)
    run(desk, after)


def test_an_edit_changes_what_did_not_complete(desk: Desk) -> None:
    bad, good = dead(desk), dead(desk, OK)
    letters = desk.store.dead_letters

    def edit(job: bytes, args: bytes) -> None:
        letters.edit(job, JobChange("ann", desk.job()._replace(args=args)))

    for _ in range(2):
        edit(bad, b"M\x93")
    assert desk.store.jobs.args(bad) == b"M\x93"
    last = desk.store.jobs.last_error(bad)
    assert last is not None and last[1] == BAD.type
    with pytest.raises(HammerflowError, match="has completed"):
        edit(good, b"M\x93")
    desk.store.dead_letters.replay(bad, "ann", new_id())
    edit(bad, b"M\x94")
    (claimed,) = [job for job in desk.claim() if job.id == bad]
    assert claimed.args == b"M\x94"
    with pytest.raises(HammerflowError, match="is running, so it cannot be edited: cancel it"):
        edit(bad, b"M\x92")


def test_the_newest_dead_letters_are_counted_once(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    desk.settle((job, Retrying(0, BAD)))
    desk.settle((desk.claim()[0], failed()))
    dead(desk, Retrying(9, BAD))
    parked = dead(desk, Parked("poison", GONE))

    found = desk.store.dead_letters.newest(100)

    assert [(each.job_id, each.error, each.task) for each in found] == [
        (job.id, BAD.type, "t"), (parked, "poison", "t"),
    ]  # fmt: skip
    assert all(each.at is not None for each in found)
