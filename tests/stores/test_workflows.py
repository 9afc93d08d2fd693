"""Workflows on each database: rules, conditions, policies, late dependencies, a person's verbs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest

from hammerflow.errors import HammerflowError, WorkflowInvalid
from hammerflow.jobs.job import Rule
from hammerflow.jobs.outcome import Outcome, Parked, Retrying, Snoozed
from hammerflow.jobs.status import WorkflowState
from hammerflow.workflows.planned import PlannedJob
from tests.stores.kit import BAD, Desk, desk_at, failed
from tests.stores.workflow_kit import (
    OK,
    Sketch,
    brood,
    check_flows,
    flow_state,
    run,
    settle,
    states,
)


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A desk whose workflows are recounted at the end of each test."""
    with desk_at(migrated_url) as desk:
        yield desk
        check_flows(desk)


# -- rules and conditions


@pytest.mark.parametrize(
    ("rule", "comp", "fail", "idle"),
    [
        (Rule.COMPLETED, "read", "skip", "skip"),
        (Rule.NOT_FAILED, "read", "skip", "read"),
        (Rule.FAILED, "skip", "read", "skip"),
        (Rule.ENDED, "read", "read", "read"),
    ],
)
def test_each_rule_after_each_end(desk: Desk, rule: Rule, comp: str, fail: str, idle: str) -> None:
    for end, then in (("comp", comp), ("fail", fail), ("idle", idle)):
        w = Sketch()
        first = w.job()
        middle = w.job(first, when="false" if end == "idle" else None)
        last = w.job(middle, rule=rule)
        w.put(desk)
        run(desk, first)
        if end != "idle":
            settle(desk, OK if end == "comp" else failed(), middle)
        assert states(desk, last) == then


def test_a_failure_skips_a_chain_and_names_the_first_cause(desk: Desk) -> None:
    w = Sketch()
    first = w.job()
    second = w.job(first)
    third = w.job(second)
    other = w.job()
    w.put(desk)
    settle(desk, failed(), first)
    assert states(desk, first, second, third, other) == "fail skip skip runn"
    assert desk.sql(f"SELECT count(*) FROM {{done}} WHERE cause = {desk.id(first.id)}")[0][0] == 2
    assert flow_state(desk, w.id) is WorkflowState.RUNNING
    run(desk, other)
    assert flow_state(desk, w.id) is WorkflowState.FAILED


def test_a_condition_reads_results(desk: Desk) -> None:
    w = Sketch()
    first = w.job()
    yes = w.job(first, when="n0 == 3")
    no = w.job(first, when="n0 > 3")
    w.put(desk)
    run(desk, first)
    assert states(desk, yes, no) == "read skip"
    run(desk, yes)
    assert flow_state(desk, w.id) is WorkflowState.COMPLETED


def test_a_condition_that_errs_fails_the_node_and_shows_the_values(desk: Desk) -> None:
    w = Sketch()
    first = w.job()
    node = w.job(first, when="n0.rows > 3")
    after = w.job(node)
    w.put(desk)
    run(desk, first)
    assert states(desk, node, after) == "fail skip"
    seen = desk.store.jobs.get(node.id)
    assert seen is not None and "n0.rows > 3" in (seen.reason or "")
    error = desk.store.jobs.last_error(node.id)
    assert error is not None and error[1].endswith("ConditionError") and "3" in error[2]
    assert flow_state(desk, w.id) is WorkflowState.FAILED


def test_order_alone_does_not_judge(desk: Desk) -> None:
    w = Sketch()
    first = w.job()
    second = w.job(order=[first])
    w.put(desk)
    assert states(desk, second) == "wait"
    settle(desk, failed(), first)
    assert states(desk, second) == "read"
    run(desk, second)
    assert flow_state(desk, w.id) is WorkflowState.FAILED


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_a_diamond_joins_once_in_any_order(desk: Desk, order: tuple[int, ...]) -> None:
    w = Sketch()
    first = w.job()
    arms = [w.job(first) for _ in range(3)]
    last = w.job(*arms)
    w.put(desk)
    run(desk, first)
    for at in order:
        assert states(desk, last) == "wait"
        run(desk, arms[at])
    assert states(desk, last) == "read"


# -- fail_fast


