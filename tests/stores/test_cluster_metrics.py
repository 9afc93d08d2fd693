"""The metrics of the whole database: what they say, and that one process says it."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from hammerflow.ids import name_id
from hammerflow.metrics import Collector
from hammerflow.services.cluster_reader import ClusterReader
from hammerflow.stores.diagnosis.cluster_metrics import ClusterMetrics
from hammerflow.stores.statistics.enqueued_totals import EnqueuedTotals
from hammerflow.stores.statistics.statistics import MINUTE
from hammerflow.telemetry import labels
from tests.stores.kit import Desk, desk_at


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


@pytest.fixture
def embedded_desk(sqlite_url: str) -> Iterator[Desk]:
    with desk_at(sqlite_url) as desk:
        desk.store.schema.migrate()
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


def test_the_most_used_tasks_get_the_labels_and_no_counter_runs_back(
    embedded_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over holders that each begin with what the database has, and minutes that come late."""
    desk, metrics = embedded_desk, ClusterMetrics(embedded_desk.store, lease=30.0)
    monkeypatch.setattr(labels, "_MOST", 5)
    monkeypatch.setattr(labels, "_LEAST", 10)
    monkeypatch.setattr(labels, "_CHANGES", 2)
    desk.store.statistics.take_turn(60.0)
    metrics.take_turn(1, 40.0)
    desk.put(*[desk.job(task=f"t{n}") for n in range(12)])
    chance, begin, before = random.Random(3), 6_000, dict[tuple[str, ...], float]()
    desk.sql(f"UPDATE {{metrics}} SET counted_to = {begin}")
    insert = "INSERT INTO {statistics} VALUES (60, %d, %d, %d, 0, %d, 0, 0, x'', x'')"
    total = 0
    for minute in range(24):
        at = begin + minute * MINUTE
        for n in range(12):
            # The first five come first; the later ones are used ever more.
            jobs = chance.randint(1, 5) * (1 if n < 7 else 1 + minute // 4)
            if minute > 3 or n < 5:
                desk.sql(insert % (at, name_id(f"t{n}"), name_id("q"), jobs))
                total += jobs
        final = at if chance.random() < 0.7 else at - 2 * MINUTE
        desk.sql(
            f"UPDATE {{statistics_progress}} SET counted_to = {at + MINUTE},"
            f" final_to = max(final_to, {final})" if minute else
            f"UPDATE {{statistics_progress}} SET counted_to = {at + MINUTE}, final_to = {at}"
        )  # fmt: skip
        for _ in range(2):
            found = enqueued(ClusterMetrics(desk.store, lease=30.0))
            assert all(found[one] >= before.get(one, 0) for one in found)
            before |= found
        assert sum(before.values()) <= total, "no job is shown twice"
        assert len({task for task, _ in found}) <= 6
    [(text, counted_to)] = desk.sql("SELECT totals, counted_to FROM {metrics}")
    [(late,)] = desk.sql(f"SELECT sum(jobs) FROM {{statistics}} WHERE begin >= {counted_to}")
    assert sum(jobs for *_, jobs in json.loads(text)[2]) + late == total, "each job counts once"
    assert sum(before.values()) > 0.9 * total
    assert {f"t{n}" for n in range(7, 12)} == {task for task, _ in found} - {"_other"}


def test_a_label_that_changes_hands_leaves_what_is_shown(
    embedded_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = embedded_desk
    monkeypatch.setattr(labels, "_MOST", 1)
    monkeypatch.setattr(labels, "_LEAST", 10)
    desk.put(desk.job(task="a"), desk.job(task="b"))
    a, b = ((name_id(task), name_id("q")) for task in "ab")
    totals = EnqueuedTotals(desk.store.names, [], [], [], [])
    totals.add([(a, 5), (b, 90)])
    recent = [(a, 3), (b, 40)]
    assert dict(totals.shown(recent)) == {("a", "q"): 8, ("_other", "q"): 130}

    totals.follow(recent)

    totals = EnqueuedTotals.from_json(totals.to_json(), desk.store.names)  # of another holder
    assert dict(totals.shown(recent)) == {("b", "q"): 0, ("_other", "q"): 130}
    totals.add(recent)
    totals.add([(a, 1), (b, 2)])
    assert dict(totals.shown([])) == {("b", "q"): 2, ("_other", "q"): 131}


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
