"""The metrics of the whole database: what they say, and that one process says it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from hammerflow.metrics import Collector
from hammerflow.services.cluster_reader import ClusterReader
from hammerflow.stores.cluster_metrics import ClusterMetrics
from hammerflow.stores.statistics import MINUTE
from tests.stores.kit import Desk, desk_at


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


def enqueued(metrics: ClusterMetrics) -> dict[tuple[str, ...], float]:
    return metrics.read().numbers["hammerflow_jobs_enqueued_total"]


def test_depths_ages_and_lags(desk: Desk) -> None:
    metrics = ClusterMetrics(desk.store, lease=30.0)
    desk.register(1)
    desk.register(2)
    desk.sql(f"UPDATE {{workers}} SET beat_at = {desk.shift('beat_at', 600)} WHERE id = 2")
    desk.store.sinks.put("s", "none", {}, EventFilter.of(kinds=("job.completed",)))
    done, *_ = desk.run(desk.job())
    desk.end(done)
    desk.put(*[desk.job(queue="mail") for _ in range(3)], desk.job(queue="q", delay=60.0))
    desk.store.queues.pause("mail")
    desk.sql(f"UPDATE {{jobs}} SET created_at = {desk.shift('created_at', 20)}")

    found = metrics.read().numbers

    depths = found["hammerflow_queue_jobs"]
    assert {labels: n for labels, n in depths.items() if n} == {
        ("mail", "ready"): 3, ("q", "scheduled"): 1,
    }  # fmt: skip
    assert 20 <= found["hammerflow_queue_oldest_ready_seconds"]["mail",] < 60
    assert found["hammerflow_queue_paused"] == {("mail",): 1, ("q",): 0}
    assert found["hammerflow_workers"] == {(): 1}
    assert found["hammerflow_cron_late_seconds"] == {(): 0}
    assert found["hammerflow_sink_lag_events"]["s",] == 1
    assert 0 <= found["hammerflow_sink_lag_seconds"]["s",] < 60


def test_enqueued_jobs_are_counted_on_over_minutes_and_holders(desk: Desk) -> None:
    metrics = ClusterMetrics(desk.store, lease=30.0)
    desk.store.statistics.take_turn(60.0)
    assert metrics.take_turn(1, 40.0)
    desk.put(desk.job(), desk.job(queue="mail"), desk.job())
    desk.sql(f"UPDATE {{metrics}} SET counted_to = counted_to - {10 * MINUTE}")
    expected = {("t", "q"): 2, ("t", "mail"): 1}

    now = int(desk.store.clock()) // MINUTE * MINUTE
    for queue, jobs in (("q", 2), ("mail", 1)):
        desk.sql(
            "INSERT INTO {statistics} (span, begin, task_id, queue_id, state, jobs, run_seconds,"
            f" wait_seconds, runs, waits) SELECT {MINUTE}, {now - 5 * MINUTE}, task_id, queue_id,"
            f" 0, {jobs}, 0, 0, args, args FROM {{jobs}} WHERE queue_id ="
            f" (SELECT id FROM {{queues}} WHERE name = '{queue}') LIMIT 1"
        )
    assert enqueued(metrics) == expected
    assert enqueued(metrics) == expected, "once, however often it is read"
    desk.sql(f"DELETE FROM {{statistics}} WHERE begin < {now - 4 * MINUTE}")
    with contextlib.closing(desk.another()) as another:
        assert enqueued(ClusterMetrics(another, lease=30.0)) == expected, "another goes on"


def test_one_process_shows_them_at_a_time(desk: Desk) -> None:
    desk.register(1)
    one, two = (ClusterReader(ClusterMetrics(desk.store, lease=30.0)) for _ in range(2))
    assert one.tick(0.0) >= 15.0
    assert two.tick(0.0) >= 15.0
    assert "hammerflow_workers" in one.readings().numbers
    assert two.readings().numbers == {}
    one.tick(0.0)
    one.leave()
    two.tick(0.0)
    assert one.readings().numbers == {}
    assert "hammerflow_workers" in two.readings().numbers


def test_a_collector_serves_the_registry_of_an_application(sqlite_url: str) -> None:
    app = Hammerflow("shop", database=sqlite_url)
    app.migrate()
    registry, other = CollectorRegistry(), CollectorRegistry()
    collector = Collector(app)
    registry.register(collector)
    other.register(Collector(app))
    assert b"\nhammerflow_workers 0.0" in generate_latest(registry)
    assert b"\nhammerflow_workers 0.0" not in generate_latest(other), "the other one has the turn"
    collector.close()
    app.close()
