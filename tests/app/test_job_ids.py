"""One job_id in two calls that are sent together, or of a job that exists: a sentence, no error of
the driver; in enqueue_many the second call is left out, as a call repeated later is."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow import Hammerflow, HammerflowError, Workflow, group
from hammerflow.testing import drain

TWICE, TAKEN = uuid.UUID(int=1), uuid.UUID(int=2)

WAYS: dict[str, Callable[[Hammerflow, Any], Any]] = {
    "group": lambda app, call: app.enqueue(group(call(), call())),
    "chain": lambda app, call: app.enqueue(call() | call()),
    "workflow": lambda app, call: app.enqueue(Workflow("w").add(call()).add(call())),
    "batch": lambda app, call: app.batch([call(), call()]).enqueue(),
    "linked": lambda app, call: app.enqueue_many([call().on_error(call())]),
}


@pytest.mark.parametrize("given", [TWICE, TAKEN])
def test_an_id_that_is_not_the_calls_own_is_refused(
    app: Hammerflow, note: Any, given: uuid.UUID
) -> None:
    note.apply_async((0,), job_id=TAKEN)
    for name, way in WAYS.items():
        ids = iter([given, uuid.uuid4() if given == TAKEN else given])
        with pytest.raises(HammerflowError) as caught:
            way(app, lambda ids=ids: note.si(1).set(job_id=next(ids)))
        assert "job_id" in str(caught.value) or f"the id {given}" in str(caught.value), name
        with pytest.raises(HammerflowError), app.transaction():
            inside = iter([given, given])
            way(app, lambda inside=inside: note.si(1).set(job_id=next(inside)))

    assert len(app.jobs()) == 1


def test_of_two_calls_in_one_list_the_first_is_written(app: Hammerflow, note: Any) -> None:
    calls = [note.s(1).set(job_id=TWICE), note.s(2), note.s(3).set(job_id=TWICE)]

    results = app.enqueue_many(calls)
    with app.transaction():
        again = app.enqueue_many(calls)

    assert [result.id for result in results][::2] == [TWICE, TWICE]
    assert again[0].id == TWICE
    drain(app)
    assert results[2].get(timeout=0) == 1
    assert len(app.jobs()) == 3


@pytest.mark.parametrize("given", [TWICE, TAKEN])
def test_a_child_with_the_id_of_another_job_fails_its_spawner(
    app: Hammerflow, note: Any, given: uuid.UUID
) -> None:
    @app.spawner(name="splits", max_attempts=1)
    def splits(is_group: bool) -> Iterator[Any]:
        for _ in range(2):
            child = note.si(1).set(job_id=given)
            yield group(child, note.si(2)) if is_group else child

    note.apply_async((0,), job_id=TAKEN)
    for is_group in (False, True):
        result = splits.delay(is_group)
        drain(app)
        with pytest.raises(HammerflowError, match=rf"child \d: another job has the job_id {given}"):
            result.get(timeout=0)
