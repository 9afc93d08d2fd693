"""Alerts that the code of an app declares: written at a worker's start, and told to its targets."""

from __future__ import annotations

import logging

import pytest

from hammerflow import Hammerflow
from hammerflow.errors import ConfigError
from hammerflow.worker.supervisor.alerts import follow_code
from tests.acceptance.kit import Shop
from tests.sinks.receiver import Receiver
from tests.support.waiting import until

APP = """
from hammerflow import Hammerflow

app = Hammerflow("shop")
app.alert_target("ops", "webhook", url={url!r})
app.alert_rule("later", kind="queue_depth", threshold=1, hold=0, subjects=["later"])

@app.task
def add(x, y):
    return x + y
"""


def test_a_worker_writes_and_tells_the_alerts_of_its_code(sqlite_shop: Shop) -> None:
    shop, receiver = sqlite_shop, Receiver()
    (shop.folder / "watched.py").write_text(APP.format(url=receiver.url))
    shop.send("note", 1, queue="later")
    try:
        with shop.worker("-Q", "other", app="watched:app", path=shop.folder):
            until("somebody is told", lambda: bool(receiver.batches), timeout=30)
    finally:
        receiver.close()
    found = [(one["rule"], one["subject"]) for one in receiver.batches[0]["data"]["alerts"]]
    assert ("later", "later") in found


def test_what_the_code_says_is_followed_and_what_a_person_says_stays(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    desk = shop.desk
    app = Hammerflow("shop", database=desk.url, doorbell="none")
    app.alert_rule("queue_age", threshold=60)
    app.alert_rule("jobs_parked", threshold=5)
    app.alert_target("ops", "slack", url="https://ops.example/", timeout=3)
    desk.store.alerts.put("rule", "jobs_parked", "jobs_parked", {"threshold": 9.0}, by="me")
    for _ in range(2):
        follow_code(desk.store, "shop", app.alerts.definitions())
    settings = desk.store.alerts.settings()
    assert (settings.rules["queue_age"].threshold, settings.rules["queue_age"].app) == (60, "shop")
    assert settings.rules["jobs_parked"].threshold == 9
    assert settings.targets["ops"].app == "shop"
    desk.store.alerts.set_paused("ops", by="me", paused=True)  # as the restore of a backup does
    follow_code(desk.store, "shop", app.alerts.definitions())
    assert desk.store.alerts.target("ops").is_paused
    assert "which an operator has added" in caplog.text
    with caplog.at_level(logging.WARNING):
        follow_code(desk.store, "shop", app.alerts.definitions()[:1])
    assert "in the code no longer: ops; remove them with hammerflow alert remove" in caplog.text


def test_wrong_alerts_are_refused_in_a_sentence() -> None:
    app = Hammerflow("shop")
    app.alert_rule("queue_age", threshold=60)
    with pytest.raises(ConfigError, match="two alert rules are named 'queue_age'"):
        app.alert_rule("queue_age")
    with pytest.raises(ConfigError, match="unknown kind of alert rule 'mail'"):
        app.alert_rule("mail")
    with pytest.raises(ConfigError, match="threshold"):
        app.alert_rule("queue_depth", threshold="many")
    with pytest.raises(ConfigError, match="needs url"):
        app.alert_target("ops", "slack")
    for value in (None, [], object(), "", "x" * 10_000, b"\xff"):
        with pytest.raises((ConfigError, TypeError)):
            app.alert_rule(value)  # type: ignore[arg-type]
        with pytest.raises((ConfigError, TypeError)):
            app.alert_target("t", value)  # type: ignore[arg-type]
