"""A job goes on as another call: ``current_job().replace``, on every database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    Hammerflow,
    JobFailed,
    JobState,
    UniqueKey,
    Workflow,
    chord,
    current_job,
    group,
)
from hammerflow.testing import drain


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda t: t.add.s(1, 1), 2),
        (lambda t: t.add.s(1, 1) | t.mul.s(5), 10),
        (lambda t: group(t.add.s(1, 1), t.add.s(2, 2)), [2, 4]),
        (lambda t: group([]), []),
        (lambda t: chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s()), 6),
        (lambda t: t.add.s(1, 1) | group(t.add.s(1), t.add.s(2)), [3, 4]),
        (lambda t: chord([t.add.s(1, 1)], group(t.total.s(), t.total.s(1))), [2, 3]),
        (lambda t: group(t.add.s(1, 1), t.add.s(0, 1) | group(t.add.s(2))), [2, [3]]),
        (lambda t: t.double.s(4), 8),
    ],
)
@pytest.mark.parametrize("place", ["alone", "chain", "chord", "again"])
def test_a_job_goes_on_as_another_call(
    app: Hammerflow, t: SimpleNamespace, seen: list[Any], make: Any, expected: Any, place: str
) -> None:
    @app.task
    def swap(depth: int = 1) -> None:
        if depth > 1:
            current_job().replace(swap.s(depth - 1))
        current_job().replace(make(t))

    match place:
        case "alone":
            result = swap.delay()
        case "again":
            result = swap.delay(3)
        case "chain":
            result = (t.add.s(0, 1) | swap.si() | t.note.s()).delay()
        case _:
            result = chord([t.add.s(0, 0), swap.si(2)], t.note.s()).delay()
    drain(app)
    value = result.get(timeout=1)
    assert value == ([0, expected] if place == "chord" else expected)
    assert not [job for job in app.jobs() if not job.state.is_final]


def test_what_replaces_a_job_may_have_links(
    app: Hammerflow, t: SimpleNamespace, seen: list[Any]
) -> None:
    @app.task
    def swap(bad: bool) -> None:
        target = t.fail.s(1) if bad else t.add.s(1, 1) | t.add.s(1)
        target.link(t.note.s())
        current_job().replace(target.on_error(t.note.si("failed")))

    results = [swap.delay(bad=False), swap.delay(bad=True)]
    drain(app)
    assert sorted(map(str, seen)) == ["3", "failed"]
    assert [r.state for r in results] == [JobState.COMPLETED, JobState.FAILED]


def test_what_replaces_a_job_may_wait(app: Hammerflow, t: SimpleNamespace) -> None:
    @app.task
    def swap() -> None:
        current_job().replace(t.add.s(1, 1).set(delay=600))

    result = swap.delay()
    drain(app)
    assert result.state is JobState.SCHEDULED


@pytest.mark.parametrize("kind", ["in_transaction", "async"])
def test_any_kind_of_body_may_be_replaced(app: Hammerflow, t: SimpleNamespace, kind: str) -> None:
    if kind == "async":

        @app.task
        async def swap() -> None:
            current_job().replace(group(t.add.s(1, 1), t.add.s(2, 2)))
    else:

        @app.task(in_transaction=True)
        def swap() -> None:
            current_job().replace(group(t.add.s(1, 1), t.add.s(2, 2)))

    result = Workflow("x").add(swap.s()).then(t.add.si(1, 1)).enqueue()
    drain(app)
    assert result.get(timeout=1) == {"swap": [2, 4], "add": 2}
    assert result.stats().total == 4


def test_a_replaced_job_keeps_the_rule_of_its_key(app: Hammerflow, t: SimpleNamespace) -> None:
    """A key that was free once the job started is not taken again when the job is retried."""

    @app.task(unique=UniqueKey(for_states="until_started"))
    def swap(n: int) -> None:
        current_job().replace(t.fail.s(n))

    first = swap.delay(1)
    drain(app)
    assert first.state is JobState.FAILED
    swap.options(delay=3600).delay(1)
    first.retry()
    assert first.state is JobState.READY


def test_a_replacement_that_cannot_be_fails_with_a_reason(
    app: Hammerflow, t: SimpleNamespace
) -> None:
    @app.task
    def swap(how: str) -> None:
        if how == "spawned":
            current_job().spawn(t.add.s(1, 1))
        target: Any = {"wrong": t.add.s(), "no body": chord([t.add.s(1, 1)]), "int": 3}
        current_job().replace(target.get(how, t.add.s(1, 1)))

    results = {how: swap.delay(how) for how in ("wrong", "no body", "int", "spawned")}
    drain(app)
    for how, text in {
        "wrong": r"add\(\)", "no body": "needs a body", "int": "not 3", "spawned": "has spawned",
    }.items():  # fmt: skip
        with pytest.raises(JobFailed, match=text):
            results[how].get(timeout=1)
    assert len(app.jobs()) == 4
