"""map, starmap and chunks: jobs of the task itself, with its options, its checks and its kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    Hammerflow,
    JobFailed,
    JobState,
    NotEncodable,
    Signature,
    SpawnConfig,
    SpawnContext,
    chain,
    constant,
    current_job,
    group,
)
from hammerflow.testing import drain


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_mapped_call_is_a_job_of_its_task_with_all_its_options(
    app: Hammerflow, seen: list[Any], kind: str
) -> None:
    options: dict[str, Any] = {
        "name": "shop.resize", "queue": "images", "priority": 3, "timeout": 60, "max_attempts": 2,
        "backoff": constant(0), "expires": 600, "serializer": "json",
    }  # fmt: skip

    def resize(n: int, size: int = 1) -> int:
        job = current_job()
        seen.append((job.task, job.queue, job.attempt))
        if n == 13 and job.attempt == 1:
            raise ConnectionError("try again")
        return n * size

    async def aresize(n: int, size: int = 1) -> int:
        return resize(n, size)

    task = app.task(**options)(resize if kind == "sync" else aresize)
    results = [
        task.map([1, 2]).delay(),
        task.starmap([(3, 2), [4]]).delay(),
        *task.chunks([(13,), (5, 5), (6,)], 2).delay(),
        task.map([7]).set(queue="other", priority=1).delay(),
        task.map([]).delay(),
    ]
    jobs = [result.job() for result in results]
    assert {job.task for job in jobs} == {"shop.resize"}
    assert [job.queue for job in jobs] == [*["images"] * 4, "other", "images"]
    assert [int(job.priority) for job in jobs] == [3, 3, 3, 3, 1, 3]
    drain(app)
    expected = [[1, 2], [6, 4], [13, 25], [6], [7], []]
    assert [result.get(timeout=1) for result in results] == expected
    assert {(name, queue) for name, queue, _ in seen} == {
        ("shop.resize", "images"), ("shop.resize", "other"),
    }  # fmt: skip
    assert results[2].job().attempt == 2


def test_a_mapped_call_runs_in_its_transaction_and_obeys_its_other_options(app: Hammerflow) -> None:
    @app.task(in_transaction=True, max_attempts=1)
    def pay(n: int) -> int:
        current_job().connection.cursor().execute(f"INSERT INTO payments VALUES ({n})")
        if n == 3:
            raise ValueError("no")
        return n

    @app.task(store_result=False)
    def quiet(n: int) -> int:
        return n

    with app.transaction() as tx:
        tx.connection.cursor().execute("CREATE TABLE payments (n INTEGER)")
    paid, failed, unstored = (
        pay.map([1, 2]).delay(), pay.map([1, 3]).delay(), quiet.map([1]).delay(),
    )  # fmt: skip
    drain(app)
    assert (paid.get(timeout=1), unstored.get(timeout=1)) == ([1, 2], None)
    with pytest.raises(JobFailed, match="no"):
        failed.get(timeout=1)
    assert failed.job().attempt == 1
    with app.transaction() as tx:
        cursor = tx.connection.cursor()
        cursor.execute("SELECT n FROM payments ORDER BY n")
        assert [row[0] for row in cursor.fetchall()] == [1, 2]


def test_a_mapped_call_works_wherever_a_call_does(app: Hammerflow) -> None:
    @app.task
    def add(x: int, y: int = 1) -> int:
        return x + y

    @app.task
    def total(values: list[Any]) -> Any:
        return values

    @app.spawn_handler("each")
    def each(context: SpawnContext) -> Iterator[Signature]:
        yield from (add.s(n) for n in context.result)

    @app.spawner(then=total.s(), inherit_queue=True)
    def parent() -> Any:
        yield add.map([1, 2])
        yield chain(add.s(1), add.map([3]).set(unique_key="k"))

    @app.task
    def replaced() -> Any:
        current_job().replace(add.starmap([[5, 5]]))

    spawned = add.map([1, 2]).set(spawn=SpawnConfig(handler="each")).delay()
    results = [
        chain(add.map([1, 2]), total.s()).delay(),
        group(add.map([1]), add.s(1)).delay(),
        replaced.delay(),
        app.batch([add.map([7])]).enqueue(),
        parent.delay(),
    ]
    [many] = app.enqueue_many([add.map([8])])
    drain(app)
    *plain, parent_result = results
    assert [r.get(timeout=1) for r in plain] == [[2, 3], [[2], 2], [10], [[8]]]
    assert many.get(timeout=1) == [9]
    assert parent_result.children()[-1].get(timeout=1) == [[2, 3], [4]]
    assert spawned.get(timeout=1) == [2, 3]
    assert [child.get(timeout=1) for child in spawned.children()] == [3, 4]
    assert all(job.state is JobState.COMPLETED for job in app.jobs())


def test_wrong_items_are_refused_with_their_path_before_anything_is_written(
    app: Hammerflow,
) -> None:
    @app.task
    def add(x: int, y: int = 1) -> int:
        return x + y

    @app.spawner
    def spawns(n: int) -> Iterator[Signature]:
        yield add.s(n)

    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda: add.starmap([(1, 2), (1, 2, 3)]).delay(), TypeError, r"items\[1\]: add\(\) takes"),
        (lambda: add.chunks([(1,), (2,), (3,), ()], 2), TypeError, r"items\[3\]: .* missing"),
        (lambda: add.chunks([(1,), (2,), 3], 2), TypeError, r"items\[2\] must be a list of arg"),
        (lambda: group(add.starmap([()])).delay(), TypeError, r"items\[0\]: add\(\) missing"),
        (lambda: add.starmap([(1,), 2]), TypeError, r"items\[1\] .*list of arguments, not 2"),
        (lambda: add.starmap(["ab"]), TypeError, r"items\[0\] .*list of arguments, not 'ab'"),
        (lambda: add.map(3), TypeError, "items must be an iterable, not 3"),
        (lambda: add.map([1, object()]).delay(), NotEncodable, r"args\[0\]\[1\]\[0\]"),
        (lambda: spawns.map([1]), ConfigError, "spawner .*spawns.* group"),
        (lambda: spawns.chunks([[1]], 1), ConfigError, "spawner .*spawns.* group"),
        (lambda: add.chunks([(1, 1)], 0), ConfigError, "from 1 to 1000000000, not 0"),
    ]  # fmt: skip
    for call, error, sentence in wrong:
        with pytest.raises(error, match=sentence):
            call()
    assert not app.jobs()
