"""Conditions, failure policies, timeouts and defaults of workflows, on every database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    FailurePolicy,
    Hammerflow,
    HammerflowError,
    JobCancelled,
    JobFailed,
    Priority,
    Signature,
    Workflow,
    WorkflowInvalid,
    WorkflowStatus,
    constant,
    current_job,
    exponential,
    group,
)
from hammerflow.ids import name_id
from hammerflow.jobs.outcome import Released
from hammerflow.testing import drain
from tests.support.waiting import until


def finished(app: Hammerflow, workflow: Any) -> Any:
    """Send, drain; the handle."""
    handle = workflow.enqueue()
    drain(app)
    return handle


# -- conditions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "condition", "ran"),
    [
        ({"validation_status": "valid"}, "validation_status == 'valid'", True),
        ({"validation_status": "invalid"}, "validation_status == 'valid'", False),
        ({"status": "ok"}, "check.status == 'ok' && size(check) > 0", True),
        ({"n": 3}, "n > 2 and not (n > 5)", True),
        ({"n": 3}, "has(check.m) || n == 4", False),
        ([1, 2], "size(check) == 2", True),
        ({"name": "abc"}, "name.startsWith('a') ? true : false", True),
    ],
)
def test_a_condition_decides(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any], value: Any, condition: str, ran: bool
) -> None:
    flow = (
        Workflow("when")
        .add(w.step.s("check", value), name="check")
        .then(w.step.s("chosen"), name="chosen", when=condition)
        .then(w.step.s("after"), name="after")
        .add(w.gather.s(), name="always", after=["chosen", "check"], after_skipped="run")
    )
    result = finished(app, flow)
    assert result.status() is WorkflowStatus.COMPLETED
    assert ("chosen" in seen, "after" in seen) == (ran, ran)
    found = result.get(timeout=1)
    assert found["chosen"] == found["always"]["chosen"] == ("chosen" if ran else None)
    assert result.stats().skipped == (0 if ran else 2)
    if not ran:
        assert "its condition is false" in str(result.result("chosen").job().reason)


def test_a_condition_on_several_and_on_parts(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    flow = (
        Workflow("several")
        .add(group(w.step.s("a", 1), w.step.s("b", 2)), name="fan")
        .add(w.step.s("c", {"k": 5}), name="my-node")
        .add(w.step.s("yes"), after=["fan", "my-node"], when='deps["my-node"].k == 5 && fan[1] > 1')
        .add(w.step.s("no"), after=["fan", "my-node"], when="fan[0] > 1")
        .add(w.step.s("no") | w.step.si("no too"), after="fan", when="size(fan) == 3", name="chain")
    )
    finished(app, flow)
    assert sorted(seen) == ["a", "b", "c", "yes"]


@pytest.mark.parametrize("kind", ["batch", "workflow", "group"])
@pytest.mark.parametrize("ran", [False, True])
def test_a_condition_on_a_whole_keeps_what_follows(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any], kind: str, ran: bool
) -> None:
    parts = [w.step.s("one"), w.gather.s()]
    whole: Any = {
        "batch": app.batch(parts), "group": group(parts),
        "workflow": Workflow("inner").add_parallel(parts),
    }[kind]  # fmt: skip
    flow = (
        Workflow("when")
        .add(w.step.s("check", {"n": 3}), name="check")
        .then(whole, name="whole", when=f"n == {3 if ran else 4}")
        .then(w.step.s("after"), name="after")
        .add(w.step.s("anyway"), after="whole", after_skipped="run")
    )
    result = finished(app, flow)
    assert result.status() is WorkflowStatus.COMPLETED
    assert sorted(seen) == sorted(
        ["anyway", "check", *(["after", "one"] if ran else [])],
    )
    if ran:
        found = result.get(timeout=1)["whole"]
        assert {"check": {"n": 3}} in (found.values() if isinstance(found, dict) else found)


def test_a_condition_that_cannot_be_evaluated_fails_its_node(
    app: Hammerflow, w: SimpleNamespace
) -> None:
    flow = Workflow("x").add(w.step.s("a", {"n": "text"})).then(w.step.s("b"), when="n > 1")
    result = finished(app, flow)
    with pytest.raises(JobFailed, match="n > 1") as caught:
        result.get(timeout=1)
    assert caught.value.error_type == "hammerflow.errors.ConditionError"


# -- failure policies ------------------------------------------------------------------------------


def diamond(w: SimpleNamespace, policy: str) -> Workflow:
    """A part that fails, one beside it, and one that waits for both."""
    return (
        Workflow("policy", policy)
        .add(w.flaky.s("bad"), name="bad")
        .then(w.step.s("after bad"), name="after bad")
        .add(w.step.s("good"), name="good")
        .then(w.step.s("after good"), name="after good")
        .add(w.step.s("both"), name="both", after=["after bad", "after good"])
    )


@pytest.mark.parametrize(
    ("policy", "ran", "status"),
    [
        ("fail_fast", ["bad", "good"], WorkflowStatus.FAILED),
        ("continue_on_failure", ["after good", "bad", "good"], WorkflowStatus.FAILED),
        ("manual", ["bad", "good"], WorkflowStatus.PAUSED),
    ],
)
def test_a_policy_says_what_a_failure_means(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any], policy: str, ran: list[str], status: Any
) -> None:
    result = finished(app, diamond(w, policy))
    assert (sorted(seen), result.status()) == (ran, status)
    if status is WorkflowStatus.FAILED:
        with pytest.raises(JobFailed, match="bad is broken"):
            result.get(timeout=1)
    else:
        with pytest.raises(TimeoutError, match="paused, .*workflow show"):
            result.get(timeout=0)
    assert next(iter(result.errors().values())).endswith("bad is broken")


@pytest.mark.parametrize("policy", ["fail_fast", "continue_on_failure", "manual"])
def test_a_failed_workflow_may_be_retried(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any], policy: str
) -> None:
    result = finished(app, diamond(w, policy))
    w.mend()
    result.retry()
    assert result.status() is WorkflowStatus.RUNNING
    drain(app)
    assert result.get(timeout=1)["both"] == "both"
    assert seen.count("good") == 1
    assert seen.count("bad") == 2


def test_a_paused_workflow_may_skip_resume_or_cancel(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    skipped, resumed, cancelled = (diamond(w, "manual").enqueue() for _ in range(3))
    drain(app)
    seen.clear()
    skipped.skip("bad", by="ada")
    drain(app)
    assert skipped.status() is WorkflowStatus.COMPLETED
    assert sorted(seen) == ["after bad", "after good", "both"]
    seen.clear()
    resumed.resume()
    drain(app)
    assert (resumed.status(), seen) == (WorkflowStatus.FAILED, ["after good"])
    cancelled.cancel("no more")
    with pytest.raises(JobCancelled, match="no more"):
        cancelled.get(timeout=1)
    for again in (skipped.resume, lambda: skipped.skip("good")):
        with pytest.raises(HammerflowError):
            again()
    with pytest.raises(ValueError, match="either"):
        skipped.retry(failed_only=False)


def test_a_node_may_be_run_again_with_what_follows(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    flow = Workflow("again").add(w.step.s("a"), name="a").then(w.step.s("b")).then(w.step.s("c"))
    result = finished(app, flow)
    result.retry("a", downstream=True, failed_only=False)
    drain(app)
    assert (result.status(), seen) == (WorkflowStatus.COMPLETED, ["a", "b", "c", "a", "b", "c"])


def test_a_cancelled_workflow_starts_nothing_more(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    inner = Workflow("inner").add(w.step.s("deep"))
    result = Workflow("x").add(w.step.s("a")).then(w.step.s("b")).add(inner).enqueue()
    result.cancel()
    drain(app)
    assert (seen, result.status()) == ([], WorkflowStatus.CANCELLED)
    assert result.stats().cancelled == 3
    result.retry()
    drain(app)
    assert sorted(seen) == ["a", "b", "deep"]


def test_a_retry_waits_for_the_end_and_needs_a_failure(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    result = Workflow("x").add(w.step.s("a"), name="a").then(w.step.s("b")).enqueue()
    with pytest.raises(HammerflowError, match="running and nothing in it has failed"):
        result.retry()
    task_ids = [name_id(result.result("a").job().task)]
    (claimed,) = app.store.jobs.claim(7, queue="default", task_ids=task_ids, limit=1)

    result.cancel()

    with pytest.raises(HammerflowError, match="still ending: retry it once"):
        result.retry()
    app.store.jobs.settle(7, [(claimed, Released())])
    assert result.status() is WorkflowStatus.CANCELLED
    result.retry()
    drain(app)
    assert (result.status(), seen) == (WorkflowStatus.COMPLETED, ["a", "b"])


def test_a_condition_on_a_node_without_a_result_is_refused(
    app: Hammerflow, w: SimpleNamespace
) -> None:
    work = Workflow("x").add(w.step.s("a").set(store_result=False), name="a")
    work.then(w.step.s("b"), name="b", when="a == 1")
    with pytest.raises(WorkflowInvalid, match="condition on 'a', whose result is not stored"):
        work.enqueue()


# -- what a workflow says for its nodes ------------------------------------------------------------


def test_a_workflow_has_defaults_for_its_nodes(app: Hammerflow, w: SimpleNamespace) -> None:
    @app.task(max_attempts=5)
    def stubborn() -> None: ...

    inner = Workflow("inner", priority=Priority.LOW).add(w.step.s("inner"))
    flow = Workflow(
        "defaults",
        description="Daily sales",
        priority=Priority.HIGH,
        retry={"max_attempts": 7, "backoff": exponential(30, max=300)},
        trace_id="trace-1",
        correlation_id="daily-1",
        metadata={"team": "data"},
        timeout=7200,
        health_check_interval=900,
    )
    flow.add(w.step.s()).add(w.gather.s().set(priority=Priority.CRITICAL, timeout=9))
    result = flow.add(stubborn.s()).add(inner).enqueue()
    jobs = {job.task.rpartition(".")[2]: job for job in app.jobs()}
    own = {m.name: app.job(uuid.UUID(bytes=m.id)) for m in result.members() if m.task}
    assert own["step"].priority is Priority.HIGH
    assert own["step"].options["max_attempts"] == 7
    assert own["step"].options["backoff"]["max"] == 300
    assert (jobs["gather"].priority, jobs["gather"].options["timeout"]) == (Priority.CRITICAL, 9.0)
    assert "max_attempts" not in jobs["stubborn"].options
    assert sorted(job.priority for job in app.jobs() if job.task == w.step.name) == [1, 3]
    row = result.row()
    assert (row.name, row.check_every, row.policy) == ("defaults", 900.0, FailurePolicy.FAIL_FAST)
    assert row.options == {
        "description": "Daily sales", "trace_id": "trace-1", "correlation_id": "daily-1",
        "metadata": {"team": "data"},
    }  # fmt: skip
    assert row.deadline_at is not None
    assert row.created_at is not None
    assert 7100 < (row.deadline_at - row.created_at).total_seconds() < 7300


def test_a_trace_is_carried_by_all_jobs(app: Hammerflow, w: SimpleNamespace) -> None:
    traces: list[Any] = []

    @app.task
    def look() -> None:
        traces.append(current_job()._job.trace)

    @app.spawner
    def parent() -> Iterator[Signature]:
        yield look.s()

    inner = Workflow("inner").add(look.s())
    finished(app, Workflow("x", trace_id="t-9").add(look.s()).then(parent.s()).add(inner))
    assert traces == ["t-9"] * 3


def test_retries_of_a_workflow_are_used(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    @app.task
    def shaky() -> int:
        seen.append(1)
        if len(seen) < 4:
            raise ValueError("again")
        return len(seen)

    result = finished(
        app, Workflow("x", retry={"max_attempts": 4, "backoff": constant(0)}).add(shaky.s())
    )
    assert result.get(timeout=1) == {"shaky": 4}
    seen.clear()
    assert finished(app, Workflow("x", retry=1).add(shaky.s())).status() is WorkflowStatus.FAILED


def test_a_timeout_ends_a_workflow_as_failed(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    inner = Workflow("inner").add(w.step.s("deep").set(delay=600))
    result = Workflow("slow", timeout=0.001).add(w.step.s().set(delay=600)).add(inner).enqueue()
    fine = Workflow("fine", timeout=600).add(w.step.s("fine")).enqueue()
    until("the timeout", lambda: app.store.workflows.expire().ended)
    drain(app)
    assert (result.status(), fine.status()) == (WorkflowStatus.FAILED, WorkflowStatus.COMPLETED)
    assert (result.row().reason, seen) == ("timed out", ["fine"])
    with pytest.raises(HammerflowError, match="timed out"):
        result.get(timeout=1)


def test_health_is_looked_at(app: Hammerflow, w: SimpleNamespace) -> None:
    result = Workflow("x", health_check_interval=0.001).add(w.step.s()).then(w.step.s()).enqueue()
    Workflow("unchecked").add(w.step.s()).enqueue()
    [(row, health)] = until("its check is due", app.store.workflows.check)
    assert row.id == result.id.bytes
    assert health == result.row().health == {"ready": 1, "waiting": 1}


def test_get_tells_the_failure_and_not_what_was_cancelled_because_of_it(
    app: Hammerflow, t: SimpleNamespace
) -> None:
    @app.task(max_attempts=2, backoff=constant(60))
    def stumbles() -> None:
        raise ValueError("a stumble")

    flow = Workflow("two", "fail_fast").add(stumbles.s(), name="a").add(t.fail.s(), name="bad")
    result = finished(app, flow)

    assert {m.name: m.state for m in result.members()} == {"a": "cancelled", "bad": "failed"}
    with pytest.raises(JobFailed) as caught:
        result.get(timeout=1)
    assert "node 'bad'" in caught.value.__notes__[0]