def spread(desk: Desk, w: Sketch) -> tuple[PlannedJob, PlannedJob, list[PlannedJob]]:
    """A node that runs, another one that runs, and one in each state before that."""
    first, other = w.job(), w.job()
    parked, scheduled, ready = w.job(), w.job(delay=500), w.job(queue="slow")
    waiting = w.job(other)
    w.put(desk)
    settle(desk, Parked("x", BAD), parked)
    settle(desk, Retrying(0, BAD))
    nodes = [parked, scheduled, ready, waiting]
    assert states(desk, first, other, *nodes) == "runn runn park sche read wait"
    return first, other, nodes


def test_fail_fast_cancels_what_has_not_started(desk: Desk) -> None:
    w = Sketch("fail_fast")
    first, other, nodes = spread(desk, w)
    settle(desk, failed(), first)
    assert states(desk, other, *nodes) == "runn canc canc canc canc"
    assert flow_state(desk, w.id) is WorkflowState.FAILING
    settle(desk, OK, other)
    assert flow_state(desk, w.id) is WorkflowState.FAILED


@pytest.mark.parametrize("outcome", [Retrying(0, BAD), Snoozed(5), Parked("x", BAD)])
def test_a_member_of_a_halted_workflow_does_not_go_on(desk: Desk, outcome: Outcome) -> None:
    w = Sketch("fail_fast")
    first, other = w.job(), w.job()
    w.put(desk)
    settle(desk, failed(), first)
    settle(desk, outcome, other)
    assert states(desk, other) == "canc"
    assert flow_state(desk, w.id) is WorkflowState.FAILED


def test_a_batch_of_ends_is_not_counted_twice_by_a_halt(desk: Desk) -> None:
    w = Sketch("fail_fast")
    inner = w.flow(w.top, "fail_fast")
    bad = w.job(flow=inner)
    good, slow = w.job(), w.job()
    w.put(desk)
    jobs = {job.id: job for job in desk.claim()}
    desk.settle((jobs[good.id], OK), (jobs[bad.id], failed()))
    assert flow_state(desk, inner.id) is WorkflowState.FAILED
    assert flow_state(desk, w.id) is WorkflowState.FAILING
    desk.end(jobs[slow.id])
    assert flow_state(desk, w.id) is WorkflowState.FAILED


def test_a_lost_member_of_a_halted_workflow_does_not_run_again(desk: Desk) -> None:
    w = Sketch("fail_fast")
    first, other = w.job(), w.job()
    w.put(desk)
    settle(desk, failed(), first)
    desk.store.workers.sweep(lease=300, poison_limit=3)  # worker 1 was never registered
    assert states(desk, other) == "canc"
    assert flow_state(desk, w.id) is WorkflowState.FAILED


# -- manual


def test_manual_holds_what_becomes_free(desk: Desk) -> None:
    w = Sketch("manual")
    bad, good = w.job(), w.job()
    after_bad, after_good = w.job(bad), w.job(good)
    w.put(desk)
    settle(desk, failed(), bad)
    run(desk, good)
    assert flow_state(desk, w.id) is WorkflowState.PAUSED
    assert states(desk, after_bad, after_good) == "wait wait"
    assert desk.one("pending, failed", "waiting", after_good.id) == (0, 0)
    assert desk.one("pending, failed", "waiting", after_bad.id) == (1, 0)


@pytest.mark.parametrize("verb", ["skip", "retry", "retry node", "resume", "cancel"])
def test_a_person_decides(desk: Desk, verb: str) -> None:
    w = Sketch("manual")
    bad, good = w.job(), w.job()
    after_bad, after_good = w.job(bad), w.job(good)
    w.put(desk)
    settle(desk, failed(), bad)
    run(desk, good)
    flows = desk.store.workflows
    match verb:
        case "skip":
            flows.skip(w.id, bad.id, "me")
        case "retry":
            flows.rerun(w.id, only=None, downstream=False, by="me")
        case "retry node":
            desk.store.jobs.replay(bad.id)
        case "resume":
            flows.resume(w.id, "me")
        case "cancel":
            flows.cancel(w.id, "enough")
    seen = states(desk, bad, after_bad, after_good)
    assert (
        seen
        == {
            "skip": "skip read read",
            "retry": "read wait read",
            "retry node": "read wait read",
            "resume": "fail skip read",
            "cancel": "fail canc canc",
        }[verb]
    )
    expected = WorkflowState.CANCELLED if verb == "cancel" else WorkflowState.RUNNING
    assert flow_state(desk, w.id) is expected


