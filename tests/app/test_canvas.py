"""Canvas on every database: chain, group, chord, map, links, as Celery's users know them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    GroupResult,
    Hammerflow,
    JobFailed,
    JobState,
    Priority,
    Result,
    WorkflowInvalid,
    WorkflowStatus,
    chain,
    chord,
    group,
)
from hammerflow.testing import drain


def run(app: Hammerflow, canvas: Any) -> Any:
    """Send, drain, and read the result."""
    handle = app.enqueue(canvas)
    drain(app)
    return handle.get(timeout=1)


# -- what follows what -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda t: chain(t.add.s(4, 4), t.mul.s(8), t.mul.s(10)), 640),
        (lambda t: t.add.s(4, 4) | t.mul.s(8) | t.mul.s(10), 640),
        (lambda t: chain([t.add.s(2, 2), t.add.s(4)]), 8),
        (lambda t: chain(s for s in [t.add.s(2, 2), t.add.s(4)]), 8),
        (lambda t: chain(t.add.s(1, 1)), 2),
        (lambda t: t.add.s(2, 2) | t.add.si(5, 5), 10),
        (lambda t: (t.add.s(2, 2) | t.add.s(1)) | (t.mul.s(3) | t.add.s(1)), 16),
        (lambda t: group(t.add.s(i, i) for i in range(10)), [2 * i for i in range(10)]),
        (lambda t: group([t.add.s(1, 1), t.add.s(2, 2)]), [2, 4]),
        (lambda t: group(t.add.s(1, 1), group(t.add.s(2, 2), t.add.s(3, 3))), [2, [4, 6]]),
        (lambda t: group(t.add.s(i, i) for i in range(5)) | t.total.s(), 20),
        (lambda t: t.add.s(1, 1) | group(t.add.s(1), t.mul.s(5)), [3, 10]),
        (lambda t: group(t.add.s(1, 1), t.add.s(2, 2)) | group(t.total.s(), t.total.s(1)), [6, 7]),
        (lambda t: chord((t.add.s(i, i) for i in range(5)), t.total.s()), 20),
        (lambda t: chord(group(t.add.s(i, i) for i in range(5)), t.total.s(extra=1)), 21),
        (lambda t: chord([t.add.s(1, 1)], t.echo.si("mine")), [["mine"], {}]),
        (lambda t: chord([], t.total.s(extra=7)), 7),
        (lambda t: t.add.s(3, 4) | chord([t.add.s(1), t.add.s(2)], t.total.s()) | t.mul.s(2), 34),
        (lambda t: chord([t.add.s(1), t.add.s(2)], t.total.s() | t.mul.s(10)), 30),
        (
            lambda t: chord([t.add.s(i, 0) for i in range(3)], group(t.total.s(), t.total.s(5))),
            [3, 8],
        ),
        (
            lambda t: chord(
                [t.add.s(1, 1) | group(t.add.s(1), t.add.s(2)) | t.total.s(), t.add.s(5, 5)],
                t.total.s(),
            ),
            17,
        ),
        (
            lambda t: t.add.s(1, 1)
            | chord(
                [t.add.s(1) | group(t.mul.s(2), chord([t.add.s(1)], t.total.s())), t.add.s(9)],
                t.echo.s(),
            ),
            [[[[6, 4], 11]], {}],
        ),
        (lambda t: group([]), []),
        (lambda t: chain(t.add.s(1, 1), group([]), t.echo.s()), [[[]], {}]),
        (lambda t: t.total.map([[1, 2], [3]]), [3, 3]),
        (lambda t: t.add.starmap((i, i) for i in range(3)), [0, 2, 4]),
        (lambda t: t.double.map([1, 2, 3]), [2, 4, 6]),
        (lambda t: t.double.starmap([(1,), (2,)]), [2, 4]),
        (lambda t: t.add.chunks(((i, i) for i in range(5)), 2), [[0, 2], [4, 6], [8]]),
        (lambda t: t.add.chunks([(1, 1)], 2).group(), [[2]]),
        (lambda t: t.double.chunks([(1,), (2,)], 1) | t.echo.s(), [[[[2], [4]]], {}]),
        (lambda t: t.double.s(2) | t.add.s(1) | t.double.s(), 10),
        (lambda t: chain(t.note.s(None), t.note.s()), None),
        (lambda t: chain(*[t.add.s(0, 0), *(t.add.s(1) for _ in range(40))]), 40),
        (lambda t: chord([t.add.s(i, 0) for i in range(40)], t.echo.s()), [[[*range(40)]], {}]),
    ],
)  # fmt: skip
def test_results_flow_as_the_canvas_says(
    app: Hammerflow, t: SimpleNamespace, make: Any, expected: Any
) -> None:
    assert run(app, make(t)) == expected


def test_nothing_runs_before_what_it_comes_after(app: Hammerflow, t: SimpleNamespace) -> None:
    result = chain(t.add.s(1, 1), group([]), t.add.si(2, 2)).delay()
    assert result.state is JobState.WAITING
    failing = chain(t.fail.s(), group([]), t.add.si(2, 2)).delay()
    drain(app)
    assert (result.get(timeout=1), failing.state) == (4, JobState.SKIPPED)


def test_the_same_signature_may_stand_in_many_places(
    app: Hammerflow, t: SimpleNamespace, seen: list[Any]
) -> None:
    one = t.add.s(1)
    assert run(app, t.add.s(0, 0) | one | one | group([one] * 3)) == [3, 3, 3]
    bad = t.fail.s(1)
    ends = group([bad, bad, t.add.s(1, 1)]).on_error(t.note.si("once"))
    app.enqueue(ends)
    drain(app)
    assert seen == ["once"]


# -- partials and options --------------------------------------------------------------------------


def test_arguments_of_a_call_come_before_those_of_a_partial(
    app: Hammerflow, t: SimpleNamespace
) -> None:
    partial = t.echo.s(2, debug=True)
    results = [
        partial.delay(4),
        partial.apply_async((4,), {"debug": False, "more": 1}),
        partial(1),
        t.echo.si(2).delay(4, debug=1),
        partial.clone((4,), {"x": 1}).delay(),
    ]
    drain(app)
    assert [r.get(timeout=1) for r in results] == [
        [[4, 2], {"debug": True}],
        [[4, 2], {"debug": False, "more": 1}],
        [[1, 2], {"debug": True}],
        [[2], {}],
        [[4, 2], {"debug": True, "x": 1}],
    ]
    assert partial == t.echo.s(2, debug=True)


def test_arguments_of_a_canvas_go_to_what_comes_first(app: Hammerflow, t: SimpleNamespace) -> None:
    a = (t.add.s(1) | t.mul.s(10)).delay(4)
    b = group(t.add.s(1), t.add.s(2)).delay(10)
    c = chord([t.add.s(1), t.add.s(2)], t.total.s()).apply_async((10,))
    d = chord([t.add.s(1, 1), t.add.s(2, 2)])(t.total.s())
    e = chord([t.add.s(1, 1)], t.total.s())()
    drain(app)
    assert [r.get(timeout=1) for r in (a, b, c, d, e)] == [50, [11, 12], 23, 6, 2]
    assert [type(r) for r in (a, b, c)] == [Result, GroupResult, Result]


def test_the_options_of_a_call_stand_over_those_of_its_signature(
    app: Hammerflow, t: SimpleNamespace
) -> None:
    signature = t.add.s(1, 1).set(queue="slow", priority=Priority.LOW)
    result = signature.apply_async(queue="fast")

    assert (result.job().queue, result.job().priority) == ("fast", Priority.LOW)
    assert t.add.options(queue="q").s(1, 1).apply_async().job().queue == "q"


def test_options_of_a_canvas_are_for_those_without_their_own(
    app: Hammerflow, t: SimpleNamespace
) -> None:
    header = [t.add.s(1, 1), t.add.s(2, 2).set(queue="own")]
    chord(header, t.total.s()).apply_async(queue="all", priority=Priority.HIGH, max_attempts=7)
    jobs = sorted(app.jobs(), key=lambda job: job.queue)
    assert [job.queue for job in jobs] == ["all", "all", "own"]
    assert {job.priority for job in jobs} == {Priority.HIGH}
    assert {job.options["max_attempts"] for job in jobs} == {7}
    (t.add.s(1, 1) | t.add.s(1)).set(queue="set").delay()
    assert [job.queue for job in app.jobs(limit=2)] == ["set", "set"]


def test_a_countdown_holds_back_what_comes_first(app: Hammerflow, t: SimpleNamespace) -> None:
    (t.add.s(1, 1) | t.add.s(1)).apply_async(countdown=600)
    chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s()).apply_async(countdown=600)
    states = sorted(job.state for job in app.jobs())
    assert states == ["scheduled", "scheduled", "scheduled", "waiting", "waiting"]
    later = t.add.s(1, 1) | t.add.s(1).set(delay=600)
    last = later.delay()
    drain(app)
    assert last.state is JobState.SCHEDULED


def test_a_group_may_be_skewed(app: Hammerflow, t: SimpleNamespace) -> None:
    skewed = group(t.add.s(i, i) for i in range(4)).skew(start=1, stop=10, step=4)
    assert [s.options["delay"] for s in skewed.leaves()] == [1, 5, 9, 10]
    assert [r.state for r in skewed.delay()] == ["scheduled"] * 4


def test_a_signature_may_depend_on_another_one_of_its_canvas(
    app: Hammerflow, t: SimpleNamespace, seen: list[Any]
) -> None:
    late, early = t.note.s("late"), t.note.s("early")
    group(early, late.depends_on(early)).delay()
    group(first := t.note.s(1), t.note.s(2).depends_on(first)).apply_async(priority=Priority.LOW)
    drain(app)
    assert seen.index("early") < seen.index("late")
    assert seen.index(1) < seen.index(2)


def test_a_dependency_may_be_there_already(
    app: Hammerflow, t: SimpleNamespace, seen: list[Any]
) -> None:
    first = t.note.s("a").delay()
    second = t.note.s("b").depends_on(first, str(first.id)).delay()
    third = (t.note.s("c").depends_on(second.id) | t.note.si("d")).delay()
    flow = group(t.note.s("e")).delay()
    fourth = t.note.s("f").depends_on(flow.workflow).delay()
    assert {second.state, third.state, fourth.state} == {JobState.WAITING}
    drain(app)
    assert [s for s in seen if s in "abcd"] == ["a", "b", "c", "d"]
    assert seen.index("e") < seen.index("f")
    after = t.note.s("g").depends_on(first).delay()
    drain(app)
    assert after.get(timeout=1) == "g"


def test_calls_that_wait_may_be_sent_in_bulk(
    app: Hammerflow, t: SimpleNamespace, seen: list[Any]
) -> None:
    first = t.note.delay("first")
    bulk = app.enqueue_many([t.note.s("last").depends_on(first), t.fail.s().on_error(t.by_id.s())])
    drain(app)
    assert [r.state for r in bulk] == [JobState.COMPLETED, JobState.FAILED]
    assert seen.index("first") < seen.index("last")
    assert str(bulk[1].id) in seen


# -- links -----------------------------------------------------------------------------------------


def test_a_link_takes_the_result(app: Hammerflow, t: SimpleNamespace, seen: list[Any]) -> None:
    signature = t.add.s(2, 2)
    assert signature.link(t.note.s()) == t.note.s()
    result = signature.delay()
    t.add.apply_async((16, 16), link=t.note.s())
    t.add.s(1, 0).apply_async(link=[t.note.s(), t.add.s(1) | t.note.s()])
    (t.add.s(5, 5) | t.add.s(5)).apply_async(link=t.note.s())
    group(t.add.s(7, 0), t.add.s(8, 0)).apply_async(link=t.note.s())
    chord([t.add.s(9, 0)], t.total.s()).apply_async(link=t.note.s())
    drain(app)
    assert result.get(timeout=1) == 4
    assert sorted(map(str, seen)) == sorted(["4", "32", "1", "2", "15", "[7, 8]", "9"])


def test_a_link_of_what_fails_is_not_called(
    app: Hammerflow, t: SimpleNamespace, seen: list[Any]
) -> None:
    t.fail.s().apply_async(link=t.note.s(), link_error=t.note.si("failed"))
    t.add.s(1, 1).apply_async(link=t.note.s(), link_error=t.note.si("never"))
    drain(app)
    assert sorted(map(str, seen)) == ["2", "failed"]


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.fail.s(1),
        lambda t: t.add.s(1, 1) | t.fail.s() | t.add.s(1),
        lambda t: group(t.add.s(1, 1), t.fail.s(1)),
        lambda t: chord([t.add.s(1, 1), t.fail.s(1)], t.total.s()),
        lambda t: chord([t.add.s(1, 1)], t.fail.s()),
    ],
)
def test_an_errback_is_called_once_in_both_forms(
    app: Hammerflow, t: SimpleNamespace, seen: list[Any], make: Any
) -> None:
    canvas = make(t)
    canvas.link_error(t.by_id.s())
    canvas.link_error(t.by_request.s())
    app.enqueue(canvas)
    drain(app)
    failed = str(app.jobs(state="failed")[0].id)
    texts = [s for s in seen if isinstance(s, str)]
    [(request_id, task, error, traceback)] = [s for s in seen if isinstance(s, tuple)]
    assert texts == [failed]
    assert (request_id, task) == (failed, t.fail.name)
    assert "builtins.ValueError: no: " in error
    assert "raise ValueError" in traceback


def test_an_errback_may_be_a_chain(app: Hammerflow, t: SimpleNamespace, seen: list[Any]) -> None:
    t.fail.s().on_error(t.note.s() | t.note.si("then")).delay()
    (t.add.s(1, 1) | t.add.s(1)).on_error(t.note.s() | t.note.si("never")).delay()
    drain(app)
    assert seen == [str(app.jobs(state="failed")[0].id), "then"]


def test_a_failing_member_fails_what_comes_after_it(app: Hammerflow, t: SimpleNamespace) -> None:
    results = [
        (t.add.s(1, 1) | t.fail.s() | t.add.s(1) | t.add.s(1)).delay(),
        chord([t.add.s(1, 1), t.fail.s(5)], t.total.s()).delay(),
        (group(t.add.s(1, 1), t.fail.s(6)) | t.total.s() | t.add.s(1)).delay(),
    ]
    drain(app)
    for result in results:
        with pytest.raises(JobFailed, match="ValueError: no") as caught:
            result.get(timeout=1)
        assert caught.value.error_type == "builtins.ValueError"
        assert result.state is JobState.SKIPPED


# -- GroupResult -----------------------------------------------------------------------------------


def test_a_group_result_is_read_as_a_whole(app: Hammerflow, t: SimpleNamespace) -> None:
    result = group(t.add.s(1, 1), t.fail.s(), group(t.add.s(2, 2))).delay()
    assert (result.ready(), result.waiting(), result.completed_count()) == (False, True, 0)
    with pytest.raises(TimeoutError):
        result.get(timeout=0)
    drain(app)
    assert (len(result), result.ready(), result.waiting()) == (3, True, False)
    assert (result.successful(), result.failed(), result.completed_count()) == (False, True, 2)
    assert result.wait(timeout=1) is WorkflowStatus.FAILED
    with pytest.raises(JobFailed, match="ValueError"):
        result.get(timeout=1)
    first, error, inner = result.get(timeout=1, propagate=False)
    assert (first, inner) == (2, [4])
    assert isinstance(error, JobFailed)
    assert [type(r) for r in result] == [Result, Result, GroupResult]
    good = group(t.add.s(1, 1), t.add.s(2, 2)).delay()
    drain(app)
    assert good.successful()
    assert asyncio.run(good.aget(timeout=1)) == good.join(timeout=1) == [2, 4]


def test_a_group_may_be_cancelled(app: Hammerflow, t: SimpleNamespace, seen: list[Any]) -> None:
    result = group(t.note.s(i) for i in range(3)).delay()
    result.cancel("not wanted")
    drain(app)
    assert seen == []
    assert {r.state for r in result} == {JobState.CANCELLED}
    assert result.workflow.status() is WorkflowStatus.CANCELLED


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda t: group([t.add.s(1), 2]), TypeError, "got int"),
        (lambda t: group(t.add), TypeError, "iterable|got Task"),
        (lambda t: chord([t.add.s(1, 1), "x"], t.total.s()), TypeError, "got str"),
        (lambda t: chord([t.add.s(1, 1)], t.total), TypeError, "got Task"),
        (lambda t: chord([t.add.s(1, 1)]).delay(), WorkflowInvalid, "chord needs a body"),
        (lambda t: chain(), ConfigError, "at least one task"),
        (lambda t: chain([]), ConfigError, "at least one task"),
        (lambda t: t.add.s(1, 1) | 3, TypeError, "unsupported operand"),
        (lambda t: t.add.chunks([(1, 1)], 0), ConfigError, "from 1 to 1000000000, not 0"),
        (lambda t: group(t.add.s(1, 1), t.mul.s(1)).delay(), TypeError, r"mul\(\)"),
        (lambda t: (t.add.s(1, 1) | t.add.s(1, 2)).delay(), TypeError, r"add\(\)"),
        (lambda t: (t.add.s(1, 1) | t.mul.si(1)).delay(), TypeError, r"mul\(\)"),
        (lambda t: chord([t.add.s(1, 1)], t.add.s(1, 2)).delay(), TypeError, r"add\(\)"),
        (lambda t: t.add.s(1, 1).apply_async(link=t.mul.s()), TypeError, r"mul\(\)"),
        (lambda t: t.add.s(1, 1).apply_async(link_error=t.by_id.s(1)), TypeError, r"by_id\(\)"),
        (lambda t: t.add.s(1, 1).apply_async(quee="q"), TypeError, "quee"),
        (lambda t: group(t.add.s(1, 1)).apply_async(priority=9), ConfigError, "priority"),
        (lambda t: group(t.add.s(1, 1), t.echo.s(object())).delay(), TypeError, "object"),
        (lambda t: t.add.s(1, 1).depends_on(t.add.s(2, 2)).delay(), WorkflowInvalid, "not sent"),
        (lambda t: t.add.s(1, 1).depends_on("extract").delay(), WorkflowInvalid, "'extract'"),
        (lambda t: (t.add.s(1, 1) | t.add.s(1).depends_on("x")).delay(), WorkflowInvalid, "'x'"),
        (lambda t: t.add.s(1, 1).depends_on(7).delay(), WorkflowInvalid, "cannot depend on 7"),
        (lambda t: t.add.s(1, 1).depends_on(uuid.UUID(int=9)).delay(), LookupError, "no job"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(
    app: Hammerflow, t: SimpleNamespace, make: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        make(t)
    assert (app.jobs(), app.workflows()) == ([], [])


def test_a_job_id_that_is_taken_refuses_the_whole_canvas(
    app: Hammerflow, t: SimpleNamespace
) -> None:
    key = uuid.uuid4()
    canvas = t.add.s(1, 1) | t.add.s(1).set(job_id=key)
    assert canvas.delay().id == key
    with pytest.raises(WorkflowInvalid, match=str(key)):
        canvas.delay()
    assert len(app.jobs()) == 2


def test_nothing_but_a_generator_is_read_twice(app: Hammerflow, t: SimpleNamespace) -> None:
    def numbers() -> Iterator[Any]:
        for i in range(3):
            yield t.add.s(i, i)

    fan = group(numbers())
    first, second = fan.delay(), fan.delay()
    drain(app)
    assert first.get(timeout=1) == second.get(timeout=1) == [0, 2, 4]
    assert first.id != second.id
