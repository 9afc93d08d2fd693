"""Clocks that are apart: workers are judged by their beats, whatever the database's clock does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow.events.filter import EventFilter
from hammerflow.services.rescuer import Rescuer
from hammerflow.stores.diagnosis.cluster_metrics import ClusterMetrics
from hammerflow.stores.diagnosis.explain import reasons
from tests.stores.kit import Desk
from tests.support.waiting import until

LEASE = 0.5
WATCH = 0.5  # seconds


def test_a_dead_worker_is_found_after_the_clock_was_set_back(desk: Desk) -> None:
    desk.register(1)
    desk.register(2)
    (job,) = desk.run(desk.job())
    desk.elapse(-3600)
    seen = desk.store.jobs.get(job.id)
    assert seen is not None
    assert [each.kind for each in reasons(desk.store, seen, lease=LEASE)] == ["worker_ahead"]

    def taken_over() -> bool:
        desk.store.workers.beat(2)
        desk.sql(f"UPDATE {{workers}} SET beat_at = {desk.shift('beat_at', -3600)} WHERE id = 2")
        return desk.store.workers.sweep(lease=LEASE, poison_limit=3).rescued == 1

    assert desk.store.workers.sweep(lease=LEASE, poison_limit=3).rescued == 0
    until("the sweep", taken_over)
    assert [worker["id"] for worker in desk.store.workers.list()] == [2]
    assert desk.state(job.id) == "ready"


def test_what_a_dead_process_holds_is_free_after_the_clock_was_set_back(desk: Desk) -> None:
    store = desk.store
    store.sinks.put("s", "none", {}, EventFilter())
    metrics = ClusterMetrics(store, lease=LEASE)
    turns: dict[str, Callable[[int], Any]] = {
        "relay": lambda holder: store.events.take_turn(holder, 10.0),
        "sinks": lambda holder: store.sinks.take("s", holder),
        "alerting": lambda holder: store.alerts.take_turn(holder, 10.0),
        "metrics": lambda holder: metrics.take_turn(holder, 10.0),
    }
    for table, take in turns.items():
        assert take(1) and not take(2), table
        desk.sql(f"UPDATE {{{table}}} SET until = until + 3600")
        assert take(2) and not take(1), table


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_new_worker_watches_the_others_before_it_takes_one_for_dead(
    desk: Desk, is_alive: bool
) -> None:
    """The database's clock was set ahead before it started, so all beats look old to it."""
    desk.register(1)
    (job,) = desk.run(desk.job())
    with contextlib.closing(desk.another()) as store:
        rescuer = Rescuer(
            store, interval=0.01, lease=LEASE, poison_limit=3, queues=tuple, may_sweep=lambda: True,
            on_ready=lambda _: None,
        )  # fmt: skip
        desk.elapse(3600)
        rescuer.tick(0.0)
        assert desk.state(job.id) == "running"
        if is_alive:
            assert desk.store.workers.beat(1)
            desk.elapse(3600)  # its next beat is still under way when the clock jumps again
            rescuer.tick(0.0)
            assert desk.state(job.id) == "running"
        until("it is taken over", lambda: rescuer.tick(0.0) and desk.state(job.id) == "ready")


def test_workers_that_die_soon_after_their_start_watch_together(desk: Desk) -> None:
    """A service manager starts one again and again: none lives for as long as it has to watch."""
    desk.register(1)
    (job,) = desk.run(desk.job())
    desk.elapse(3600)
    lives: list[float] = []

    def taken_over() -> bool:
        with contextlib.closing(desk.another()) as store:
            rescuer = Rescuer(
                store, interval=5.0, lease=3 * WATCH, poison_limit=3, queues=tuple,
                may_sweep=lambda: True, on_ready=lambda _: None,
            )  # fmt: skip
            began = time.monotonic()
            again = rescuer.tick(0.0)
            time.sleep(WATCH / 5)
            rescuer.tick(0.0)
            lives.append(time.monotonic() - began)
        assert again <= 1.2 or desk.state(job.id) == "ready", "what is watched is looked at often"
        return desk.state(job.id) == "ready"

    until("the jobs of the first are taken over", taken_over)

    assert sum(lives) >= WATCH


def test_a_beat_ends_what_others_have_watched(desk: Desk) -> None:
    desk.register(1)
    (job,) = desk.run(desk.job())
    desk.elapse(3600)
    desk.sql("UPDATE {workers} SET watched = 100")
    assert desk.store.workers.beat(1)
    desk.elapse(3600)

    swept = desk.store.workers.sweep(lease=1.0, poison_limit=3, watch=10.0)

    assert swept.rescued == 0 and desk.state(job.id) == "running"
