"""Tasks with fair_by: which key a call has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow, chain
from hammerflow.jobs.limit import is_fair
from hammerflow.testing.drain import drain


@pytest.fixture
def app(migrated_database: Callable[[str], str]) -> Iterator[Hammerflow]:
    app = Hammerflow("fair", database=migrated_database("sqlite"), doorbell="none")
    yield app
    app.close()


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ("tenant", "ann"),
        ("{tenant}", "ann"),
        ("{tenant}-{n}", "ann-7"),
        (lambda tenant, n=7: f"{tenant}{n}", "ann7"),
    ],
)
def test_a_key_is_made_of_the_arguments(app: Hammerflow, rule: Any, key: str) -> None:
    @app.task(fair_by=rule, name="work")
    def work(tenant: str, n: int = 7) -> str:
        return tenant

    result = work.delay("ann")
    assert app.store.limits.keys(result.id.bytes) == (None, key)
    drain(app)
    assert result.get(timeout=0) == "ann"
    assert app.store.limits.list() == []  # it limits nothing


def test_both_keys_are_kept(app: Hammerflow) -> None:
    @app.task(max_concurrency=1, limit_key="region", fair_by="tenant", name="work")
    def work(tenant: str, region: str) -> list[str]:
        return [limit.key for limit in app.store.limits.list()]

    result = work.delay("ann", "eu")
    assert app.store.limits.keys(result.id.bytes) == ("eu", "ann")
    drain(app)
    assert result.get(timeout=0) == ["eu"]


@pytest.mark.parametrize("rule", [lambda n: None, lambda n: 1 / 0, lambda n: ""])
def test_a_call_without_a_key_is_refused(app: Hammerflow, rule: Any) -> None:
    @app.task(fair_by=rule, name="t")
    def work(n: int) -> None: ...

    with pytest.raises(ConfigError, match="task t: fair_by"):
        work.delay(1)
    with pytest.raises(ConfigError, match="task t has a fair_by.*send a group"):
        work.map([1, 2]).delay()


def test_an_option_that_names_no_argument_is_refused(app: Hammerflow) -> None:
    with pytest.raises(ConfigError, match="fair_by '{m}' names 'm', but the function"):

        @app.task(name="t", fair_by="m")
        def work(n: int) -> None: ...


def test_a_key_cannot_come_from_another_jobs_result(app: Hammerflow) -> None:
    @app.task(fair_by="n", name="t")
    def work(n: int) -> int:
        return n

    with pytest.raises(ConfigError, match="task t: fair_by"):
        chain(work.s(1), work.s()).delay()


def test_children_and_members_have_their_turns(app: Hammerflow) -> None:
    @app.task(fair_by="tenant", name="work")
    def work(tenant: str, before: Any = None) -> str:
        return tenant

    @app.spawner
    def many() -> Iterator[Any]:
        yield work.s("a")
        yield work.s("b")

    chained = chain(work.si("c"), work.si("d")).delay()
    many.delay()
    drain(app)
    assert chained.get(timeout=0) == "d"
    rows = app.store.database.read(
        lambda tx: tx.connection.execute(
            f"SELECT fair_key, lane FROM {app.store.database.dialect.macros['jobs']} "
            "WHERE fair_key IS NOT NULL"
        ).fetchall()
    )
    assert sorted(key for key, _ in rows) == ["a", "b", "c", "d"]
    assert all(is_fair(lane) for _, lane in rows)
