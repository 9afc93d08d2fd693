"""Alerts: each rule fires and resolves by the rows it watches, and each change is told once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hammerflow.alerts.rules import check_rule
from hammerflow.alerts.states import Turn
from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.jobs.outcome import Completed
from hammerflow.services.alert_sender import AlertSender
from hammerflow.services.alerter import Alerter
from hammerflow.stores.diagnosis.alert_measures import AlertMeasures
from hammerflow.stores.diagnosis.cluster_metrics import ClusterMetrics
from hammerflow.stores.diagnosis.diagnostics import Diagnostics
from hammerflow.stores.events.webhooks import WebhookAttempt
from hammerflow.stores.statistics.statistics import MINUTE
from hammerflow.stores.store import Store
from tests.sinks.receiver import LOCAL, Receiver
from tests.stores.kit import Desk, desk_at, failed
from tests.stores.schedule_kit import Beat

LEASE = 30.0


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        desk.register(1)
        set_rule(desk, "unsafe_settings", enabled=False)  # the servers of the tests are not durable
        yield desk


def alerter(store: Store) -> Alerter:
    measures = AlertMeasures(store, lease=LEASE, statistics=True)
    return Alerter(store, measures, is_on=True)


def set_rule(desk: Desk, name: str, kind: str = "", **options: Any) -> None:
    kind = kind or name
    desk.store.alerts.put("rule", name, kind, check_rule(kind, options))


def later(desk: Desk, seconds: float) -> None:
    """Let the alerts be older."""
    for column in ("since", "below_since", "told_at"):
        desk.sql(f"UPDATE {{alerts}} SET {column} = {column} - {seconds}")


def states(desk: Desk) -> dict[tuple[str, str], str]:
    return {(alert.rule, alert.subject): alert.state for alert in desk.store.alerts.list()}


def evaluate(one: Alerter) -> Turn:
    assert one.store.alerts.take_turn(one._holder, 40.0)
    turn = one.evaluate(one.store.alerts.settings())
    assert turn is not None
    return turn


def messages(desk: Desk) -> list[tuple[str, str, str, str]]:
    rows = desk.sql("SELECT target, body FROM {alert_messages} ORDER BY created_at")
    return [
        (target, one["rule"], one["subject"], one["state"])
        for target, body in rows
        for one in json.loads(body)
    ]


def add_target(desk: Desk, name: str = "ops") -> None:
    desk.store.alerts.put("target", name, "webhook", {"url": "http://localhost:1/"})


def count_minutes(desk: Desk, *ids: bytes) -> None:
    """Let these jobs have ended two minutes ago, and count that."""
    where = ", ".join(desk.id(id_) for id_ in ids)
    desk.sql(
        f"UPDATE {{done}} SET started_at = {desk.shift('started_at', 120)},"
        f" finished_at = {desk.shift('finished_at', 120)} WHERE job_id IN ({where})"
    )
    begin = int(desk.store.clock() // MINUTE - 10) * MINUTE
    desk.store.database.run("statistics_begin", begin=begin)
    while desk.store.statistics.count_next():
        pass


def fail_jobs(desk: Desk) -> Callable[[], None]:
    bad, good = (
        desk.run(*[desk.job() for _ in range(5)]),
        desk.run(*[desk.job() for _ in range(15)]),
    )
    desk.settle(*((job, failed()) for job in bad))
    desk.settle(*((job, Completed(None)) for job in good))
    count_minutes(desk, *(job.id for job in (*bad, *good)))
    return lambda: desk.sql("DELETE FROM {statistics}") and None


def fill_queue(desk: Desk) -> Callable[[], None]:
    set_rule(desk, "queue_depth", threshold=3, hold=0)
    desk.put(*[desk.job() for _ in range(4)])
    return lambda: desk.end(*desk.claim()) and None


def old_job(desk: Desk) -> Callable[[], None]:
    desk.put(desk.job())
    desk.sql(f"UPDATE {{jobs}} SET created_at = {desk.shift('created_at', 1000)}")
    return lambda: desk.end(*desk.claim()) and None


def leave_unserved(desk: Desk) -> Callable[[], None]:
    undo = old_job(desk)
    desk.sql("DELETE FROM {workers}")

    def serve() -> None:
        desk.register(2)
        undo()

    return serve


def lose_worker(desk: Desk) -> Callable[[], None]:
    desk.register(2)
    desk.sql(f"UPDATE {{workers}} SET beat_at = {desk.shift('beat_at', 60)} WHERE id = 2")
    desk.store.workers.sweep(lease=LEASE, poison_limit=3)
    desk.register(3)
    desk.store.workers.leave(3)  # that one is not lost
    return lambda: desk.sql("UPDATE {worker_losses} SET lost_at = lost_at - 700") and None


def park(desk: Desk) -> Callable[[], None]:
    desk.put(desk.job(task="unknown"))
    desk.store.workers.park_unserved(["q"])
    return lambda: desk.store.workers.register(
        4, host="here", pid=4, info={}, tasks=["unknown"], queues=["q"]
    ) and None  # fmt: skip


def late_schedule(desk: Desk) -> Callable[[], None]:
    beat = Beat(desk)
    beat.create("nightly", every=60.0)
    beat.elapse(seconds=400)
    return lambda: desk.sql("DELETE FROM {schedules}") and None


def lag(desk: Desk) -> Callable[[], None]:
    desk.store.sinks.put("s", "none", {}, EventFilter.of(kinds=("job.completed",)))
    desk.end(*desk.run(desk.job()))
    desk.store.events.relay()
    desk.sql("UPDATE {events} SET at = at - 400")
    return lambda: desk.sql("UPDATE {sinks} SET position = 1") and None


def disable_endpoint(desk: Desk) -> Callable[[], None]:
    for name in "ops", "by hand":
        filters = EventFilter.of(kinds=("job.failed",))
        desk.store.sinks.put(name, "webhook", {"url": "https://ops.example/"}, filters)
    desk.store.webhooks.disable("by hand", "moved", by="me")
    desk.store.webhooks.note("ops", "msg_1", 1, 1, WebhookAttempt(410, 1, "", "gone", ""))
    rules = desk.store.alerts.settings().rules
    found = AlertMeasures(desk.store, lease=LEASE, statistics=True).read(rules)
    assert [measure.subject for measure in found["endpoint_disabled"]] == ["ops"]
    return lambda: desk.store.webhooks.enable("ops", by="me")


def odd_hour(desk: Desk) -> Callable[[], None]:
    desk.put(desk.job())
    hour = int(desk.store.clock()) // 3600 * 3600
    desk.store.database.run("statistics_begin", begin=hour)
    for day, jobs in enumerate((300, 100, 104, 98, 100, 103, 96, 100)):
        desk.sql(  # the sums of all queues together have a span of their own
            "INSERT INTO {statistics} (span, begin, task_id, queue_id, state, jobs, run_seconds,"
            f" wait_seconds, runs, waits) SELECT -3601, {hour - 3600 - day * 86400}, task_id, 0, 4,"
            f" {jobs}, 0, 0, substr(args, 1, 0), substr(args, 1, 0) FROM {{jobs}}"
        )

    def grow_usual() -> None:
        set_rule(desk, "anomaly", threshold=1000)

    return grow_usual


@pytest.mark.parametrize(
    ("rule", "subject", "break_it"),
    [
        ("failure_ratio", "t", fail_jobs),
        ("queue_depth", "q", fill_queue),
        ("queue_age", "q", old_job),
        ("queue_starving", "q", old_job),
        ("queue_unserved", "q", leave_unserved),
        ("worker_silent", "here", lose_worker),
        ("jobs_parked", "q", park),
        ("schedule_late", "nightly", late_schedule),
        ("sink_lag", "s", lag),
        ("endpoint_disabled", "ops", disable_endpoint),
        ("anomaly", "t", odd_hour),
    ],
)
def test_each_rule_fires_and_resolves(
    desk: Desk, rule: str, subject: str, break_it: Callable[[Desk], Callable[[], None]]
) -> None:
    one = alerter(desk.store)
    evaluate(one)
    assert (rule, subject) not in states(desk), "nothing is wrong yet"
    mend = break_it(desk)

    evaluate(one)
    later(desk, 100)
    evaluate(one)
    assert states(desk)[rule, subject] == "firing"

    mend()
    evaluate(one)
    assert states(desk)[rule, subject] == "firing", "it has to be well for a minute"
    later(desk, 100)
    evaluate(one)
    assert states(desk)[rule, subject] == "resolved"


def park_one(desk: Desk) -> None:
    desk.put(desk.job(task="unknown"))
    desk.store.workers.park_unserved(["q"])


def unpark(desk: Desk) -> None:
    desk.sql("DELETE FROM {parked}")


def test_unsafe_settings_of_the_database_are_told(desk: Desk) -> None:
    set_rule(desk, "unsafe_settings")
    full = "/proc/version"  # on a file system without free blocks
    measures = AlertMeasures(desk.store, lease=LEASE, statistics=True, path=full)
    values = Diagnostics(desk.store.database).settings()
    if values.get("fsync") == "on" or values.get("innodb_flush_log_at_trx_commit") == "1":
        pytest.skip("the server is durable, and other tests use it")
    evaluate(Alerter(desk.store, measures, is_on=True))
    [alert] = desk.store.alerts.list()
    assert (alert.rule, alert.subject, alert.state) == ("unsafe_settings", "database", "firing")
    severity, words = {
        "sqlite": ("critical", "0.0 MiB are free"), "postgres": ("critical", "fsync is off"),
        "mysql": ("warning", "innodb_flush_log_at_trx_commit is 2"),
    }[desk.kind]  # fmt: skip
    assert alert.severity == severity
    assert words in alert.text


def test_two_holders_tell_once(desk: Desk) -> None:
    add_target(desk)
    one, two = alerter(desk.store), alerter(desk.store)
    park_one(desk)
    one.tick(0.0)
    two.tick(0.0)  # it has not the turn
    assert messages(desk) == [("ops", "jobs_parked", "q", "fired")]

    # The first one is frozen after it has measured, and another one takes its turn.
    unpark(desk)
    later(desk, 100)
    one.tick(0.0)
    later(desk, 100)
    settings = desk.store.alerts.settings()
    desk.sql("UPDATE {alerting} SET until = until - 100")
    two.tick(0.0)
    assert one.evaluate(settings) is None, "its turn is over"
    assert messages(desk)[1:] == [("ops", "jobs_parked", "q", "resolved")]


def test_a_value_must_last_to_fire(desk: Desk) -> None:
    set_rule(desk, "jobs_parked", hold=60)
    add_target(desk)
    one = alerter(desk.store)
    park_one(desk)
    evaluate(one)
    assert states(desk) == {("jobs_parked", "q"): "pending"}
    later(desk, 50)
    unpark(desk)
    evaluate(one)
    assert states(desk) == {}, "it is forgotten"
    park_one(desk)
    evaluate(one)
    later(desk, 50)
    evaluate(one)
    assert states(desk) == {("jobs_parked", "q"): "pending"}
    later(desk, 20)
    evaluate(one)
    assert messages(desk) == [("ops", "jobs_parked", "q", "fired")]


def test_flapping_tells_once_in_the_cooldown_and_critical_at_once(desk: Desk) -> None:
    set_rule(desk, "jobs_parked", critical=2, clear=0)
    add_target(desk)
    one = alerter(desk.store)
    for _ in range(3):
        park_one(desk)
        evaluate(one)
        later(desk, 20)
        unpark(desk)
        evaluate(one)
    told = [("ops", "jobs_parked", "q", "fired"), ("ops", "jobs_parked", "q", "resolved")]
    assert messages(desk) == told
    park_one(desk)
    evaluate(one)
    assert messages(desk) == told, "it fires again within 300 s"
    later(desk, 300)
    evaluate(one)
    assert messages(desk) == [*told, told[0]], "it still fires"
    park_one(desk)
    evaluate(one)
    evaluate(one)
    assert messages(desk) == [*told, told[0], told[0]], "it has become critical"
    [alert] = desk.store.alerts.list()
    assert (alert.severity, alert.told, alert.value) == ("critical", "critical", 2)


def test_a_metric_counts_what_fires(desk: Desk) -> None:
    park_one(desk)
    evaluate(alerter(desk.store))
    found = ClusterMetrics(desk.store, lease=LEASE).read().numbers["hammerflow_alerts_firing"]
    assert found == {("jobs_parked", "warning"): 1}


def test_what_is_muted_tells_nobody_but_who_was_told_of_its_end(desk: Desk) -> None:
    add_target(desk)
    store, one = desk.store, alerter(desk.store)
    store.alerts.mute("jobs_parked", "q", seconds=60, by="me")
    park_one(desk)
    evaluate(one)
    assert states(desk) == {("jobs_parked", "q"): "firing"}
    assert messages(desk) == []
    desk.sql("UPDATE {alert_settings} SET until = until - 61 WHERE part = 'mute'")
    evaluate(one)
    assert messages(desk) == [("ops", "jobs_parked", "q", "fired")], "the mute is over"
    store.alerts.mute("jobs_parked", "", seconds=None, by="me")
    set_rule(desk, "jobs_parked", enabled=False)
    evaluate(one)
    assert states(desk) == {("jobs_parked", "q"): "resolved"}, "its rule is off"
    assert messages(desk)[1:] == [("ops", "jobs_parked", "q", "resolved")]
    assert store.alerts.unmute("jobs_parked", "")
    assert not store.alerts.unmute("jobs_parked", "")


def test_events_tell_of_alerts(desk: Desk) -> None:
    desk.store.sinks.put("s", "none", {}, EventFilter.of(kinds=("alert.*",)))
    one = alerter(desk.store)
    one.is_on = False
    set_rule(desk, "jobs_parked", clear=0)
    park_one(desk)
    one.tick(0.0)
    unpark(desk)
    one.tick(0.0)
    desk.store.events.relay()
    found = [(record.kind, record.detail) for record in desk.store.events.read(0).records]
    assert [kind for kind, _ in found] == [EventKind.ALERT_FIRED, EventKind.ALERT_RESOLVED]
    detail = found[0][1]
    assert detail is not None
    assert (detail["rule"], detail["subject"]) == ("jobs_parked", "q")
    assert detail["severity"] == "warning"
    assert messages(desk) == [], "there is no target"


def test_nothing_is_evaluated_where_nobody_wants_to_know(desk: Desk) -> None:
    one = alerter(desk.store)
    one.is_on = False
    park_one(desk)
    assert one.tick(0.0) >= 60.0
    assert desk.sql("SELECT * FROM {alerting}") == []
    add_target(desk)
    assert one.tick(0.0) < 20.0
    desk.store.alerts.set_paused("ops", by="me", paused=True)
    assert one.tick(0.0) >= 60.0
    assert messages(desk) == []


def hooks_of(desk: Desk, *names: str) -> dict[str, Receiver]:
    found = {name: Receiver() for name in names}
    for name, hook in found.items():
        desk.store.alerts.put("target", name, "webhook", {"url": hook.url})
    return found


def test_the_first_target_is_told_of_what_fires_already(desk: Desk) -> None:
    one = alerter(desk.store)
    park_one(desk)
    evaluate(one)
    assert states(desk) == {("jobs_parked", "q"): "firing"}
    add_target(desk)
    evaluate(one)
    assert messages(desk) == [("ops", "jobs_parked", "q", "fired")]


def due_now(desk: Desk) -> None:
    desk.sql("UPDATE {alert_messages} SET due_at = due_at - 1000")


def test_a_message_is_sent_once_by_several_and_again_after_a_failure(desk: Desk) -> None:
    hooks = hooks_of(desk, "ops", "down")
    hooks["down"].answers += [500]
    one, two = (AlertSender(desk.store, namespace="shop", bounds=LOCAL) for _ in range(2))
    park_one(desk)
    evaluate(alerter(desk.store))
    with ThreadPoolExecutor(2) as threads:
        counts = [threads.submit(sender.send_due) for sender in (one, two)]
        assert sum(count.result() for count in counts) == 1
    assert [len(hook.batches) for hook in hooks.values()] == [1, 0]
    targets = desk.store.alerts.settings().targets
    assert (targets["ops"].error, targets["down"].error) == ("", "HTTP 500: ok")
    assert one.send_due() == 0, "it waits before it tries again"
    due_now(desk)
    assert one.send_due() == 1
    assert [len(hook.batches) for hook in hooks.values()] == [1, 1]
    assert desk.store.alerts.waiting() == {}
    for hook in hooks.values():
        hook.close()


def test_what_a_killed_process_was_sending_is_sent_again_in_order(desk: Desk) -> None:
    hooks = hooks_of(desk, "ops")
    sender, judge = AlertSender(desk.store, namespace="shop", bounds=LOCAL), alerter(desk.store)
    set_rule(desk, "jobs_parked", clear=0)
    park_one(desk)
    evaluate(judge)
    [message] = desk.store.alerts.next_messages()
    assert desk.store.alerts.take(message, 180.0), "and here it is killed"
    assert not desk.store.alerts.take(message, 180.0), "another one has it"
    unpark(desk)
    evaluate(judge)
    assert sender.send_due() == 0, "the later one waits for the first"
    due_now(desk)
    assert (sender.send_due(), sender.send_due()) == (1, 1)
    states = [alert["state"] for body in hooks["ops"].batches for alert in body["data"]["alerts"]]
    assert states == ["fired", "resolved"]
    hooks["ops"].close()


def test_an_alertmanager_is_told_again_while_an_alert_fires(desk: Desk) -> None:
    desk.store.alerts.put("target", "am", "alertmanager", {"url": "http://localhost:1/"})
    one = alerter(desk.store)
    park_one(desk)
    evaluate(one)
    fired = ("am", "jobs_parked", "q", "fired")
    assert messages(desk) == [fired]
    one._repeat_at = 0.0
    evaluate(one)
    assert messages(desk) == [fired], "it has not got the first one yet"
    desk.sql("DELETE FROM {alert_messages}")
    one._repeat_at = 0.0
    evaluate(one)
    assert messages(desk) == [fired]
