"""Batches on every database: modes, counts, what comes after, and streams of any size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    Hammerflow,
    HammerflowError,
    JobFailed,
    JobState,
    Signature,
    Workflow,
    WorkflowInvalid,
    WorkflowStatus,
    current_job,
)
from hammerflow.testing import drain


@pytest.fixture
def b(app: Hammerflow, seen: list[Any]) -> SimpleNamespace:
    """Tasks for batches."""

    @app.task(max_attempts=1)
    def work(n: int) -> int:
        seen.append(n)
        if n < 0:
            raise ValueError(f"{n} is negative")
        return n * n

    @app.task
    def total(squares: list[int | None]) -> int:
        return sum(s or 0 for s in squares)

    @app.task
    def summarize() -> int:
        return sum(current_job().inputs["batch"])

    return SimpleNamespace(work=work, total=total, summarize=summarize)


def calls(b: SimpleNamespace, *numbers: int) -> list[Signature]:
    """A call for each number."""
    return [b.work.s(n) for n in numbers]


def test_a_batch_has_its_results_in_order(app: Hammerflow, b: SimpleNamespace) -> None:
    result = app.batch(calls(b, 3, 1, 2), then=b.total.s(), name="squares").enqueue()
    assert result.status().success_rate == 1.0
    assert result.status().stats.pending == 4
    drain(app)
    status = result.status()
    assert (status.status, status.errors, status.success_rate) == (WorkflowStatus.COMPLETED, {}, 1)
    assert result.get(timeout=1) == [9, 1, 4]
    assert [*result.iter_results()] == [9, 1, 4]
    assert result.then.get(timeout=1) == 14
    assert result.row().name == "squares"
    assert type(app.workflow_result(result.id)) is type(result)


@pytest.mark.parametrize(
    ("mode", "status", "ran", "then"),
    [
        ("continue", WorkflowStatus.FAILED, [-1, 1, 2], JobState.SKIPPED),
        ("collect", WorkflowStatus.COMPLETED, [-1, 1, 2], JobState.COMPLETED),
    ],
)
def test_a_mode_says_what_a_failure_means(
    app: Hammerflow, b: SimpleNamespace, seen: list[Any],
    mode: str, status: Any, ran: Any, then: Any,
) -> None:  # fmt: skip
    result = app.batch(calls(b, 1, -1, 2), on_failure=mode, then=b.total.s()).enqueue()
    alone = app.batch(calls(b, -5), on_failure=mode).enqueue()
    drain(app)
    seen_of = result.status()
    assert (seen_of.status, sorted(n for n in seen if n != -5)) == (status, ran)
    assert list(seen_of.errors.values()) == ["builtins.ValueError: -1 is negative"]
    assert result.then.state is then
    assert alone.wait(timeout=1) is status
    if mode == "collect":
        assert result.get(timeout=1) == [1, None, 4]
        assert result.then.get(timeout=1) == 5
        assert alone.get(timeout=1) == [None]
        assert seen_of.success_rate == pytest.approx(3 / 4)
    else:
        with pytest.raises(JobFailed, match="-1 is negative"):
            result.get(timeout=1)
        assert seen_of.success_rate == pytest.approx(2 / 4)


def test_fail_fast_cancels_what_has_not_started(app: Hammerflow, b: SimpleNamespace) -> None:
    result = app.batch(calls(b, -1, *range(20)), on_failure="fail_fast", then=b.total.s()).enqueue()
    drain(app, limit=1)
    status = result.status()
    assert status.status is WorkflowStatus.FAILED
    assert (status.stats.failed, status.stats.cancelled) == (1, 21)
    assert drain(app) == 0


def test_a_batch_may_be_cancelled_and_retried(
    app: Hammerflow, b: SimpleNamespace, seen: list[Any]
) -> None:
    result = app.batch(calls(b, 1, 2), then=b.total.s()).enqueue()
    result.cancel("not now")
    assert result.status().status is WorkflowStatus.CANCELLED
    result.retry()
    drain(app)
    assert result.get(timeout=1) == [1, 4]
    assert result.then.get(timeout=1) == 5


@pytest.mark.parametrize("size", [0, 1, 3, 40])
def test_a_batch_is_a_node(app: Hammerflow, b: SimpleNamespace, size: int) -> None:
    flow = (
        Workflow("batch_workflow")
        .add(b.work.s(7), name="first")
        .then(app.batch((b.work.s(n) for n in range(size)), then=b.total.s()), name="batch")
        .then(b.summarize.s())
    )
    result = flow.enqueue()
    drain(app)
    squares = [n * n for n in range(size)]
    found = result.get(timeout=1)
    assert found == {"first": 49, "batch": squares, "summarize": sum(squares)}


@pytest.mark.parametrize(("mode", "ran"), [("continue", False), ("collect", True)])
def test_a_batch_inside_a_workflow_keeps_its_mode(
    app: Hammerflow, b: SimpleNamespace, mode: str, ran: bool
) -> None:
    flow = Workflow("x", "continue_on_failure").add(app.batch(calls(b, 1, -1), on_failure=mode))
    result = flow.then(b.work.s(5), name="after").enqueue()
    drain(app)
    assert result.status() is (WorkflowStatus.COMPLETED if ran else WorkflowStatus.FAILED)
    assert (result.result("after").state is JobState.COMPLETED) is ran


def test_an_empty_batch_has_completed(app: Hammerflow, b: SimpleNamespace) -> None:
    result = app.batch([]).enqueue()
    assert result.get(timeout=1) == []
    with_then = app.batch(iter([]), then=b.total.s()).enqueue()
    drain(app)
    assert with_then.then.get(timeout=1) == 0


def test_a_call_may_wait_for_jobs_elsewhere(
    app: Hammerflow, b: SimpleNamespace, seen: list[Any]
) -> None:
    first = b.work.apply_async((1,))
    result = app.batch([b.work.s(2).depends_on(first), b.work.s(3)]).enqueue()
    drain(app)
    assert result.get(timeout=1) == [4, 9]
    assert seen.index(1) < seen.index(2)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda app, b: app.batch([b.work.s(1), 2]), TypeError, "not int"),
        (lambda app, b: app.batch([b.work.s(1) | b.total.s()]), TypeError, "not Chain"),
        (lambda app, b: app.batch([b.work.s(1), b.work.s()]), TypeError, r"work\(\)"),
        (lambda app, b: app.batch([b.work.s(1)], then=b.total), ConfigError, "not <Task"),
        (lambda app, b: app.batch([b.work.s(1)], then=b.total.s(1)), TypeError, r"total\(\)"),
        (lambda app, b: app.batch([], on_failure="stop"), ConfigError, "continue, fail_fast"),
        (
            lambda app, b: app.batch([b.work.s(1).on_error(b.work.s())]),
            ConfigError,
            "cannot have links",
        ),
        (
            lambda app, b: app.batch([x := b.work.s(1), b.work.s(2).depends_on(x)]),
            WorkflowInvalid,
            "cannot depend on",
        ),
    ],
)
def test_a_wrong_batch_is_refused_and_nothing_is_written(
    app: Hammerflow, b: SimpleNamespace, make: Any, error: Any, sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        make(app, b).enqueue()
    assert (app.jobs(), app.workflows()) == ([], [])


def test_a_generator_is_read_once(app: Hammerflow, b: SimpleNamespace) -> None:
    batch = app.batch(b.work.s(n) for n in range(3))
    batch.enqueue()
    for again in (batch.enqueue, Workflow("x").add(batch).enqueue):
        with pytest.raises(WorkflowInvalid, match="make a new batch"):
            again()
    listed = app.batch(calls(b, 1, 2))
    listed.enqueue()
    listed.enqueue()
    assert len(app.jobs()) == 7


def test_an_error_in_the_middle_of_a_stream_writes_nothing(
    app: Hammerflow, b: SimpleNamespace
) -> None:
    def numbers() -> Iterator[Signature]:
        for n in range(6_000):
            yield b.work.s(n)
        raise RuntimeError("the file ends here")

    with pytest.raises(RuntimeError, match="the file ends"):
        app.batch(numbers()).enqueue()
    assert (app.jobs(), app.workflows()) == ([], [])


@pytest.mark.slow
def test_a_large_batch_streams_at_flat_memory(app: Hammerflow, b: SimpleNamespace) -> None:
    def peak(size: int) -> int:
        batch = app.batch((b.work.s(n) for n in range(size)), then=b.total.si([]))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        handles.append(batch.enqueue())
        return tracemalloc.get_traced_memory()[1] - before

    handles: list[Any] = []
    app.batch(calls(b, 1)).enqueue()
    tracemalloc.start()
    try:
        small, large = peak(5_000), peak(20_000)
    finally:
        tracemalloc.stop()
    assert large < 2 * small
    assert handles[1].stats().total == 20_001
    handles[1].cancel()
    assert handles[1].status().stats.cancelled == 20_001


def test_only_a_batch_that_knows_its_app_sends_itself() -> None:
    from hammerflow.workflows.batch import Batch

    with pytest.raises(HammerflowError, match="app.enqueue"):
        Batch([Signature("a.b")]).enqueue()


@pytest.mark.parametrize("make", [list, iter])
def test_the_error_of_a_batch_names_the_call_at_fault(
    app: Hammerflow, b: SimpleNamespace, make: Any
) -> None:
    def linked() -> Any:
        call = b.work.si(1)
        call.link(b.total.s())
        return call

    good = [app.signature("any"), app.signature("any")]
    for bad, error in ((3, TypeError), (linked(), ConfigError)):
        with pytest.raises(error, match=r"signatures\[2\] of a batch"):
            list(app.batch(make([*good, bad])).calls())


def test_the_handle_tells_progress_and_the_failed_part(
    app: Hammerflow, b: SimpleNamespace, seen: list[Any]
) -> None:
    result = app.batch(calls(b, 1, -1, 2, -2)).enqueue()
    assert (result.progress(), [*result.failed()]) == (0.0, [])
    drain(app, limit=2)
    assert result.progress() == 0.5
    drain(app)
    assert result.progress() == 1.0
    assert {each.state for each in result.failed()} == {"failed"}
    assert len([*result.failed()]) == 2
    assert 0 <= (result.seconds() or 0) < 3600
