"""Tasks with limits: which key a call has, and that it keeps it through claim and settle."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow, JobState, UniqueKey, chain, constant, group
from hammerflow.testing.drain import drain


@pytest.fixture
def app(migrated_database: Callable[[str], str]) -> Iterator[Hammerflow]:
    app = Hammerflow("limited", database=migrated_database("sqlite"), doorbell="none")
    yield app
    app.close()


def keys(app: Hammerflow) -> dict[str, int]:
    """How many jobs wait or run, by their keys."""
    return {status.key: status.running + status.waiting for status in app.store.limits.list()}


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ("{customer}", "ann"),
        ("{customer}-{amount}", "ann-7"),
        (lambda customer, amount: customer.upper(), "ANN"),
        (lambda customer, amount: amount, "7"),
    ],
)
def test_a_key_is_made_of_the_arguments(app: Hammerflow, rule: Any, key: str) -> None:
    @app.task(max_concurrency=1, limit_key=rule, name="book")
    def book(customer: str, amount: int = 7) -> list[str]:
        return [*keys(app)]

    result = book.delay("ann", amount=7)
    drain(app)

    assert result.get(timeout=0) == [key]


def test_a_key_is_computed_once(app: Hammerflow) -> None:
    numbers = itertools.count()

    @app.task(max_concurrency=1, limit_key=lambda n: next(numbers), name="t", backoff=constant(0))
    def work(n: int) -> None:
        raise ValueError(n)

    result = work.delay(1)
    drain(app)

    assert result.wait(timeout=0) is JobState.FAILED
    assert result.job().attempt == 3
    assert next(numbers) == 1


@pytest.mark.parametrize(
    "rule", [lambda n: None, lambda n: 1 / 0, lambda n: [n], lambda n: "", lambda n: 10**5_000]
)
def test_a_call_without_a_key_is_refused(app: Hammerflow, rule: Any) -> None:
    @app.task(max_concurrency=1, limit_key=rule, name="t")
    def work(n: int) -> None: ...

    with pytest.raises(ConfigError, match="task t: limit_key"):
        work.delay(1)
    assert not app.jobs()


@pytest.mark.parametrize("option", ["limit_key", "fair_by"])
@pytest.mark.parametrize(
    ("rule", "order", "words"),
    [
        ("order", None, "a part of it is None"),
        ("{order[customer]}", {"customer": None}, "a part of it is None"),
        ("{order[customer]!s}", {"customer": None}, "a part of it is None"),
        ("{order[customer]}", {}, "KeyError: 'customer'"),
        ("{order.upper}", "x", "its part of type builtin_function_or_method has no text"),
    ],
)
def test_a_key_with_a_part_that_is_missing_is_refused(
    app: Hammerflow, option: str, rule: str, order: Any, words: str
) -> None:
    rules: Any = {option: rule}

    @app.task(max_concurrency=1, name="t", **rules)
    def work(order: Any) -> None: ...

    with pytest.raises(ConfigError, match=f"{option} failed for this call: .*{words}"):
        work.delay(order)
    assert not app.jobs()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_concurrency": 1, "limit_key": "{m}"}, "names 'm', but the function"),
        ({"max_concurrency": 1, "limit_key": "all"}, "names 'all', but the function"),
        ({"max_concurrency": 1, "limit_key": "a b"}, "a template over the arguments"),
        ({"max_concurrency": 1, "limit_key": "{}"}, "a template over the arguments"),
        (
            {"max_concurrency": 1, "limit_key": lambda m, o: m},
            r"takes .* \(n\), but it .* \(m, o\)",
        ),
        (
            {"fair_by": lambda *, m: m},
            r"fair_by must be a function that takes .*\(n\), but it takes",
        ),
        ({"limit_key": "{n}"}, "limit_key needs rate_limit or max_concurrency"),
        ({"rate_limit": "100"}, 'rate_limit must be a rate such as "100/m"'),
        ({"max_concurrency": 0}, "max_concurrency must be a whole number from 1"),
    ],
)
def test_an_option_that_limits_nothing_is_refused(
    app: Hammerflow, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):

        @app.task(name="t", **options)
        def work(n: int) -> None: ...


@pytest.mark.parametrize(
    "rule", [lambda n: n, lambda *a, **k: "x", lambda n, page=1: n, lambda n, /, *_: n, str]
)
def test_a_function_that_takes_the_arguments_of_some_call_is_a_key(
    app: Hammerflow, rule: Any
) -> None:
    @app.task(name="t", max_concurrency=1, limit_key=rule, fair_by=rule, unique=UniqueKey(by=rule))
    def work(n: str, page: int = 1) -> None: ...

    assert work.delay("a").is_new


def test_calls_of_every_kind_are_limited(app: Hammerflow) -> None:
    used: set[str] = set()

    @app.task(max_concurrency=1, limit_key="{k}", name="t")
    def work(before: Any, k: str = "x") -> str:
        used.update(keys(app))
        return k

    @app.spawner
    def many() -> Iterator[Any]:
        yield work.s(None, k="a")
        yield group(work.s(None, k="b") for _ in range(2))

    chained = chain(work.s(None, k="c"), work.s(k="d")).delay()
    many.delay()
    app.enqueue_many(work.s(None, k="e") for _ in range(2))
    app.signature("t", args=(None,)).delay()
    drain(app)

    assert chained.get(timeout=0) == "d"
    assert {job.state for job in app.jobs()} == {JobState.COMPLETED}
    assert used == {"a", "b", "c", "d", "e", "x"}


def test_a_key_cannot_come_from_another_jobs_result(app: Hammerflow) -> None:
    @app.task(max_concurrency=1, limit_key="{n}", name="t")
    def work(n: int) -> int:
        return n

    with pytest.raises(ConfigError, match="task t: limit_key"):
        chain(work.s(1), work.s()).delay()
    with pytest.raises(ConfigError, match="send a group"):
        work.map([1, 2]).delay()


def test_jobs_that_wait_for_a_rate_stay(app: Hammerflow) -> None:
    @app.task(rate_limit="1/h burst 2")
    def work(n: int) -> None: ...

    results = [work.delay(n) for n in range(3)]

    assert drain(app) == 2
    assert [result.state for result in results] == ["completed", "completed", "ready"]


def test_a_limit_that_the_code_drops_ends_with_the_next_worker(app: Hammerflow) -> None:
    @app.task(rate_limit="1/h", name="t")
    def work(n: int) -> None: ...

    results = [work.delay(n) for n in range(3)]
    assert drain(app) == 1
    newer = Hammerflow("limited", database=app.settings.database, doorbell="none")
    newer.task(lambda n: None, name="t")
    assert drain(newer) == 2
    newer.close()
    assert {result.state for result in results} == {"completed"}
