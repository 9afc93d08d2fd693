"""Late dependencies: on jobs and workflows that are there already, whatever they are doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow.errors import JobNotFound
from hammerflow.ids import new_id
from hammerflow.jobs.job import JobState, NewJob
from hammerflow.jobs.outcome import Cancelled, Parked
from tests.stores.gates import Gate, running
from tests.stores.kit import BAD, Desk, desk_at, failed
from tests.stores.workflow_kit import OK, Sketch, check_flows, run, settle, states


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A desk whose workflows are recounted at the end of each test."""
    with desk_at(migrated_url) as desk:
        yield desk
        check_flows(desk)


# -- dependencies on what is there already

END = {"comp": OK, "fail": failed(), "canc": Cancelled("no")}


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("waiting", "wait"), ("scheduled", "wait"), ("ready", "wait"), ("running", "wait"),
        ("parked", "wait"), ("comp", "read"), ("fail", "skip"), ("canc", "skip"),
        ("skipped", "skip"),
    ],
)  # fmt: skip
def test_a_late_dependency_on_a_job(desk: Desk, place: str, expected: str) -> None:
    w = Sketch()
    before = w.job(queue="slow")
    first = w.job(before) if place in ("waiting", "skipped") else w.job(
        delay=500 if place == "scheduled" else 0
    )  # fmt: skip
    w.put(desk)
    if place == "skipped":
        desk.store.jobs.cancel(before.id, "no")
    elif place == "parked":
        settle(desk, Parked("x", BAD), first)
    elif place in END:
        settle(desk, END[place], first)
    elif place == "running":
        (held,) = desk.claim()
    late, later = (desk.job(depends=[first.id]) for _ in range(2))
    desk.put(late)
    desk.put(later)  # the first one has marked it already
    assert [desk.state(job.id)[:4] for job in (late, later)] == [expected] * 2
    if place == "running":
        desk.end(held)
        assert desk.state(late.id) == "ready"
    elif place == "ready":
        run(desk, first)
        assert desk.state(late.id) == "ready"
    elif expected == "wait":
        assert desk.store.jobs.cancel(first.id, "no") is JobState.CANCELLED
        assert desk.state(late.id) == "skipped"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_late_dependency_on_a_workflow(desk: Desk, when: str) -> None:
    w = Sketch()
    first = w.job()
    w.put(desk)
    late = desk.job(depends=[w.id])
    if when == "before":
        desk.put(late)
        assert desk.state(late.id) == "waiting"
    run(desk, first)
    if when == "after":
        desk.put(late)
    assert desk.state(late.id) == "ready"


def test_a_job_that_is_there_counts_its_ended_dependencies_once(desk: Desk) -> None:
    """A second call with its id changes nothing: it still waits for the one that runs."""
    ended, other = desk.run(desk.job(), desk.job())
    desk.end(ended)
    late = desk.job(depends=[ended.id, other.id])
    for _ in range(2):
        desk.store.jobs.insert([late], check_ids=True)
    assert desk.state(late.id) == "waiting"
    assert tuple(desk.one("pending", "waiting", late.id)) == (1,)
    desk.end(other)
    assert desk.state(late.id) == "ready"


def test_an_unknown_dependency_writes_nothing(desk: Desk) -> None:
    with pytest.raises(JobNotFound, match="no job or workflow"):
        desk.put(desk.job(), desk.job(depends=[new_id()]))
    w = Sketch()
    w.job(depends=[new_id()])
    with pytest.raises(JobNotFound, match="no job or workflow"):
        w.put(desk)
    assert desk.count("jobs") == desk.count("workflows") == desk.count("barriers") == 0
    assert desk.count("nodes") == desk.count("edges") == desk.count("unique_keys") == 0


@pytest.mark.parametrize("first", ["claim", "depend"])
def test_a_late_dependency_races_a_claim(first: str, servers: None, postgres_desk: Desk) -> None:
    desk = postgres_desk
    job = desk.job()
    desk.put(job)
    late: NewJob = desk.job(queue="other", depends=[job.id])
    other = desk.another()
    desk.store.names.ensure([late], None)
    gate = Gate(desk, "leases", "INSERT") if first == "claim" else Gate(desk, "edges", "INSERT")
    verbs: list[Callable[[], Any]] = [desk.claim, lambda: other.jobs.insert([late])]
    one, two = verbs if first == "claim" else reversed(verbs)
    with gate.shut(), running(one) as done_one:
        gate.wait_for_one()
        with running(two) as done_two:
            pass
    claimed, second = done_one(), done_two()
    held = claimed if first == "claim" else second or desk.claim()
    assert desk.state(late.id) == "waiting"
    desk.end(*held)
    assert desk.state(late.id) == "ready"
    other.close()


@pytest.fixture
def postgres_desk(migrated_database: Callable[[str], str]) -> Iterator[Desk]:
    """PostgreSQL alone: the gates are its triggers."""
    with desk_at(migrated_database("postgres")) as desk:
        yield desk


# -- jobs that nothing sets free


def test_healing_leaves_alone_what_waits_for_a_reason(desk: Desk) -> None:
    w = Sketch()
    first, second = w.job(), w.job(queue="slow")
    one = w.job(first)
    two = w.job(second, first)  # an edge from the first; the second has it in its row
    last = w.job(one, two)
    w.put(desk)
    run(desk, first)
    paused = Sketch("manual")
    bad, good = paused.job(), paused.job()
    held, also = paused.job(good), paused.job(bad, good)
    paused.put(desk)
    settle(desk, failed(), bad)
    run(desk, good)
    desk.store.workflows.heal()
    assert states(desk, one, two, last, held, also) == "runn wait wait wait wait"


def test_healing_frees_what_hands_have_orphaned(desk: Desk) -> None:
    job = desk.job(queue="slow")
    desk.put(job)
    late = desk.job(depends=[job.id])
    desk.put(late)
    desk.sql("DELETE FROM {ready}")
    desk.sql(f"DELETE FROM {{jobs}} WHERE id = {desk.id(job.id)}")
    desk.store.workflows.heal()
    assert desk.state(late.id) == "ready"