def test_a_resume_holds_for_later_failures(desk: Desk) -> None:
    w = Sketch("manual")
    first, second = w.job(), w.job()
    w.put(desk)
    settle(desk, failed(), first)
    desk.store.workflows.resume(w.id, "me")
    settle(desk, failed(), second)
    desk.store.workflows.rerun(w.id, only=[second.id], downstream=False, by="me")
    assert flow_state(desk, w.id) is WorkflowState.RUNNING
    run(desk, second)
    assert flow_state(desk, w.id) is WorkflowState.FAILED


# -- workflows inside workflows


def test_an_inner_failure_is_a_failure_outside(desk: Desk) -> None:
    w = Sketch()
    inner = w.flow(w.top, "continue_on_failure")
    bad = w.job(flow=inner)
    after, handler = w.job(inner), w.job(inner, rule=Rule.FAILED)
    w.put(desk)
    settle(desk, failed(), bad)
    assert flow_state(desk, inner.id) is WorkflowState.FAILED
    assert states(desk, after, handler) == "skip read"


def test_an_outer_failure_cancels_what_is_inside(desk: Desk) -> None:
    w = Sketch("fail_fast")
    bad = w.job()
    inner = w.flow(w.top, "manual")
    runs, waits = w.job(flow=inner), w.job(flow=inner, queue="slow")
    w.put(desk)
    settle(desk, failed(), bad)
    assert states(desk, runs, waits) == "runn canc"
    assert flow_state(desk, inner.id) is WorkflowState.CANCELLING
    assert flow_state(desk, w.id) is WorkflowState.FAILING
    settle(desk, OK, runs)
    assert flow_state(desk, inner.id) is WorkflowState.CANCELLED
    assert flow_state(desk, w.id) is WorkflowState.FAILED


def test_a_retry_outside_runs_again_what_was_skipped_inside(desk: Desk) -> None:
    w = Sketch()
    bad = w.job()
    inner = w.flow(w.top, "fail_fast")
    node = w.job(bad, flow=inner)
    after = w.job(inner)
    w.put(desk)
    settle(desk, failed(), bad)
    assert states(desk, node, after) == "skip skip"
    desk.store.jobs.replay(bad.id)
    assert states(desk, bad, node, after) == "read wait wait"
    for step in (bad, node, after):
        run(desk, step)
    assert flow_state(desk, w.id) is WorkflowState.COMPLETED


def test_a_job_that_an_inner_workflow_waits_for_keeps_the_outer_one_open(desk: Desk) -> None:
    w = Sketch()
    first = w.job()
    inner = w.flow(w.top, "continue_on_failure")
    w.job(first, flow=inner)
    w.put(desk)
    desk.store.workflows.cancel(inner.id, "no")
    assert flow_state(desk, inner.id) is WorkflowState.CANCELLED
    assert flow_state(desk, w.id) is WorkflowState.RUNNING
    run(desk, first)
    assert flow_state(desk, w.id) is WorkflowState.FAILED


# -- retries


def test_a_workflow_waits_for_a_retry_whose_handler_has_run(desk: Desk) -> None:
    w = Sketch()
    bad = w.job()
    handler = w.job(bad, rule=Rule.FAILED)
    w.put(desk)
    settle(desk, failed(), bad)
    run(desk, handler)
    assert flow_state(desk, w.id) is WorkflowState.FAILED
    desk.store.jobs.replay(bad.id)
    assert flow_state(desk, w.id) is WorkflowState.RUNNING
    run(desk, bad)
    assert flow_state(desk, w.id) is WorkflowState.COMPLETED


def test_a_workflow_waits_for_what_a_cancelled_node_waited_for(desk: Desk) -> None:
    w = Sketch()
    first = w.job()
    after = w.job(first)
    w.put(desk)
    (claimed,) = desk.claim()
    desk.store.jobs.cancel(after.id, "no")
    assert flow_state(desk, w.id) is WorkflowState.RUNNING
    desk.end(claimed)
    assert flow_state(desk, w.id) is WorkflowState.FAILED


def test_a_retry_keeps_the_delay_of_what_waits(desk: Desk) -> None:
    w = Sketch()
    bad, good = w.job(), w.job()
    late = w.job(good, delay=500)
    w.put(desk)
    settle(desk, failed(), bad)
    desk.store.workflows.rerun(w.id, only=None, downstream=False, by="me")
    run(desk, good)
    assert states(desk, late) == "sche"


