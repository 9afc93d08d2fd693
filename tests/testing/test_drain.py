"""Every way in which a job can end, by claim, execute and settle in this process."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from hammerflow import (
    Cancel,
    Hammerflow,
    HammerflowError,
    JobCancelled,
    JobFailed,
    JobState,
    Priority,
    Result,
    Retry,
    Signature,
    Snooze,
    SpawnConfig,
    SpawnContext,
    Spawner,
    constant,
    current_job,
)
from hammerflow.testing.drain import drain


@pytest.fixture
def app(migrated_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("inline", database=migrated_url, doorbell="none")
    yield app
    app.close()


def kinds(result: Result[Any]) -> list[str]:
    return [error.kind for error in result.job().errors]


# -- plain ends


def test_results_of_plain_and_async_functions(app: Hammerflow) -> None:
    @app.task
    def add(x: int, y: int = 1) -> int:
        return x + y

    @app.task
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    @app.task(store_result=False)
    def forgets() -> int:
        return 1

    results = [add.delay(2, y=3), double.delay(4), forgets.delay()]

    assert drain(app) == 3
    assert [result.get(timeout=0) for result in results] == [5, 8, None]
    assert {result.state for result in results} == {JobState.COMPLETED}


def test_a_failing_job_is_tried_again_until_its_attempts_are_over(app: Hammerflow) -> None:
    @app.task(max_attempts=3, backoff=constant(0))
    def fails(times: int) -> int:
        if current_job().attempt <= times:
            raise ValueError(f"attempt {current_job().attempt}")
        return current_job().attempt

    well, ill = fails.delay(2), fails.delay(3)
    short = fails.apply_async((2,), max_attempts=1)

    drain(app)

    assert well.get(timeout=0) == 3
    with pytest.raises(JobFailed, match="attempt 3") as caught:
        ill.get(timeout=0)
    assert caught.value.error_type == "builtins.ValueError"
    assert "in fails" in caught.value.traceback
    assert "executor.py" not in caught.value.traceback
    assert kinds(ill) == ["failed"] * 3
    assert kinds(short) == ["failed"]


def test_which_errors_are_tried_again(app: Hammerflow) -> None:
    @app.task(retry_on=(OSError, SystemExit), no_retry_on=FileNotFoundError, backoff=constant(0))
    def raises(kind: str) -> None:
        errors = {"os": OSError, "exit": SystemExit, "none": FileNotFoundError, "value": ValueError}
        raise errors[kind]("x")

    results = {kind: raises.delay(kind) for kind in ("os", "exit", "none", "value")}

    drain(app)

    assert {kind: len(kinds(result)) for kind, result in results.items()} == {
        "os": 3,
        "exit": 3,
        "none": 1,
        "value": 1,
    }


def test_a_body_chooses_its_end(app: Hammerflow) -> None:
    runs: list[int] = []

    @app.task(max_attempts=2)
    def chooses(how: str) -> str:
        runs.append(1)
        if how == "cancel":
            raise Cancel("customer is gone")
        if how == "snooze" and len(runs) < 4:
            raise Snooze(0)
        if how == "retry" and current_job().attempt == 1:
            raise Retry("not yet", after=0)
        if how == "nonsense":
            raise Snooze(-1)
        return f"attempt {current_job().attempt}"

    cancelled = chooses.delay("cancel")
    drain(app)
    snoozed = chooses.delay("snooze")
    drain(app)
    retried, wrong = chooses.delay("retry"), chooses.delay("nonsense")
    drain(app)

    with pytest.raises(JobCancelled, match="customer is gone"):
        cancelled.get(timeout=0)
    assert snoozed.get(timeout=0) == "attempt 1"
    assert kinds(snoozed) == []
    assert retried.get(timeout=0) == "attempt 2"
    assert kinds(retried) == ["failed"]
    with pytest.raises(JobFailed, match="Snooze"):
        wrong.get(timeout=0)


def test_a_retry_waits_for_its_time(app: Hammerflow) -> None:
    @app.task
    def later() -> None:
        raise Retry(after=3600)

    result = later.delay()

    assert drain(app) == 1
    assert result.state is JobState.SCHEDULED
    assert drain(app) == 0


def test_a_result_that_cannot_be_encoded_fails_at_once_and_says_why(app: Hammerflow) -> None:
    @app.task(backoff=constant(0))
    def strange() -> Any:
        return {"when": object()}

    result = strange.delay()
    drain(app)

    with pytest.raises(JobFailed, match=r"result\['when'\]"):
        result.get(timeout=0)
    assert len(kinds(result)) == 1


def test_an_expired_job_is_cancelled_unstarted(app: Hammerflow) -> None:
    @app.task
    def late() -> None:
        raise AssertionError("was started")

    result = late.apply_async(expires=0.0)
    drain(app)

    assert result.job().reason == "expired"
    assert result.state is JobState.CANCELLED


def test_what_cannot_be_decoded_is_parked_and_revived_by_hand(app: Hammerflow) -> None:
    @app.task
    def takes(x: Any) -> Any:
        return x

    result = takes.delay(1)
    job = app.new_job(takes.s(2))._replace(args=b"Zgarbage")
    (garbage,) = app.store.jobs.insert([job]).ids

    drain(app)

    parked = app.job(uuid.UUID(bytes=garbage))
    assert result.get(timeout=0) == 1
    assert parked.state is JobState.PARKED
    app.result(parked.id).retry()
    drain(app)
    assert app.job(parked.id).state is JobState.PARKED


def test_a_changed_signature_fails_the_attempt(app: Hammerflow) -> None:
    @app.task(max_attempts=1)
    def takes_one(x: int) -> int:
        return x

    of_yesterday = app.codec.encode_call((1, 2), {})
    job = app.new_job(takes_one.s(1))._replace(args=of_yesterday)
    result = app.result(uuid.UUID(bytes=app.store.jobs.insert([job]).ids[0]))
    drain(app)

    with pytest.raises(JobFailed, match="positional argument"):
        result.get(timeout=0)


def test_limit_and_queues_are_kept(app: Hammerflow) -> None:
    @app.task
    def work() -> None: ...

    for _ in range(5):
        work.delay()
    aside = work.options(queue="aside").delay()

    assert drain(app, limit=2, queues=["default"]) == 2
    assert drain(app, queues=["aside"]) == 1
    assert aside.state is JobState.COMPLETED
    assert drain(app) == 3


# -- what a body may know


def test_priorities_count_as_the_setting_says(sqlite_url: str) -> None:
    app = Hammerflow("inline", database=sqlite_url, doorbell="none", priorities="weighted")
    ran: list[str] = []

    @app.task
    def note(text: str) -> None:
        ran.append(text)

    for text, priority in [("background", 0)] * 5 + [("critical", 4)] * 21:
        note.options(priority=priority).delay(text)
    drain(app, limit=21)
    app.close()
    assert ran.count("background") == 1


def test_the_current_job(app: Hammerflow) -> None:
    seen: list[dict[str, Any]] = []

    @app.task
    def look(parent: bool = False) -> None:
        job = current_job()
        seen.append(
            {
                "id": job.id,
                "attempt": job.attempt,
                "parent": job.parent_id,
                "root": job.root_id,
                "depth": job.depth,
                "headers": dict(job.headers),
                "queue": job.queue,
                "task": job.task,
                "workflow": job.workflow_id,
                "key": job.idempotency_key,
            }
        )
        if parent:
            job.spawn(look.s())
        job.progress(0.5, "half")
        with pytest.raises(ValueError, match="from 0 to 1, not 2"):
            job.progress(2)
        with pytest.raises(HammerflowError, match="in_transaction"):
            _ = job.connection

    result = look.options(queue="mine", headers={"user": "ü"}).delay(parent=True)
    drain(app)

    root, child = seen
    assert root["id"] == root["root"] == result.id
    assert root["key"] == str(result.id)
    assert (root["queue"], root["headers"], root["attempt"]) == ("mine", {"user": "ü"}, 1)
    assert (root["parent"], root["depth"], root["workflow"]) == (None, 0, None)
    assert child["parent"] == child["root"] == result.id
    assert (child["depth"], child["queue"], child["headers"]) == (1, "default", {})
    assert result.job().progress_note == "half"
    with pytest.raises(HammerflowError, match="only inside a task's body"):
        current_job()


# -- spawners


def make_fan(app: Hammerflow, **options: Any) -> tuple[Spawner[..., Any], list[Any]]:
    totals: list[Any] = []

    @app.task(name="one")
    def one(x: int) -> int:
        return x

    @app.task(name="total")
    def total(results: list[int], label: str) -> int:
        totals.append((label, results))
        return sum(results)

    @app.spawner(name="fan", then=total.s("sum"), **options)
    def fan(n: int) -> Iterator[Signature]:
        for i in range(n):
            yield one.s(i)
        return n  # type: ignore[return-value]

    return fan, totals


@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_fan_in_runs_once_with_all_results_in_order(app: Hammerflow, n: int) -> None:
    fan, totals = make_fan(app)

    result = fan.delay(n)
    drain(app)

    children = result.children()
    assert result.get(timeout=0) == n
    assert totals == [("sum", list(range(n)))]
    assert [child.job().spawn_index for child in children] == [*range(n + 1)]
    assert children[-1].get(timeout=0) == sum(range(n))
    assert (app.store.jobs.spawn(result.id.bytes) or {})["spawned"] == n


def test_children_beyond_what_rides_are_streamed(app: Hammerflow) -> None:
    fan, totals = make_fan(app, max_spawn_count=6000)

    result = fan.delay(5500)
    drain(app, limit=1)

    assert result.get(timeout=0) == 5500
    indexes = [child.job().spawn_index for child in result.children()[-3:]]
    assert indexes == [5498, 5499, 5500]
    assert totals == []
    assert (app.store.jobs.spawn(result.id.bytes) or {})["spawned"] == 5500


def test_too_many_children_fail_the_job_at_once_with_nothing_inserted(app: Hammerflow) -> None:
    fan, _ = make_fan(app, max_spawn_count=3, max_attempts=2, backoff=constant(0))

    result, allowed = fan.delay(4), fan.options(spawn=SpawnConfig(max_spawn_count=4)).delay(4)
    drain(app)

    with pytest.raises(JobFailed, match="max_spawn_count=3"):
        result.get(timeout=0)
    assert result.children() == []
    assert kinds(result) == ["failed"]
    assert len(allowed.children()) == 5


def test_depth_is_limited(app: Hammerflow) -> None:
    @app.spawner(name="deeper", max_depth=3, max_attempts=1)
    def deeper() -> Iterator[Signature]:
        yield app.signature("deeper")

    root = deeper.delay()
    assert drain(app) == 4

    deepest = max(app.jobs(), key=lambda job: job.depth)
    assert (deepest.depth, deepest.state) == (3, JobState.FAILED)
    assert "max_depth=3" in app.job(deepest.id).errors[0].message
    assert root.state is JobState.COMPLETED


def test_hooks_may_refuse_a_run_and_hear_of_its_children(app: Hammerflow) -> None:
    heard: list[SpawnContext] = []

    def no_negatives(context: SpawnContext) -> None:
        if context.args[0] < 0:
            raise ValueError("negative")

    fan, _ = make_fan(app, validate=no_negatives, on_spawn_complete=heard.append, max_attempts=1)

    refused, good = fan.delay(-1), fan.delay(2)
    drain(app)

    with pytest.raises(JobFailed, match="negative"):
        refused.get(timeout=0)
    assert refused.children() == []
    (context,) = heard
    assert (context.job_id, context.spawned, context.args) == (good.id, 2, (2,))
    assert [str(child.id) for child in good.children()[:2]] == list(
        map(str, context.children or ())
    )


def test_children_inherit_what_the_configuration_says(app: Hammerflow) -> None:
    @app.task(name="plain")
    def plain() -> None: ...

    @app.task(name="own", queue="own", priority=Priority.LOW)
    def own() -> None: ...

    @app.spawner(inherit_queue=True, inherit_timeout=True, spawn_delay=60, timeout=9)
    def parent() -> Iterator[Signature]:
        yield plain.s()
        yield own.s()
        yield plain.s().set(queue="third", priority=Priority.CRITICAL)

    result = parent.options(queue="mine", priority=Priority.HIGH).delay()
    drain(app, limit=1)

    first, second, third = (child.job() for child in result.children())
    assert (first.queue, first.priority, first.options["timeout"]) == ("mine", 3, 9)
    assert (second.queue, second.priority) == ("own", 1)
    assert (third.queue, third.priority) == ("third", 4)
    assert first.state is JobState.READY
    assert second.state is third.state is JobState.SCHEDULED
    assert second.run_at is not None
    assert third.run_at is not None
    assert 55 < (third.run_at - second.run_at).total_seconds() < 65


def test_async_spawners_and_wrong_ones(app: Hammerflow) -> None:
    @app.task(name="one")
    def one(x: int) -> int:
        return x

    @app.spawner
    async def generator() -> AsyncIterator[Signature]:
        for i in range(3):
            await asyncio.sleep(0)
            yield one.s(i)

    @app.spawner
    async def listing() -> list[Signature]:
        return [one.s(7)]

    @app.spawner(max_attempts=1)
    def wrong() -> Iterator[Any]:
        yield 3

    good, short, bad = generator.delay(), listing.delay(), wrong.delay()
    drain(app)

    assert [child.get(timeout=0) for child in good.children()] == [0, 1, 2]
    assert [child.get(timeout=0) for child in short.children()] == [7]
    with pytest.raises(JobFailed, match="signature"):
        bad.get(timeout=0)


def test_a_plain_task_spawns_by_the_way_all_or_none(app: Hammerflow) -> None:
    @app.task(name="one")
    def one(x: int) -> int:
        return x

    @app.task(max_attempts=2, backoff=constant(0))
    def by_the_way() -> str:
        ids = [current_job().spawn(one.s(i)) for i in range(3)]
        if current_job().attempt == 1:
            raise ValueError("after spawning")
        return ",".join(map(str, ids))

    result = by_the_way.delay()
    drain(app)

    children = result.children()
    assert [child.get(timeout=0) for child in children] == [0, 1, 2]
    assert result.get(timeout=0) == ",".join(str(child.id) for child in children)


# -- in the job's own transaction


def test_a_transactional_body_commits_with_its_end_or_not_at_all(app: Hammerflow) -> None:
    @app.task(name="one")
    def one(x: int) -> int:
        return x

    @app.task(in_transaction=True, max_attempts=2, backoff=constant(0))
    def pays(fail: bool, result: Any = None) -> Any:
        assert current_job().connection is not None
        current_job().spawn(one.s(1))
        one.delay(2)
        if fail:
            raise ValueError("declined")
        return result

    good, bad = pays.delay(False, 5), pays.delay(True)
    drain(app)

    assert good.get(timeout=0) == 5
    assert [child.get(timeout=0) for child in good.children()] == [1]
    assert bad.state is JobState.FAILED
    assert bad.children() == []
    assert len(app.jobs(task="one")) == 2, "the failed run's job was rolled back"


def test_a_transactional_body_that_lost_its_lease_changes_nothing(app: Hammerflow) -> None:
    runs: list[int] = []

    @app.task(name="one")
    def one() -> None: ...

    @app.task(in_transaction=True)
    def slow() -> str:
        runs.append(1)
        if len(runs) == 1:
            (job,) = app.store.jobs.list(state=JobState.RUNNING)
            _take_lease_away(app, job.id.bytes)
            one.delay()
        return "done"

    result = slow.delay()
    if app.store.dialect == "sqlite":
        pytest.skip(
            "SQLite has one writer: nobody takes a lease while a body's transaction is open"
        )
    drain(app)

    assert result.state is JobState.RUNNING, "held by the one who took it over"
    assert app.jobs(task="one") == []


def _take_lease_away(app: Hammerflow, job_id: bytes) -> None:
    """What a sweep and another worker's claim would do, while this worker was silent."""

    def work(tx: Any) -> None:
        cursor = tx.connection.cursor()
        cursor.execute(
            f"UPDATE {app.settings.prefix}leases SET lease = lease + 1 WHERE job_id = %s",
            (uuid.UUID(bytes=job_id) if app.store.dialect == "postgres" else job_id,),
        )

    app.store.database.unit(work)


def test_a_body_that_closes_the_app_leaves_no_connection_open(sqlite_url: str) -> None:
    app = Hammerflow("closing", database=sqlite_url, doorbell="none")
    app.migrate()
    store = app.store  # held: collecting it would close its connections, with a warning

    @app.task
    def close() -> None:
        app.close()

    close.delay()
    drain(app)
    app.close()

    path = app.settings.url.database
    opened = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    assert path not in opened, store
