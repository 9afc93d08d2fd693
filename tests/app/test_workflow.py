"""Workflows on every database: building, refusing, results, and what a caller sees."""

from __future__ import annotations

import json
import pickle
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    Hammerflow,
    HammerflowError,
    JobFailed,
    JobNotFound,
    JobState,
    NotEncodable,
    Signature,
    Workflow,
    WorkflowInvalid,
    WorkflowStatus,
    current_job,
    group,
)
from hammerflow.testing import drain


def finished(app: Hammerflow, workflow: Any) -> Any:
    """Send, drain; the handle."""
    handle = workflow.enqueue()
    drain(app)
    return handle


# -- building --------------------------------------------------------------------------------------


def test_nodes_run_in_the_order_of_their_dependencies(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    flow = (
        Workflow("order")
        .add(w.step.s("load"), name="load", after=["clean", "check"])
        .add(w.step.s("extract"), name="extract")
        .add_parallel([w.step.s("left"), w.step.s("right")], after="extract")
        .then(w.step.s("clean"), name="clean")
        .add(w.step.s("check"), name="check", after="extract")
    )
    result = finished(app, flow)
    assert result.status() is WorkflowStatus.COMPLETED
    assert result.get(timeout=1)["load"] == "load"
    assert seen[0] == "extract"
    assert seen[-1] == "load"
    assert seen.index("clean") > max(seen.index("left"), seen.index("right"))


def test_names_come_from_functions_and_are_numbered(w: SimpleNamespace) -> None:
    flow = Workflow("names").add(w.step.s()).then([w.step.s(), w.gather.s()]).then(w.step.s())
    flow.add(group(w.step.s(), w.step.s())).add(Workflow("inner").add(w.step.s()))
    assert [n.name for n in flow.nodes] == [
        "step", "step-2", "gather", "step-3", "step-4", "inner",
    ]  # fmt: skip
    assert len(flow) == 6
    assert "step --> step-2" in flow.graph().replace("n0", "step").replace("n1", "step-2") or (
        '"step-2"' in flow.graph()
    )
    document = json.loads(flow.graph("json"))
    assert {n["label"] for n in document["nodes"]} >= {"step", "gather"}


def test_a_signature_depends_on_signatures_and_names(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    fetch, config = w.step.s("fetch"), w.step.s("config")
    both = w.gather.s().depends_on(fetch, "named").depends_on([config])
    chained = w.step.s("a") | w.step.si("b").depends_on("named")
    batch = app.batch([w.step.s("one"), w.step.s("two")], name="pair")
    last = w.step.s("last").depends_on(batch)
    flow = Workflow("deps").add(both, name="both").add(chained, name="chained").add(last)
    flow.add(fetch, name="fetch").add(config, name="config")
    flow.add(w.step.s("named"), name="named").add(batch)
    result = finished(app, flow)
    assert result.get(timeout=1)["both"] == {
        "fetch": "fetch", "named": "named", "config": "config",
    }  # fmt: skip
    assert seen.index("b") > seen.index("named")
    assert seen.index("last") > max(seen.index("one"), seen.index("two"))


def test_a_node_may_wait_for_jobs_elsewhere(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    first = w.step.delay("first")
    other = Workflow("other").add(w.step.s("other")).enqueue()
    Workflow("late").add(w.step.s("late").depends_on(first, other, str(first.id))).enqueue()
    drain(app)
    assert seen.index("late") > max(seen.index("first"), seen.index("other"))


def test_a_failure_elsewhere_is_the_error_of_what_waits_for_it(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    failed = w.flaky.delay("far away")
    drain(app)
    flow = Workflow("late").add(w.step.s("late").depends_on(failed)).then(w.step.s("later"))
    result = finished(app, flow)
    assert (result.status(), seen) == (WorkflowStatus.FAILED, ["far away"])
    with pytest.raises(JobFailed, match="far away is broken"):
        result.get(timeout=1)


def test_a_part_may_stand_in_many_places(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    inner, again = Workflow("inner").add(w.step.s("in")), w.step.s("again")
    flow = Workflow("twice").add(inner, name="p").add(inner, name="q", after="p")
    result = finished(app, flow.add(again, name="r", after="q").then(again, name="s"))
    assert seen == ["in", "in", "again", "again"]
    assert result.get(timeout=1) == {
        "p": {"step": "in"}, "q": {"step": "in"}, "r": "again", "s": "again",
    }  # fmt: skip


def test_nothing_added_at_once_keeps_the_place(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    finished(app, Workflow("none").add(w.step.s("a")).then([]).then(w.step.s("b")))
    assert seen == ["a", "b"]


@pytest.mark.parametrize(
    ("build", "error", "sentence"),
    [
        (lambda w: Workflow("x"), WorkflowInvalid, "has no nodes"),
        (lambda w: Workflow(""), WorkflowInvalid, "a workflow's name"),
        (lambda w: Workflow("x").add(w.step), TypeError, "not Task"),
        (lambda w: Workflow("x").add(w.step.s(), name="a\n"), WorkflowInvalid, "a node's name"),
        (
            lambda w: Workflow("x").add(w.step.s(), name="a").add(w.step.s(), name="a"),
            WorkflowInvalid,
            "two nodes named 'a'",
        ),
        (lambda w: Workflow("x").add(w.step.s(), after="b"), WorkflowInvalid, "no node 'b'"),
        (
            lambda w: Workflow("x").add(w.step.s(), name="a", after="a"),
            WorkflowInvalid,
            "'a' of workflow x waits for itself",
        ),
        (
            lambda w: Workflow("x").add((s := w.step.s()).depends_on(s)),
            WorkflowInvalid,
            "waits for itself",
        ),
        (
            lambda w: Workflow("x")
            .add(w.step.s(), name="a", after="c")
            .then(w.step.s(), name="b")
            .then(w.step.s(), name="c"),
            WorkflowInvalid,
            "cycle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)",
        ),
        (
            lambda w: Workflow("x").add(
                w.step.s(), after=Workflow("y").add(w.step.s(), name="n").node("n")
            ),
            WorkflowInvalid,
            "a node of another workflow",
        ),
        (lambda w: (x := Workflow("x")).add(x), WorkflowInvalid, "contains itself"),
        (lambda w: Workflow("x").add(w.step.s(1, 2, 3)), WorkflowInvalid, r"'step'.*step\(\)"),
        (lambda w: Workflow("x").add(w.step.s(object())), NotEncodable | WorkflowInvalid, "object"),
        (lambda w: Workflow("x").add(w.step.s().set(priority=9)), ConfigError, "0 .*to 4"),
        (lambda w: Workflow("x").add(w.step.s(), when="a > 1"), WorkflowInvalid, "no dependen"),
        (
            lambda w: Workflow("x").add(w.step.s()).then(w.step.s(), when="step =="),
            WorkflowInvalid,
            "'step-2'",
        ),
        (
            lambda w: Workflow("x")
            .add_parallel([w.step.s(), w.gather.s()])
            .then(w.step.s(), when="unheard > 1"),
            WorkflowInvalid,
            "unheard",
        ),
        (lambda w: Workflow("x", "stop"), ConfigError, "fail_fast, continue_on_failure, manual"),
        (lambda w: Workflow("x").add(w.step.s(), after_skipped="x"), ConfigError, "skip, run, not"),
        (lambda w: Workflow("x", retry={"times": 3}), ConfigError, "no option 'times'"),
        (lambda w: Workflow("x", timeout=-1), ConfigError, "timeout"),
        (lambda w: Workflow("x", metadata={"a": {1}}), ConfigError, r"metadata\['a'\] must be"),
        (lambda w: Workflow("x").add(w.step.s()).then([w.step.s()], name="n"), ConfigError, "one"),
        (lambda w: Workflow("x", priority=7).add(w.step.s()), HammerflowError, "0 .*to 4"),
        (
            lambda w: Workflow("x").add(w.step.s().depends_on(uuid.UUID(int=1))),
            JobNotFound,
            "no job or workflow",
        ),
    ],
)  # fmt: skip
def test_a_wrong_workflow_is_refused_and_nothing_is_written(
    app: Hammerflow, w: SimpleNamespace, build: Any, error: Any, sentence: str
) -> None:
    errors = error if isinstance(error, type) else error.__args__
    with pytest.raises(errors, match=sentence):
        app.enqueue(Workflow("good").add(w.step.s()).add(build(w)))
    assert (app.jobs(), app.workflows()) == ([], [])


def test_an_unknown_task_is_refused(app: Hammerflow, w: SimpleNamespace) -> None:
    stranger = app.signature("elsewhere.resize")
    for node in (stranger, app.batch([stranger]), w.step.s() | stranger):
        with pytest.raises(WorkflowInvalid, match=r"no task named 'elsewhere\.resize'"):
            Workflow("x").add(w.step.s()).then(node).enqueue()
    with pytest.raises(ConfigError, match="use app.enqueue"):
        Workflow("x").add(Signature("a.b")).enqueue()
    assert app.jobs() == []


def test_a_workflow_sent_twice_is_two(app: Hammerflow, w: SimpleNamespace, seen: list[Any]) -> None:
    flow = Workflow("twice").add(w.step.s("a")).then(w.step.s("b"))
    first, second = flow.enqueue(), flow.delay()
    drain(app)
    assert first.id != second.id
    assert sorted(seen) == ["a", "a", "b", "b"]
    assert first.get(timeout=1) == second.get(timeout=1)
    held = Workflow("held").add(w.step.s("c").set(unique_key="k"))
    held.enqueue()
    (holder,) = [job for job in app.jobs() if job.unique_key == "k"]
    with pytest.raises(
        WorkflowInvalid, match=f"'k' of a node is held by job {holder.id}"
    ) as caught:
        held.enqueue()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    step = w.step.s("d").set(unique_key="j")
    with pytest.raises(WorkflowInvalid, match="two nodes have the unique key 'j'"):
        Workflow("itself").add(step).then(step).enqueue()
    assert len(app.workflows()) == 3


# -- results ---------------------------------------------------------------------------------------


def test_inputs_and_results_come_by_name(app: Hammerflow, w: SimpleNamespace) -> None:
    inner = Workflow("inner").add(w.step.s("deep")).then(w.step.s("deeper"), name="end")
    flow = (
        Workflow("inputs")
        .add(w.step.s("one"), name="one")
        .add(group(w.step.s("g0"), w.step.s("g1") | w.step.si("g2")), name="fan")
        .add(group(w.step.s(f"r{i}") for i in range(20)), name="wide")
        .add(app.batch(w.step.s(f"b{i}") for i in range(3)), name="batch")
        .add(app.batch(w.step.s(f"b{i}") for i in range(20)), name="range")
        .add(inner)
        .add(w.step.s("x") | w.step.si("y"), name="line")
        .add(w.step.s("v"), name="v1.2")
        .add(w.step.s("v"), name="line.eu")
    )
    names = [node.name for node in flow.nodes]
    result = finished(app, flow.add(w.gather.s(), after=names))
    expected = {
        "one": "one", "fan": ["g0", "g2"], "wide": [f"r{i}" for i in range(20)],
        "batch": ["b0", "b1", "b2"], "range": [f"b{i}" for i in range(20)],
        "inner": {"step": "deep", "end": "deeper"}, "line": "y", "v1.2": "v", "line.eu": "v",
    }  # fmt: skip
    found = result.get(timeout=1)
    assert found.pop("gather") == expected
    assert found == expected
    assert result.result("one").get(timeout=1) == "one"
    with pytest.raises(JobNotFound, match="no node 'two'"):
        result.result("two")


def test_an_input_that_nobody_named_says_what_there_is(app: Hammerflow, w: SimpleNamespace) -> None:
    @app.task(max_attempts=1)
    def asks() -> Any:
        assert list(current_job().inputs) == ["step"]
        assert len(current_job().inputs) == 1
        return current_job().inputs["nobody"]

    result = finished(app, Workflow("x").add(w.step.s()).then(asks.s()))
    with pytest.raises(JobFailed, match="'nobody': this job depends on step"):
        result.get(timeout=1)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_an_empty_part_still_holds_up_what_comes_after(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any], size: int
) -> None:
    flow = (
        Workflow("empty")
        .add(w.step.s("first"))
        .then([group(w.step.s(str(i)) for i in range(size))])
        .then(app.batch([w.step.s(str(i)) for i in range(size)]), name="batch")
        .then(w.gather.s())
    )
    result = flow.enqueue()
    drain(app, limit=1)
    assert seen == ["first"]
    assert result.result("gather").state is JobState.WAITING
    drain(app)
    found = result.get(timeout=1)
    assert found["batch"] == found["gather"]["batch"] == [str(i) for i in range(size)]


# -- handles ---------------------------------------------------------------------------------------


def test_stats_are_counts_of_jobs(app: Hammerflow, w: SimpleNamespace) -> None:
    inner = Workflow("inner").add(w.step.s("deep"))
    flow = Workflow("x").add(w.step.s("a"), name="a").then(w.step.s("b"), name="b").add(inner)
    result = flow.enqueue()
    stats = result.stats()
    assert (stats.total, stats.pending, stats.completion_percentage) == (3, 3, 0.0)
    drain(app, limit=1)
    assert 33 < result.stats().completion_percentage < 34
    drain(app)
    stats = result.stats()
    assert (stats.completed, stats.running, stats.completion_percentage) == (3, 0, 100.0)
    text = result.graph("text")
    assert "a" in text and "completed" in text
    assert "inner" in result.graph("dot")
    found = app.workflow_result(str(result.id))
    assert found == result and hash(found) == hash(result)
    assert app.workflows(status="completed")[-1] == result
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert app.workflows(status="completed", since=hour_ago)[-1] == result
    assert app.workflows(until=hour_ago) == []
    assert app.workflows(status=WorkflowStatus.RUNNING) == []
    with pytest.raises(JobNotFound, match="no workflow"):
        app.workflow_result(uuid.UUID(int=3))


def test_a_workflow_inside_stands_for_its_end(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    inner = Workflow("inner", "continue_on_failure").add(w.flaky.s("bad")).add(w.step.s("in"))
    flow = Workflow("outer", "continue_on_failure").add(inner).then(w.step.s("after"))
    result = finished(app, flow)
    assert result.status() is WorkflowStatus.FAILED
    assert sorted(seen) == ["bad", "in"]
    with pytest.raises(JobFailed, match="bad is broken"):
        result.get(timeout=1)


def test_a_workflow_shares_the_fate_of_its_transaction(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    flow = Workflow("x").add(w.step.s("a")).then(w.step.s("b"))
    with pytest.raises(RuntimeError), app.transaction():
        flow.enqueue()
        app.batch([w.step.s("c")]).enqueue()
        (w.step.s("d") | w.step.si("e")).delay()
        raise RuntimeError
    assert (app.jobs(), app.workflows()) == ([], [])
    with app.transaction():
        result = flow.enqueue()
    drain(app)
    assert (result.status(), seen) == (WorkflowStatus.COMPLETED, ["a", "b"])


def test_a_workflow_goes_into_a_callers_transaction(
    app: Hammerflow, w: SimpleNamespace, seen: list[Any]
) -> None:
    tx = app.store.database.dialect.connect()
    app.store.database.dialect.begin(tx)
    with app.using(tx.connection):
        lost = Workflow("x").add(w.step.s("a")).then(w.step.s("b")).enqueue()
    app.store.database.dialect.rollback(tx)
    app.store.database.dialect.begin(tx)
    with app.using(tx.connection):
        kept = Workflow("x").add(w.step.s("a")).then(w.step.s("b")).enqueue()
    app.store.database.dialect.commit(tx)
    app.store.database.dialect.close(tx)
    drain(app)
    assert (kept.status(), seen) == (WorkflowStatus.COMPLETED, ["a", "b"])
    with pytest.raises(JobNotFound):
        lost.status()


# -- names in conditions


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ("result['rows'] > 0", r"result of 'a' is read as a, and its field 'result' as a\.result"),
        ("size(results) > 0", "result of 'a' is read as a"),
        ("inputs.a.rows > 0", "result of 'a' is read as a"),
        ("b > 0", "'b' is a node that is not a dependency"),
        ("b.rows > 0 && rows > 0", r"write deps\['a'\]\.b"),
    ],
)
def test_a_condition_on_a_name_that_means_nothing_is_refused(
    app: Hammerflow, w: SimpleNamespace, when: str, sentence: str
) -> None:
    flow = Workflow("x").add(w.step.s(), name="b").add(w.step.s(), name="a")
    flow.then(w.step.s(), name="last", when=when)
    with pytest.raises(WorkflowInvalid, match=f"node 'last': .*{sentence}"):
        flow.enqueue()
    assert not app.jobs()


@pytest.mark.parametrize(
    ("make", "has"),
    [
        (lambda app, w: group(w.step.s()), "is a list"),
        (lambda app, w: app.batch([w.step.s()]), "is a list"),
        (lambda app, w: Workflow("in").add(w.step.s("x"), name="row"), "has only row"),
    ],
)
def test_a_condition_on_a_field_that_cannot_be_there_is_refused(
    app: Hammerflow, w: SimpleNamespace, make: Any, has: str
) -> None:
    flow = Workflow("x").add(make(app, w), name="a").then(w.step.s(), when="rows > 0")
    with pytest.raises(WorkflowInvalid, match=f"'rows', but the result of 'a' {has}"):
        flow.enqueue()


def test_fields_of_results_that_look_like_such_names_can_be_read(
    app: Hammerflow, w: SimpleNamespace
) -> None:
    value = {"result": 1, "b": 2, "rows": 3}
    inner = Workflow("in").add(w.step.s("x", 5), name="row")
    flow = Workflow("x").add(w.step.s("b"), name="b").add(w.step.s("a", value), name="a")
    flow.then(w.step.s("yes"), name="yes", when="a.result == 1 && a['b'] == 2 && rows == 3")
    flow.add(w.step.s("c", value), name="result").then(
        w.step.s("on"), name="on", when="result['b'] == 2 && result.result == 1"
    )
    flow.add(inner, name="w").then(w.step.s("in"), name="in", when="row == 5 && w.row == 5")
    got = finished(app, flow).get(timeout=1)
    assert (got["yes"], got["on"], got["in"]) == ("yes", "on", "in")
