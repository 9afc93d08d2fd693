"""Lost replies: a COMMIT whose reply never comes, and what others do before it is asked again."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow.events.filter import EventFilter
from hammerflow.ids import new_id
from hammerflow.jobs.outcome import Parked
from hammerflow.jobs.status import WorkflowState
from hammerflow.schedules.call_template import CallTemplate
from hammerflow.stores.events.webhooks import WebhookAttempt
from tests.stores.breaker import Breaker, Crash, lost_connection
from tests.stores.kit import GONE, Desk, as_bytes, desk_at, failed
from tests.stores.schedule_kit import Beat
from tests.stores.workflow_kit import Sketch, flow_state, settle

WHEN = pytest.mark.parametrize("before", [False, True], ids=["reply lost", "commit lost"])
HOUR = 3600.0


@pytest.fixture(params=["postgres", "mariadb"])
def desk(request: pytest.FixtureRequest, migrated_database: Any) -> Iterator[Desk]:
    """A desk at a server; a file has no reply to lose."""
    with desk_at(migrated_database(request.param)) as desk:
        desk.store.names.ensure([desk.job()], None)  # so that no COMMIT is for these later
        yield desk
        desk.check()


@pytest.fixture
def near(desk: Desk) -> Iterator[Desk]:
    """What another process sees and does."""
    with desk_at(desk.url) as near:
        yield near


def nothing() -> None:
    """What others do where that does not matter."""


@contextlib.contextmanager
def commit_lost(
    desk: Desk, meanwhile: Callable[[], object] = nothing, *, before: bool = False
) -> Iterator[None]:
    """The connection is lost during the first COMMIT of the block.

    Args:
        meanwhile: what happens until the store asks again.
        before: the server never receives it.
    """
    dialect: Any = desk.store.database.dialect
    commit = dialect.commit

    def once(tx: Any) -> None:
        dialect.commit = commit
        if not before:
            commit(tx)
        tx.connection.close()
        meanwhile()
        raise lost_connection(desk.kind)

    dialect.commit = once
    yield
    assert dialect.commit == commit, "nothing was committed"


# -- ticks


def check_ticks(beat: Beat) -> None:
    """The jobs and workflows are those that the rows of ticks name, each one of one tick."""
    rows = beat.desk.sql("SELECT id, workflow_id FROM {jobs}")
    there = {as_bytes(job if flow is None else flow) for job, flow in rows}
    named = [run for row in beat.schedules.list() for run in beat.runs(row.name)]
    assert len(named) == len(set(named)) and set(named) == there


def with_a_workflow(**given: Any) -> dict[str, Any]:
    """A definition that starts a workflow of two jobs."""
    sketch = Sketch()
    sketch.job(sketch.job())
    rows = sketch.rows_of()
    call = CallTemplate(rows.workflows, rows.jobs).numbered().to_json()
    return {"call": call, "summary": "flow()", **given}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_round_that_ends_at_any_point_makes_each_tick_once(
    migrated_url: str, after: bool
) -> None:
    """A worker ends, or on a server its connection, at each single thing that it asks; then it
    begins again, or another one makes the rest."""
    with desk_at(migrated_url) as desk:
        beat = Beat(desk)
        beat.create("plain", every=HOUR)
        beat.create("second", every=HOUR, misfire="all")
        beat.create("line", every=HOUR, overlap="queue_one")
        beat.schedules.create("flow", with_a_workflow(every=HOUR), by="test")
        for count, point in enumerate(_points(), 1):
            beat.elapse(seconds=HOUR + 1)
            error = Crash() if desk.kind == "sqlite" else lost_connection(desk.kind)
            with contextlib.closing(desk.another()) as store:
                breaker = Breaker(store.database, at=point, after=after, error=error)
                with contextlib.suppress(Crash):
                    beat.make(watched=2 * HOUR, store=store)
            beat.make(watched=2 * HOUR)
            check_ticks(beat)
            for name in ("plain", "second", "flow"):
                assert beat.outcomes(name) == ["enqueued"] * count, (name, point)
            if breaker.count < point:
                break
        assert point > 12, "the breaker has seen nothing of the work"


def _points() -> Iterator[int]:
    """Every point with HAMMERFLOW_TEST_POINTS=all, else some of them, others in each run."""
    step = 1 if os.environ.get("HAMMERFLOW_TEST_POINTS") == "all" else 5
    return itertools.count(random.randint(1, step), step)


@WHEN
def test_another_worker_ticks_before_a_round_is_asked_for_again(
    desk: Desk, near: Desk, before: bool
) -> None:
    """It reads the clock again then, with other ticks due, and makes runs with other ids."""
    beat, others = Beat(desk), Beat(near)
    beat.create("plain", every=HOUR, misfire="all")
    beat.schedules.create("flow", with_a_workflow(every=HOUR, misfire="all"), by="test")

    def others_go_on() -> None:
        others.make(watched=5 * HOUR)
        beat.elapse(seconds=HOUR + 1)
        others.make(watched=5 * HOUR)
        beat.elapse(seconds=HOUR + 1)

    for _ in range(2):
        beat.elapse(seconds=2 * HOUR + 1)
        with commit_lost(desk, others_go_on, before=before):
            beat.make(watched=5 * HOUR)
    check_ticks(beat)
    assert beat.outcomes("plain") == beat.outcomes("flow") == ["enqueued"] * 8


@WHEN
def test_a_run_by_hand_is_made_once_whatever_ticks_meanwhile(
    desk: Desk, near: Desk, before: bool
) -> None:
    beat, others = Beat(desk), Beat(near)
    beat.create("plain", every=HOUR)

    def others_tick_three_times() -> None:
        for _ in range(3):
            beat.elapse(seconds=HOUR + 1)
            others.make(watched=2 * HOUR)

    with commit_lost(desk, others_tick_three_times, before=before):
        run, queues = beat.schedules.run_now("plain")

    assert near.count("jobs") == 4 and near.state(run) == "ready" and queues == {"q"}
    assert run not in beat.runs("plain")


@WHEN
def test_a_schedule_is_created_and_deleted_once(desk: Desk, before: bool) -> None:
    beat = Beat(desk)
    with commit_lost(desk, before=before):
        assert beat.create("daily").name == "daily"
    with commit_lost(desk, before=before):
        beat.schedules.delete("daily")
    assert beat.schedules.list() == []


# -- what people run again


def fails_again(near: Desk, job_id: bytes) -> None:
    """A worker runs the job, if it is there to be run, and it fails."""
    for job in near.claim():
        assert job.id == job_id
        near.settle((job, failed()))


@WHEN
@pytest.mark.parametrize(
    ("is_parked", "ends"),
    [(False, False), (False, True), (True, True)],
    ids=["it runs", "it has ended", "it was parked"],
)
def test_a_job_is_retried_once_though_it_has_run_meanwhile(
    desk: Desk, near: Desk, before: bool, is_parked: bool, ends: bool
) -> None:
    (job,) = desk.run(desk.job())
    desk.settle((job, Parked("poison", GONE) if is_parked else failed()))

    def runs() -> None:
        if ends:
            fails_again(near, job.id)
        else:
            near.claim()

    with commit_lost(desk, runs, before=before):
        assert desk.store.jobs.replay(job.id) == {"q"}

    wanted = "ready" if before else "failed" if ends else "running"
    assert near.state(job.id) == wanted
    assert [kind for kind, _ in near.errors(job.id)].count("replayed") == 1


@WHEN
@pytest.mark.parametrize("verb", ["job", "whole", "only"])
def test_a_workflow_is_rerun_once_though_it_has_failed_meanwhile(
    desk: Desk, near: Desk, before: bool, verb: str
) -> None:
    w = Sketch("continue_on_failure")
    first = w.job()
    w.job(first)
    w.put(desk)
    settle(desk, failed(), first)

    with commit_lost(desk, lambda: fails_again(near, first.id), before=before):
        if verb == "job":
            desk.store.jobs.replay(first.id)
        else:
            only = [first.id] if verb == "only" else None
            desk.store.workflows.rerun(w.id, only=only, downstream=False, by="me")

    assert near.state(first.id) == ("ready" if before else "failed")
    assert [kind for kind, _ in near.errors(first.id)].count("replayed") == 1


@WHEN
def test_a_paused_workflow_goes_on_and_a_node_is_skipped_once(desk: Desk, before: bool) -> None:
    w = Sketch("manual")
    bad, worse = w.job(), w.job()
    last = w.job(bad)
    w.put(desk)
    settle(desk, failed(), bad, worse)
    assert flow_state(desk, w.id) is WorkflowState.PAUSED
    with commit_lost(desk, before=before):
        desk.store.workflows.skip(w.id, bad.id, "me")
    assert desk.states([bad.id, last.id]) == ["skipped", "waiting"]
    with commit_lost(desk, before=before):
        desk.store.workflows.resume(w.id, "me")
    assert flow_state(desk, w.id) is WorkflowState.RUNNING and desk.state(last.id) == "ready"


@WHEN
def test_a_replay_and_its_undo_are_made_once(desk: Desk, before: bool) -> None:
    (job,) = desk.run(desk.job())
    desk.settle((job, failed()))
    letters, operation = desk.store.dead_letters, new_id()
    with commit_lost(desk, before=before):
        letters.replay(job.id, "me", operation)
    assert desk.state(job.id) == "ready" and [*letters.replayed(operation)] == [job.id]
    with commit_lost(desk, before=before):
        assert letters.undo(job.id, operation) is not None
    assert desk.state(job.id) == "failed" and not [*letters.replayed(operation)]


# -- calls


@WHEN
@pytest.mark.parametrize("check_ids", [False, True])
def test_a_call_is_new_though_its_reply_was_lost(
    desk: Desk, near: Desk, before: bool, check_ids: bool
) -> None:
    jobs = [desk.job(), desk.job()]
    with commit_lost(desk, before=before):
        found = desk.store.jobs.insert(jobs, check_ids=check_ids)
    assert found.new == {job.id for job in jobs} == set(found.ids)
    assert not desk.store.jobs.insert(jobs, check_ids=True).new


@WHEN
def test_a_new_job_counts_an_ended_dependency_once(desk: Desk, before: bool) -> None:
    """Uncounted, it would never start; counted twice, it would not wait for the other one."""
    ended, other = desk.run(desk.job(), desk.job())
    desk.end(ended)
    alone = desk.job(depends=[ended.id])
    both = desk.job(depends=[ended.id, other.id])
    with commit_lost(desk, before=before):
        desk.put(alone, both)
    assert desk.states([alone.id, both.id]) == ["ready", "waiting"]
    assert tuple(desk.one("pending", "waiting", both.id)) == (1,)


# -- sinks and webhooks


@WHEN
def test_a_sink_is_taken_and_moves_on_once(desk: Desk, before: bool) -> None:
    sinks = desk.store.sinks
    sinks.put("log", "file", {}, EventFilter(), position=0)
    with commit_lost(desk, before=before):
        hold = sinks.take("log", 7)
    assert hold is not None and sinks.take("log", 8) is None
    delivery = desk.job()
    with commit_lost(desk, before=before):
        moved = sinks.advance(hold, 5, 3, [(4, 1, new_id(), "no", "{}")], [delivery])
    assert moved is not None and moved.position == 5
    assert desk.state(delivery.id) == "ready" and len(sinks.parked("log")) == 1
    assert sinks.get("log").sent == 3


@WHEN
def test_an_attempt_of_a_delivery_is_logged_and_counted_once(desk: Desk, before: bool) -> None:
    desk.store.sinks.put("ops", "webhook", {"url": "http://x"}, EventFilter())
    bad = WebhookAttempt(500, 1, "", "no", "")
    with commit_lost(desk, before=before):
        desk.store.webhooks.note("ops", "msg_1", 1, 1, bad)
    assert len(desk.store.webhooks.deliveries("ops", 10)) == 1
    assert desk.store.webhooks.get("ops").failures == 1
