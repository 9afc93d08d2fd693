"""A wrong call among many is refused when they are sent, with its place in what was composed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow import Hammerflow, HammerflowError, Workflow, chain, chord, group
from hammerflow.testing import drain

MISSING = "two() missing 1 required positional argument: 'b'"
OBJECT = "args[1]: type object cannot be encoded"


@pytest.fixture
def app(sqlite_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("places", database=sqlite_url, doorbell="none")
    app.migrate()

    @app.task(name="two")
    def two(a: Any, b: Any) -> Any:
        return a, b

    yield app
    app.close()


def linked(call: Any, *callbacks: Any) -> Any:
    for callback in callbacks:
        call.link(callback)
    return call


#: The place, and what has a call there: ``ok`` and ``bad`` make one each.
WAYS: dict[str, Callable[[Hammerflow, Any, Any], Any]] = {
    "group[1]": lambda app, ok, bad: group(ok(), bad()),
    "group[1][1]": lambda app, ok, bad: group(ok(), chain(ok(), bad())),
    "group[0][1][0]": lambda app, ok, bad: group(group(ok(), group(bad()))),
    "chain[2]": lambda app, ok, bad: ok() | ok() | bad(),
    "chain[1][1]": lambda app, ok, bad: ok() | group(ok(), bad()) | ok(),
    "chord[1]": lambda app, ok, bad: chord([ok(), bad()], ok()),
    "chord.body": lambda app, ok, bad: chord([ok(), ok()], bad()),
    "link[1]": lambda app, ok, bad: linked(ok(), ok(), bad()),
    "link_error[0]": lambda app, ok, bad: ok().on_error(bad()),
    "group.link[0][1]": lambda app, ok, bad: linked(group(ok()), chain(ok(), bad())),
    "group[1].link[0]": lambda app, ok, bad: group(ok(), linked(ok(), bad())),
    "batch[2]": lambda app, ok, bad: app.batch([ok(), ok(), bad()]),
    "films[0]": lambda app, ok, bad: app.batch([bad()], name="films"),
    "batch.then": lambda app, ok, bad: app.batch([ok()], then=bad()),
    "node 'b'": lambda app, ok, bad: Workflow("w").add(ok(), name="a").add(bad(), name="b"),
    "node 'b[1]'": lambda app, ok, bad: Workflow("w").add(group(ok(), bad()), name="b"),
    "node 'b'.link[0]": lambda app, ok, bad: Workflow("w").add(linked(ok(), bad()), name="b"),
    "films[1] of node 'b'": lambda app, ok, bad: Workflow("w").add(
        app.batch([ok(), bad()], name="films"), name="b"
    ),
    "batch.then of node 'b'": lambda app, ok, bad: Workflow("w").add(
        app.batch([ok()], then=bad()), name="b"
    ),
    "node 'c' of node 'b' of node 'a'": lambda app, ok, bad: Workflow("w").add(
        Workflow("x").add(Workflow("y").add(bad(), name="c"), name="b"), name="a"
    ),
}


@pytest.mark.parametrize("place", WAYS)
def test_a_wrong_call_is_refused_with_its_place(app: Hammerflow, place: str) -> None:
    two = app.tasks["two"]

    for wrong, sentence in (((1,), MISSING), ((1, object()), OBJECT)):
        work = WAYS[place](app, lambda: two.si(1, 2), lambda wrong=wrong: two.si(*wrong))
        with pytest.raises((TypeError, HammerflowError)) as caught:
            app.enqueue(work)
        assert str(caught.value).startswith(f"{place}: {sentence}")

    assert (app.jobs(), app.workflows()) == ([], [])


def test_one_signature_in_two_places_is_named_where_it_is_wrong(app: Hammerflow) -> None:
    shared = app.tasks["two"].s(1)

    with pytest.raises(TypeError) as caught:  # the first one takes a result as well
        app.enqueue(group(chain(app.tasks["two"].s(1, 2), shared), shared))

    assert str(caught.value) == f"group[1]: {MISSING}"


def test_a_wrong_child_is_named_in_the_jobs_error(app: Hammerflow) -> None:
    two = app.tasks["two"]

    @app.spawner(name="splits", max_attempts=1)
    def splits(kind: str) -> Iterator[Any]:
        yield two.s(1, 2)
        yield {
            "single": two.s(1),
            "group": group(two.s(1, 2), two.s(1)),
            "workflow": Workflow("w").add(two.s(1), name="b"),
        }[kind]

    for kind, place in (("single", ""), ("group", "group[1]: "), ("workflow", "node 'b': ")):
        result = splits.delay(kind)
        drain(app)

        with pytest.raises(HammerflowError) as caught:
            result.get(timeout=0)
        assert f"child 1: {place}{MISSING}" in str(caught.value)
