"""Pauses from Python: what an app says of them, and who obeys."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from hammerflow import ConfigError, Hammerflow, JobState
from hammerflow.testing import drain
from hammerflow.worker.supervisor.burst import what_is_left


def test_a_paused_app_runs_nothing_and_takes_jobs(app: Hammerflow, t: SimpleNamespace) -> None:
    app.pause(reason="upgrade")
    result = t.add.delay(1, 2)

    assert drain(app) == 0 and result.state is JobState.READY
    (pause,) = app.pauses()
    assert (pause.kind, pause.name, pause.reason) == ("app", "", "upgrade")
    assert "@" in pause.paused_by and app.resume() and not app.resume()
    assert drain(app) == 1 and result.get(timeout=0) == 3


def test_a_paused_task_rests_in_every_queue(app: Hammerflow, t: SimpleNamespace) -> None:
    app.pause(task=t.add.name, by="ann")
    rests = [t.add.options(queue=queue).delay(1, 2) for queue in ("a", "b")]
    runs = t.mul.options(queue="a").delay(2, 3)

    assert drain(app) == 1 and runs.get(timeout=0) == 6
    assert [result.state for result in rests] == [JobState.READY] * 2
    assert [pause.paused_by for pause in app.pauses()] == ["ann"]
    app.resume(task=t.add.name)
    assert drain(app) == 2


def test_a_burst_does_not_wait_for_what_is_paused(app: Hammerflow, t: SimpleNamespace) -> None:
    t.add.options(queue="a").delay(1, 2)
    t.add.options(queue="b", delay=60).delay(1, 2)
    assert what_is_left(app.store, ["a", "b"]).goes_on
    app.pause(task=t.add.name)
    left = what_is_left(app.store, ["a", "b"])
    assert not left.goes_on and left.counts == {"paused": 2}
    app.resume(task=t.add.name)
    app.pause()
    left = what_is_left(app.store, ["a"])
    assert not left.goes_on and left.counts == {"paused": 1}


def test_a_paused_task_rests_in_its_lane(app: Hammerflow) -> None:
    """And holds no place: another task of the queue, and other keys after the pause, go on."""

    @app.task(name="ship", max_concurrency=1, limit_key="{order}")
    def ship(order: int) -> int:
        return order

    @app.task(name="pay", max_concurrency=1)
    def pay() -> str:
        return "paid"

    app.pause(task="ship")
    rests = [ship.delay(order) for order in (1, 1, 2)]
    runs = pay.delay()
    assert drain(app) == 1 and runs.get(timeout=0) == "paid"
    assert [result.state for result in rests] == [JobState.READY] * 3
    app.resume(task="ship")
    app.pause(queue="default")
    assert drain(app) == 0
    app.resume(queue="default")
    assert drain(app) == 3 and [result.get(timeout=0) for result in rests] == [1, 1, 2]


def test_a_coroutine_pauses_and_resumes(app: Hammerflow, t: SimpleNamespace) -> None:
    async def steps() -> list[bool]:
        await app.apause(task=t.add.name, reason="upgrade")
        assert [pause.reason for pause in app.pauses()] == ["upgrade"]
        return [await app.aresume(task=t.add.name), await app.aresume(task=t.add.name)]

    assert asyncio.run(steps()) == [True, False]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_one_thing_is_paused_at_a_time(verb: str) -> None:
    app = Hammerflow("shop", database="sqlite:///never-opened.db")
    with pytest.raises(ConfigError, match="give either queue or task"):
        getattr(app, verb)(queue="mail", task="send")
    with pytest.raises(ConfigError, match="queue must be"):
        getattr(app, verb)(queue=5)
