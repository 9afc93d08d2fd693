"""Edits: the keys of a job follow its new arguments as they would for a new call."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import pytest

from hammerflow import Hammerflow, HammerflowError, JobState, UniqueKey, chain
from hammerflow.admin.calls import WrongArguments
from hammerflow.admin.edits import edit_of_arguments
from hammerflow.errors import ConfigError
from hammerflow.jobs.job import Job
from hammerflow.results.result import Result
from hammerflow.stores.diagnosis.invariants import Invariants
from hammerflow.testing import drain


def edit(app: Hammerflow, job: Result[Any], *args: Any, **kwargs: Any) -> list[str]:
    (found,) = app.store.jobs.get_many([job.id.bytes])
    assert isinstance(found, Job)
    change = edit_of_arguments(app, found, args or None, kwargs or None, by="ann")
    return [*app.store.dead_letters.edit(job.id.bytes, change)[0]]


def damage(app: Hammerflow) -> list[Any]:
    store = app.store
    sweep = functools.partial(store.workers.sweep, lease=30.0, poison_limit=3)
    return Invariants(store.database, store.names, sweep=sweep, silent=30.0).find()


@pytest.mark.parametrize("fair", [{}, {"fair_by": "owner"}])
def test_limit_and_fairness_keys_follow_in_every_state(
    app: Hammerflow, fair: dict[str, Any]
) -> None:
    @app.task(name="t", max_concurrency=1, limit_key="owner", max_attempts=1, **fair)
    def work(owner: str, item: int) -> str:
        if owner == "bad":
            raise ValueError(owner)
        return owner

    failed = work.delay("bad", 1)
    drain(app)
    later = work.options(delay=3600).delay("ann", 3)
    ready = work.delay("ann", 2)
    chain(work.si("ann", 4), work.si("ann", 5)).delay()
    (waits,) = app.jobs(state=JobState.WAITING)

    for job in (failed, later, ready, app.result(waits.id)):
        assert edit(app, job, "bob", 6) == []
        keys = app.store.limits.keys(job.id.bytes)
        assert keys == ("bob", "bob" if fair else None)
    failed.retry()
    drain(app)

    assert failed.get(timeout=0) == "bob"
    assert ready.get(timeout=0) == "bob"
    assert app.result(waits.id).get(timeout=0) == "bob"
    assert later.state is JobState.SCHEDULED
    assert not damage(app)


def test_a_unique_key_follows_and_keeps_its_time(app: Hammerflow) -> None:
    rule = UniqueKey(by="customer", within=timedelta(hours=1), on_conflict="return_existing")

    @app.task(unique=rule, max_attempts=1)
    def sync(customer: int, page: int = 1) -> None:
        raise ValueError(customer)

    held, other = (sync.options(delay=3600).delay(n) for n in (1, 2))

    assert edit(app, held, 1, 5) == [] and not sync.delay(1).is_new
    assert edit(app, held, 3) == []
    with pytest.raises(HammerflowError, match=f"is held by job {other.id}"):
        edit(app, held, 2)
    assert sync.options(delay=3600).delay(3).id == held.id
    assert (again := sync.options(delay=3600).delay(1)).is_new
    rows = app.store.database.rows("unique_rows", ukeys=[_key(app, held)])
    assert [(bytes(row[1]), row[2]) for row in rows] == [(held.id.bytes, 0)]
    held.cancel()
    assert sync.options(delay=3600).delay(3).is_new
    assert again.state is JobState.SCHEDULED
    assert not damage(app)


def _key(app: Hammerflow, job: Result[Any]) -> str:
    place: str = app.store.database.rows("job_place", id=job.id.bytes)[0][3]
    return place


def test_the_key_of_a_job_that_has_ended_is_taken_by_its_replay(app: Hammerflow) -> None:
    @app.task(unique=UniqueKey(by="customer"), max_attempts=1)
    def sync(customer: int) -> None:
        raise ValueError(customer)

    dead, twin = sync.delay(1), sync.delay(2)
    drain(app)
    holder = sync.options(delay=3600).delay(2)

    assert edit(app, dead, 2) == [] and edit(app, twin, 3) == []
    with pytest.raises(HammerflowError, match=f"is held by job {holder.id}"):
        dead.retry()
    twin.retry()
    again = UniqueKey("customer", on_conflict="return_existing")
    assert sync.options(unique=again).delay(3).id == twin.id


def test_keys_that_the_task_does_not_make_stay_and_are_named(app: Hammerflow) -> None:
    prefixes = iter("abcdefgh")

    @app.task(
        name="t", max_concurrency=1, limit_key=lambda n: f"{next(prefixes)}{n}", unique=UniqueKey()
    )
    def work(n: int) -> None: ...

    by_hand = work.options(unique_key="k", delay=60).delay(1)
    own_rule = work.options(unique=UniqueKey(by=lambda n: 7), delay=60).delay(1)

    assert edit(app, by_hand, 2) == ["unique", "limit_key"]
    assert edit(app, own_rule, 2) == ["unique", "limit_key"]
    assert app.store.limits.keys(by_hand.id.bytes) == ("a1", None)
    assert _key(app, by_hand) == "k"


def test_arguments_that_make_no_key_or_are_of_another_type_are_refused(app: Hammerflow) -> None:
    @app.task(name="t", max_concurrency=1, limit_key="{order[id]}")
    def work(order: dict[str, int], page: int = 1) -> Any:
        return order

    job = work.options(delay=60).delay({"id": 1})
    with pytest.raises(ConfigError, match="limit_key failed for this call: KeyError"):
        edit(app, job, {})
    with pytest.raises(
        WrongArguments, match="t: order must be dict.*, not a list; page must be int"
    ):
        edit(app, job, [], page="one")
    assert app.store.limits.keys(job.id.bytes) == ("1", None)


def test_a_result_that_comes_first_is_not_checked(app: Hammerflow) -> None:
    @app.task
    def first() -> int:
        return 1

    @app.task
    def second(x: int, y: int) -> int:
        return x + y

    chain(first.s(), second.s(2)).delay()
    (waits,) = app.jobs(state=JobState.WAITING)
    with pytest.raises(WrongArguments, match="y must be int, not a list"):
        edit(app, app.result(waits.id), [])
    edit(app, app.result(waits.id), 5)
    drain(app)
    assert app.result(waits.id).get(timeout=0) == 6