def test_a_job_outside_waits_again_for_a_workflow_that_is_retried(desk: Desk) -> None:
    w = Sketch()
    bad = w.job()
    w.put(desk)
    blocker = desk.job(queue="slow")
    desk.put(blocker)
    late = desk.job(depends=[w.id, blocker.id])
    desk.put(late)
    settle(desk, failed(), bad)
    assert desk.one("pending, failed", "waiting", late.id) == (1, 1)
    desk.store.jobs.replay(bad.id)
    assert desk.one("pending, failed", "waiting", late.id) == (2, 0)
    run(desk, bad)
    assert desk.one("pending, failed", "waiting", late.id) == (1, 0)


def test_a_unique_key_of_a_member_is_held_and_given_up(desk: Desk) -> None:
    w, again = Sketch(), Sketch()
    first = w.job(unique_key="k")
    again.job(unique_key="k")
    w.put(desk)
    with pytest.raises(WorkflowInvalid, match="'k'"):
        again.put(desk)
    assert desk.store.workflows.get(again.id) is None
    settle(desk, failed(), first)
    (job,) = desk.run(desk.job(unique_key="k"))
    with pytest.raises(HammerflowError, match="is held by"):
        desk.store.jobs.replay(first.id)
    desk.end(job)
    desk.store.jobs.replay(first.id)
    assert states(desk, first) == "read"


# -- spawners in workflows


def test_a_workflow_waits_for_what_its_members_spawn(desk: Desk) -> None:
    w = Sketch()
    first = w.job()
    after = w.job(first)
    w.put(desk)
    (job,) = desk.claim()
    desk.settle((job, brood(job, 2)))
    assert states(desk, after) == "read"
    run(desk, after)
    assert flow_state(desk, w.id) is WorkflowState.RUNNING
    desk.end(*(child for child in desk.__dict__["claimed"].values() if child.parent_id == job.id))
    assert flow_state(desk, w.id) is WorkflowState.COMPLETED


@pytest.mark.parametrize("bad", [False, True])
def test_a_graft_is_waited_for_with_its_spawner(desk: Desk, bad: bool) -> None:
    w = Sketch()
    first = w.job()
    after = w.job(first)
    w.put(desk)
    (job,) = desk.claim()
    desk.settle((job, brood(job, 2, wait_for_children=True)))
    children = desk.claim()
    assert states(desk, after) == "wait"
    desk.end(children[0])
    desk.settle((children[1], failed() if bad else OK))
    assert states(desk, after) == ("skip" if bad else "read")
    if bad:
        desk.store.jobs.replay(children[1].id)
        assert states(desk, after) == "wait"
        desk.end(*desk.claim())
        assert states(desk, after) == "read"


def test_a_graft_in_a_halted_workflow_does_not_keep_it_open(desk: Desk) -> None:
    w = Sketch("fail_fast")
    bad, spawner = w.job(), w.job()
    w.job(spawner)
    w.put(desk)
    jobs = {job.id: job for job in desk.claim()}
    desk.settle((jobs[bad.id], failed()))
    desk.settle((jobs[spawner.id], brood(jobs[spawner.id], 2, wait_for_children=True)))
    assert flow_state(desk, w.id) is WorkflowState.FAILED


# -- verbs whose answer was lost


def test_units_whose_commit_was_unknown_are_repeated(desk: Desk) -> None:
    w = Sketch("fail_fast")
    first, other = w.job(), w.job()
    w.job(first)
    twice(desk)
    w.put(desk)
    assert states(desk, first, other) == "read read"
    desk.__dict__["once"]()
    settle(desk, failed(), first)
    twice(desk)
    desk.store.workflows.rerun(w.id, only=None, downstream=False, by="me")
    assert states(desk, first) == "read"
    desk.store.workflows.cancel(w.id, "enough")
    desk.__dict__["once"]()
    assert states(desk, first, other) == "canc runn"


def twice(desk: Desk) -> None:
    """Every unit is committed, told lost, and run again with ``repeated`` set."""
    database = desk.store.workflows._database
    unit = type(database).unit.__get__(database)

    def repeated(work: object, **more: object) -> object:
        unit(work, **more)

        def second(tx: object) -> object:
            tx.repeated = True  # type: ignore[attr-defined]
            return work(tx)  # type: ignore[operator]

        return unit(second, **more)

    database.unit = repeated  # type: ignore[method-assign,assignment]
    desk.__dict__["once"] = lambda: database.__dict__.pop("unit")
