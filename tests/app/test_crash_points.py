"""Crash points: the process ends at every single thing that it asks of the database.

SQLite's own method of testing: count what a story asks of the database, then tell the story once
for each of these, with the end of the process, or of its connection, just before or just after it.
Afterwards another worker takes over, and everything must have come out as without any of it. A
statement that is added to the engine raises the number by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow import Hammerflow, Signature, Workflow, WorkflowStatus, chord, constant, current_job
from hammerflow.testing import drain
from tests.stores.breaker import Breaker, Crash, lost_connection
from tests.stores.kit import Desk, desk_at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

#: Nodes of the workflow before and after its spawner has run, and of the chord.
_SIZES = {4, 5, 8}


@contextlib.contextmanager
def _app(url: str) -> Iterator[Hammerflow]:
    """A process's view: its own store and names."""
    app = Hammerflow("crash", database=url)

    @app.task(max_attempts=50, backoff=constant(0))
    def note(x: Any = None) -> Any:
        return x

    @app.task(max_attempts=50, backoff=constant(0))
    def stumble() -> str:
        if current_job().attempt == 1:
            raise ValueError("once")
        return "well"

    @app.task(max_attempts=50, backoff=constant(0))
    def total(results: list[Any]) -> Any:
        return sum(results)

    @app.task(max_attempts=50, backoff=constant(0))
    def gather() -> dict[str, Any]:
        return dict(current_job().inputs)

    @app.spawner(max_attempts=50, backoff=constant(0), then=total.s())
    def many(n: int) -> Iterator[Signature]:
        for i in range(n):
            yield note.s(i)

    try:
        yield app
    finally:
        app.close()


def _story(app: Hammerflow) -> list[Any]:
    """A workflow with a condition and a grafted spawner, a chord, a spawner, plain jobs."""
    t = {name.rpartition(".")[2]: task for name, task in app.tasks.items()}
    flow = (
        Workflow("story")
        .add(t["note"].s({"x": 1}), name="a")
        .add(t["note"].s("low"), name="low", after="a", when="x < 5")
        .add(t["note"].s("high"), name="high", after="a", when="x >= 5")
        .add(t["many"].s(2), name="s", after="a", wait_for_children=True)
        .add(t["gather"].s(), name="sum", after=["low", "high", "s"], after_skipped="run")
    )
    header = [t["note"].s(i) for i in range(3)]
    return [
        app.enqueue(flow),
        app.enqueue(chord(header, t["total"].s())),
        app.enqueue(t["many"].s(3)),
        *app.enqueue_many([t["note"].s(7), t["stumble"].s()]),
    ]


def _check_end(story: list[Any]) -> None:
    """All of it as it must be."""
    flow, total, spawner, plain, stumbled = story
    assert flow.status() is WorkflowStatus.COMPLETED
    found = flow.get(timeout=1)
    assert found["sum"] == {"low": "low", "high": None, "s": None}
    assert total.get(timeout=1) == 3
    assert [child.get(timeout=1) for child in spawner.children()] == [0, 1, 2, 3]
    assert plain.get(timeout=1) == 7
    assert stumbled.get(timeout=1) == "well"


def _check_tables(desk: Desk) -> None:
    desk.check()
    for table in ("waiting", "scheduled", "ready", "leases", "barriers", "parked"):
        assert desk.count(table) == 0, f"{desk.count(table)} rows are left in {table}"


def _take_over(url: str) -> None:
    """What another worker does: the sweep, and then the work."""
    with _app(url) as app:
        app.store.workers.sweep(lease=-1, poison_limit=1000)
        drain(app)


def _points() -> Iterator[int]:
    """Every point with HAMMERFLOW_TEST_POINTS=all, else some of them, others in each run."""
    step = 1 if os.environ.get("HAMMERFLOW_TEST_POINTS") == "all" else 9
    return itertools.count(random.randint(1, step), step)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_worker_that_ends_at_any_point_is_made_good(migrated_url: str, after: bool) -> None:
    with desk_at(migrated_url) as desk, _app(migrated_url) as client:
        for point in _points():
            story = _story(client)
            with _app(migrated_url) as app:
                breaker = Breaker(app.store.database, at=point, after=after)
                with contextlib.suppress(Crash):
                    drain(app)
            _take_over(migrated_url)
            with _told(point):
                _check_end(story)
                _check_tables(desk)
            if breaker.count < point:
                break
    assert point > 50, "the breaker has seen nothing of the work"
    _report(migrated_url, f"a worker ends {_WHEN[after]}", point - 1)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_connection_lost_at_any_point_changes_nothing(migrated_url: str, after: bool) -> None:
    with desk_at(migrated_url) as desk, _app(migrated_url) as client:
        if desk.kind == "sqlite":
            pytest.skip("a file has no connection to lose")
        for point in _points():
            story = _story(client)
            with _app(migrated_url) as app:
                error = lost_connection(desk.kind)
                breaker = Breaker(app.store.database, at=point, after=after, error=error)
                drain(app)
            _take_over(migrated_url)  # of a claim whose answer was lost only the sweep knows
            with _told(point):
                _check_end(story)
                _check_tables(desk)
            if breaker.count < point:
                break
    assert point > 50, "the breaker has seen nothing of the work"
    _report(migrated_url, f"a connection is lost {_WHEN[after]}", point - 1)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_client_that_ends_at_any_point_has_written_all_or_nothing(
    migrated_url: str, after: bool
) -> None:
    with desk_at(migrated_url) as desk:
        for point in _points():
            with _app(migrated_url) as app:
                breaker = Breaker(app.store.database, at=point, after=after)
                with contextlib.suppress(Crash):
                    _story(app)
            with _told(point):
                nodes = "SELECT count(*) FROM {nodes} GROUP BY workflow_id"
                assert {n for (n,) in desk.sql(nodes)} <= _SIZES, "a workflow without some nodes"
                _take_over(migrated_url)
                _check_tables(desk)
            if breaker.count < point:
                break
    _report(migrated_url, f"a client ends {_WHEN[after]}", point - 1)


_WHEN = {False: "just before it", True: "just after it"}


@contextlib.contextmanager
def _told(point: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"it ended at point {point}")
        raise


def _report(url: str, what: str, points: int) -> None:
    sys.stdout.write(f"\n{url.partition(':')[0]}: {what}: {points} points passed\n")
