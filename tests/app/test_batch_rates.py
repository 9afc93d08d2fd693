"""The rate of a batch: over all its calls and workers, changed while it runs, gone at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow, JobState, Task, WorkflowInvalid
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import RATE, Limit
from hammerflow.jobs.outcome import Completed, Failed, Failure
from hammerflow.stores.store import Store
from tests.stores.kit import desk_at

_FAILURE = Failure("failed", "ValueError", "no", "")


@pytest.fixture
def work(app: Hammerflow) -> Task[..., Any]:
    @app.task(max_attempts=1)
    def work(n: int) -> int:
        return n

    @app.task(name="other")
    def other(n: int) -> int:
        return n

    return work


def claim(app: Hammerflow, store: Store | None = None, worker: int = 1) -> list[Claimed]:
    ids = [name_id(name) for name in app.tasks]
    claim = (store or app.store).jobs.claim
    return claim(worker, queue="default", task_ids=ids, limit=50, thorough=True)


def pass_time(app: Hammerflow, seconds: float) -> None:
    """Let the starts so far lie further back."""
    with desk_at(app.settings.database) as desk:
        desk.sql(f"UPDATE {{limit_keys}} SET tat = tat - {seconds}")


def targets(app: Hammerflow) -> list[str]:
    return [limit.target for limit in app.store.limits.list()]


def sent(app: Hammerflow, work: Task[..., Any], count: int, rate: str = "1/m burst 2") -> Any:
    """A batch of calls of two tasks, next to other work."""
    calls = [(work, app.tasks["other"])[n % 2].s(n) for n in range(count)]
    return app.batch(calls, rate_limit=rate).enqueue()


def end(app: Hammerflow, jobs: list[Claimed], *, failed: bool = False) -> None:
    outcome = Failed(_FAILURE) if failed else Completed(b"M\x01")
    app.store.jobs.settle(1, [(job, outcome) for job in jobs])


def test_all_calls_start_at_the_rate_and_others_go_ahead(
    app: Hammerflow, work: Task[..., Any]
) -> None:
    batch = sent(app, work, 5)
    free = [work.delay(n).id.bytes for n in range(3)]

    first = claim(app)
    assert len(first) == 5 and {job.id for job in first} >= {*free}
    assert claim(app) == []
    pass_time(app, 60)
    assert len(claim(app)) == 1
    (limit,) = app.store.limits.list()
    assert (limit.target, str(limit.limit)) == (f"batch:{batch.id}", "1/m burst 2")
    assert (limit.running, limit.waiting) == (3, 2)


def test_concurrent_workers_share_the_rate(app: Hammerflow, work: Task[..., Any]) -> None:
    sent(app, work, 40, "1/m burst 7")
    claimed: list[Claimed] = []
    start = threading.Barrier(3)

    def run(worker: int) -> None:
        with desk_at(app.settings.database) as desk:
            start.wait()
            for _ in range(5):
                claimed.extend(claim(app, desk.store, worker))

    threads = [threading.Thread(target=run, args=(n,)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed += claim(app)
    assert len({job.id for job in claimed}) == len(claimed) == 7


@pytest.mark.parametrize("change", ["give", "remove"])
def test_the_rate_is_changed_and_removed_while_it_runs(
    app: Hammerflow, work: Task[..., Any], change: str
) -> None:
    batch, limits = sent(app, work, 6, "1/d"), app.store.limits
    assert len(claim(app)) == 1
    if change == "give":
        limits.give("batch", str(batch.id), Limit(RATE.read("9/s burst 9"), None), by="ann")
        pass_time(app, 9)
    else:
        assert limits.remove("batch", str(batch.id)) == Limit()
    assert len(claim(app)) == 5


def test_the_limit_goes_with_the_end_and_comes_back_with_a_retry(
    app: Hammerflow, work: Task[..., Any]
) -> None:
    batch, limits = sent(app, work, 3, "1/m burst 3"), app.store.limits
    assert limits.drop_ended() == 0
    jobs = claim(app)
    end(app, jobs[:1])
    assert limits.drop_ended() == 0
    end(app, jobs[1:], failed=True)
    assert batch.row().state.status.is_final
    assert limits.drop_ended() == 1 and targets(app) == []
    with desk_at(app.settings.database) as desk:
        assert desk.count("limits") == desk.count("limit_keys") == 0

    batch.retry()

    assert targets(app) == [f"batch:{batch.id}"]
    again = claim(app)
    assert len(again) == 2
    end(app, again)
    assert batch.row().state.status.is_final and limits.drop_ended() == 1


def test_one_retried_call_is_limited_again(app: Hammerflow, work: Task[..., Any]) -> None:
    sent(app, work, 2, "1/m burst 2")
    end(app, claim(app), failed=True)
    app.store.limits.drop_ended()
    (job, _) = app.jobs(state=JobState.FAILED)

    app.result(job.id).retry()

    assert [each.id for each in claim(app)] == [job.id.bytes]
    assert len(targets(app)) == 1


def test_a_queue_limit_holds_as_well(app: Hammerflow, work: Task[..., Any]) -> None:
    app.store.limits.give("queue", "default", Limit(None, 1), by="ann")
    sent(app, work, 3, "9/s burst 9")
    assert len(claim(app)) == 1
    assert claim(app) == []


def test_what_cannot_hold_is_refused(app: Hammerflow, work: Task[..., Any]) -> None:
    @app.task(max_concurrency=2)
    def limited() -> None: ...

    @app.task(fair_by="{owner}")
    def shared(owner: str) -> None: ...

    calls = [work.s(1)]
    cases: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: app.batch([work.s(1), limited.s()], rate_limit="1/s").enqueue(), WorkflowInvalid,
         r"^batch\[1\]: .*limited has a limit of its own, .* limit set queue:NAME --rate RATE"),
        (lambda: app.batch([shared.s("ann")], rate_limit="1/s").enqueue(), WorkflowInvalid,
         r"^batch\[0\]: .*shared has fair_by of its own"),
        (lambda: app.batch(calls, rate_limit="often"), ConfigError, "rate_limit"),
        (lambda: app.workflow("w").add(app.batch(calls, rate_limit="1/s"), name="b").enqueue(),
         WorkflowInvalid, "cannot be a node of a workflow"),
        (lambda: app.schedule("s", "@daily", app.batch(calls, rate_limit="1/s")), ConfigError,
         "cannot have a rate_limit"),
    ]  # fmt: skip
    for call, kind, words in cases:
        with pytest.raises(kind, match=words):
            call()
    assert app.jobs() == [] and targets(app) == []
