"""Jobs run to their end in this process, on every database: results, errors, spawning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow import (
    Cancel,
    Hammerflow,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobState,
    Priority,
    Retry,
    Signature,
    Snooze,
    SpawnConfig,
    SpawnContext,
    constant,
    current_job,
)
from hammerflow.testing import drain


def test_a_result_travels_back(app: Hammerflow) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task
    async def twice(x: int) -> tuple[int, int]:
        return x, x

    results = [add.delay(2, 3), twice.delay(4)]
    assert drain(app) == 2
    assert [result.get(timeout=5) for result in results] == [5, (4, 4)]


def test_an_unknown_id_is_not_pending_but_unknown(app: Hammerflow) -> None:
    result = app.result("01a1fc00-8365-7009-a220-101660e9df48")
    with pytest.raises(JobNotFound, match="01a1fc00"):
        result.get(timeout=1)
    with pytest.raises(JobNotFound, match="not a job id"):
        app.result("garbage")


def test_get_times_out_and_the_job_goes_on(app: Hammerflow) -> None:
    @app.task
    def slow() -> int:
        return 1

    result = slow.delay()
    with pytest.raises(TimeoutError, match="has not ended within"):
        result.get(timeout=0.01)
    drain(app)
    assert result.get(timeout=1) == 1


def test_the_remote_error_comes_back_with_its_history(app: Hammerflow) -> None:
    @app.task(max_attempts=2, backoff=constant(0))
    def divide(x: int) -> float:
        return x / 0

    result = divide.delay(7)
    drain(app)
    with pytest.raises(JobFailed, match="division by zero") as caught:
        result.get(timeout=1)
    assert caught.value.error_type == "builtins.ZeroDivisionError"
    assert "return x / 0" in caught.value.traceback
    job = result.job()
    assert [(e.attempt, e.kind) for e in job.errors] == [(1, "failed"), (2, "failed")]

    result.retry()
    assert result.job().attempt == 0
    drain(app)
    assert [e.kind for e in result.job().errors].count("failed") == 4


def test_a_body_chooses_its_end(app: Hammerflow) -> None:
    @app.task(max_attempts=5)
    def choose(how: str) -> str:
        match how, current_job().attempt:
            case "cancel", _:
                raise Cancel("customer is gone")
            case "snooze", _:
                raise Snooze(60)
            case "retry", 1:
                raise Retry(after=0)
            case _:
                return "done"

    cancelled, snoozed, retried = (choose.delay(how) for how in ("cancel", "snooze", "retry"))
    drain(app)
    with pytest.raises(JobCancelled, match="customer is gone"):
        cancelled.get(timeout=1)
    assert (snoozed.state, snoozed.job().attempt) == (JobState.SCHEDULED, 0)
    assert retried.get(timeout=1) == "done"
    assert retried.job().attempt == 2


def test_no_retry_on_fails_at_once(app: Hammerflow) -> None:
    @app.task(no_retry_on=KeyError)
    def look(key: str) -> None:
        raise KeyError(key)

    result = look.delay("a")
    drain(app)
    assert (result.state, result.job().attempt) == (JobState.FAILED, 1)


def test_a_result_that_cannot_be_encoded_fails_with_its_path(app: Hammerflow) -> None:
    @app.task
    def odd() -> dict[str, Any]:
        return {"when": object()}

    result = odd.delay()
    drain(app)
    with pytest.raises(JobFailed, match=r"\['when'\]"):
        result.get(timeout=1)


def test_an_expired_job_does_not_start(app: Hammerflow) -> None:
    @app.task
    def late() -> None:
        raise AssertionError("must not run")

    result = late.apply_async(expires=0)
    drain(app)
    with pytest.raises(JobCancelled, match="expired"):
        result.get(timeout=1)


@pytest.mark.parametrize("count", [0, 3, 6_000])
def test_children_and_their_fan_in(app: Hammerflow, count: int) -> None:
    @app.task
    def square(x: int) -> int:
        return x * x

    @app.task
    def total(squares: list[int], extra: int) -> int:
        assert squares == [i * i for i in range(count)]
        return sum(squares) + extra

    @app.spawner(then=total.s(extra=1), max_spawn_count=10_000)
    def squares(n: int) -> Iterator[Signature]:
        for i in range(n):
            yield square.s(i)

    result = squares.delay(count)
    drain(app)
    *children, then = result.children()
    assert len(children) == count
    assert then.get(timeout=5) == sum(i * i for i in range(count)) + 1
    assert app.store.jobs.spawn(result.id.bytes)["spawned"] == count  # type: ignore[index]
    if children:
        job = children[-1].job()
        assert (job.parent_id, job.root_id, job.depth) == (result.id, result.id, 1)
        assert job.spawn_index == count - 1


def test_too_many_children_fail_the_attempt_with_nothing_inserted(app: Hammerflow) -> None:
    @app.task
    def leaf() -> None: ...

    @app.spawner(max_spawn_count=3, max_attempts=1)
    def wide() -> Iterator[Signature]:
        for _ in range(4):
            yield leaf.s()

    result = wide.delay()
    drain(app)
    with pytest.raises(JobFailed, match="max_spawn_count"):
        result.get(timeout=1)
    assert len(app.jobs()) == 1


def test_depth_is_limited(app: Hammerflow) -> None:
    @app.spawner(max_depth=3, max_attempts=1)
    def dig() -> Iterator[Signature]:
        yield dig.s()

    dig.delay()
    drain(app)
    states = [(job.depth, job.state) for job in reversed(app.jobs())]
    assert states == [(0, "completed"), (1, "completed"), (2, "completed"), (3, "failed")]


def test_children_inherit_by_rule_and_hooks_see_the_spawn(app: Hammerflow) -> None:
    seen: list[SpawnContext] = []

    @app.task
    def leaf() -> None: ...

    @app.task(priority=Priority.LOW, queue="own")
    def stubborn() -> None: ...

    def validate(context: SpawnContext) -> None:
        if context.kwargs.get("refuse"):
            raise ValueError("not today")

    @app.spawner(
        inherit_queue=True,
        inherit_timeout=True,
        spawn_delay=30,
        validate=validate,
        on_spawn_complete=seen.append,
        operation_id="op-1",
        metadata={"bucket": "b"},
        timeout=9,
        max_attempts=1,
    )
    def parent(refuse: bool = False) -> Iterator[Signature]:
        yield leaf.s()
        yield stubborn.s()

    result = parent.apply_async(queue="fast", priority=Priority.HIGH)
    refused = parent.apply_async(kwargs={"refuse": True})
    drain(app, queues=["fast", "default"])

    first, second = (child.job() for child in result.children())
    assert (first.queue, first.priority, first.options["timeout"]) == ("fast", Priority.HIGH, 9.0)
    assert (second.queue, second.priority) == ("own", Priority.LOW)
    assert second.state is JobState.SCHEDULED
    spawn = app.store.jobs.spawn(result.id.bytes)
    assert spawn is not None
    assert (spawn["operation_id"], spawn["metadata"]) == ("op-1", {"bucket": "b"})
    assert [context.spawned for context in seen] == [2]
    assert refused.state is JobState.FAILED and refused.children() == []


def test_a_call_may_bring_a_spawn_config_of_its_own(app: Hammerflow) -> None:
    @app.task
    def leaf() -> None: ...

    @app.spawner(max_attempts=1)
    def pair() -> Iterator[Signature]:
        yield leaf.s()
        yield leaf.s()

    result = pair.apply_async(spawn=SpawnConfig(max_spawn_count=1))
    drain(app)
    assert result.state is JobState.FAILED


def test_an_ordinary_task_spawns_too_and_a_failed_attempt_leaves_no_child(app: Hammerflow) -> None:
    @app.task
    def leaf(n: int) -> int:
        return n

    @app.task(backoff=constant(0))
    def flaky() -> str:
        current_job().spawn(leaf.s(current_job().attempt))
        if current_job().attempt == 1:
            raise ValueError("after the spawn")
        return "ok"

    result = flaky.delay()
    drain(app)
    assert result.get(timeout=1) == "ok"
    assert [child.get(timeout=1) for child in result.children()] == [2]


def test_a_failed_child_skips_the_fan_in(app: Hammerflow) -> None:
    @app.task(max_attempts=1)
    def fail(x: int) -> None:
        raise ValueError(x)

    @app.task
    def never(results: list[Any]) -> None: ...

    @app.spawner(then=never.s())
    def parent() -> Iterator[Signature]:
        yield fail.s(1)
        yield fail.s(2)

    result = parent.delay()
    drain(app)
    then = result.children()[-1]
    assert (then.state, then.job().dependency_status) == (JobState.SKIPPED, "failed")
    assert then.job().reason == "2 of its dependencies did not complete"
    with pytest.raises(JobFailed, match="ValueError"):  # what the first of them failed with
        then.get(timeout=1)


def test_in_transaction_commits_the_bodys_writes_with_its_end(app: Hammerflow) -> None:
    with app.transaction() as tx:
        tx.execute("CREATE TABLE paid (id INTEGER)")

    @app.task
    def receipt(order: int) -> int:
        return order

    @app.task(in_transaction=True, max_attempts=2, backoff=constant(0))
    def charge(order: int) -> str:
        cursor = current_job().connection.cursor()
        cursor.execute(f"INSERT INTO paid VALUES ({order})")
        receipt.delay(order)
        if order == 2:
            raise ValueError("card refused")
        return "charged"

    good, bad = charge.delay(1), charge.delay(2)
    drain(app)
    assert good.get(timeout=1) == "charged"
    assert bad.state is JobState.FAILED
    with app.transaction() as tx:
        assert [tuple(r) for r in tx.execute("SELECT id FROM paid").fetchall()] == [(1,)]
    receipts = [job for job in app.jobs() if job.task == receipt.name]
    assert len(receipts) == 1
