"""``hammerflow alert``: rules, mutes, targets and what fires."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hammerflow import Hammerflow
from hammerflow.services.alerter import Alerter
from hammerflow.stores.diagnosis.alert_measures import AlertMeasures
from tests.alerts.test_targets import Hook
from tests.cli.conftest import Run
from tests.cli.test_sink import said


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def evaluate(shop: Hammerflow) -> None:
    measures = AlertMeasures(shop.store, lease=30.0, statistics=True)
    alerter = Alerter(shop.store, measures, is_on=True)
    alerter.tick(0.0)
    alerter.leave()


def test_a_rule_is_listed_changed_added_and_reset(shop: Hammerflow, run: Run) -> None:
    rules = {row["name"]: row for row in json.loads(said(run, "--json", "alert", "rules"))}
    assert {"endpoint_disabled", "unsafe_settings", "queue_depth"} <= rules.keys()
    assert (rules["queue_depth"]["threshold"], rules["queue_depth"]["set_by"]) == (
        10_000,
        "default",
    )
    assert "warns at 50000 ready jobs" in said(
        run, "alert", "set", "queue_depth", "threshold=50000"
    )
    added = ("alert", "set", "mail", "--kind", "queue_depth", "threshold=3", "subjects=mail,bulk*")
    assert json.loads(said(run, "--json", *added))["subjects"] == ["mail", "bulk*"]
    said(run, "alert", "set", "queue_age", "enabled=no")
    table = said(run, "alert", "rules")
    assert "mail (queue_depth)" in table
    assert "off" in table
    assert "has its shipped values" in said(run, "alert", "reset", "queue_depth")
    assert "is removed" in said(run, "alert", "reset", "mail")
    for words, message in (
        (("set", "nosuch"), "unknown kind of alert rule 'nosuch'"),
        (("set", "queue_depth", "treshold=3"), "did you mean threshold"),
        (("set", "queue_depth", "threshold=5", "critical=1"), "must not be below the threshold"),
        (("reset", "nosuch"), "there is no alert rule 'nosuch'"),
        (("mute", "nosuch"), "there is no alert rule 'nosuch'"),
        (("unmute", "queue_age"), "is not muted"),
    ):
        ended = run("alert", *words)
        assert ended.code != 0
        assert message in ended.err


def test_what_fires_is_listed_and_muted(shop: Hammerflow, run: Run) -> None:
    said(run, "alert", "set", "unsafe_settings", "enabled=no")  # the servers are not durable
    assert "no alert fires" in said(run, "alert", "list")
    said(run, "alert", "set", "deep", "--kind", "queue_depth", "threshold=2", "hold=0")
    said(run, "alert", "set", "slow", "--kind", "queue_depth", "threshold=2", "hold=60")
    for n in range(3):
        shop.tasks["shop.add"].delay(n, n)
    evaluate(shop)
    [alert] = json.loads(said(run, "--json", "alert", "list"))
    assert (alert["rule"], alert["subject"], alert["severity"]) == ("deep", "default", "warning")
    assert (alert["value"], alert["muted"], alert["told"]) == (3, False, None)
    both = json.loads(said(run, "--json", "alert", "list", "--all"))
    assert {row["rule"]: row["state"] for row in both} == {"deep": "firing", "slow": "pending"}

    words = ("mute", "deep", "--subject", "default", "--for", "3600", "--reason", "import")
    assert "is muted until" in said(run, "alert", *words)
    assert "firing, muted" in said(run, "alert", "list")
    said(run, "alert", "unmute", "deep", "--subject", "default")
    assert "muted" not in said(run, "alert", "list")


def test_a_target_from_add_to_remove(
    shop: Hammerflow, run: Run, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nobody is told of alerts" in said(run, "alert", "targets")
    monkeypatch.setenv("HAMMERFLOW_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("HAMMERFLOW_SINK_HOOK", hook.url)
    refused = run("alert", "add", "ops", "slack", "url=${CHAT_HOOK}")
    assert "must not read the environment variable CHAT_HOOK" in refused.err
    said(run, "alert", "add", "ops", "slack", "url=${HAMMERFLOW_SINK_HOOK}")
    said(run, "alert", "add", "open", "slack", f"url={hook.url}")
    for form in (), ("--json",):
        shown = said(run, *form, "alert", "targets")
        assert "${HAMMERFLOW_SINK_HOOK}" in shown
        assert "s3cret" not in shown
    assert "has taken a test message" in said(run, "alert", "test", "ops")
    assert "sent by hammerflow alert test" in hook.body["text"]
    hook.status = 500
    failed = run("alert", "test", "ops")
    assert failed.code == 1
    assert "did not accept the test message: HTTP 500" in failed.err

    said(run, "alert", "set", "unsafe_settings", "enabled=no")
    said(run, "alert", "set", "deep", "--kind", "queue_depth", "threshold=1", "hold=0")
    shop.tasks["shop.add"].delay(1, 1)
    evaluate(shop)
    waiting = {
        row["name"]: row["waiting"] for row in json.loads(said(run, "--json", "alert", "targets"))
    }
    assert waiting == {"ops": 1, "open": 1}
    assert "is paused" in said(run, "alert", "pause", "open")
    assert "paused" in said(run, "alert", "targets")
    said(run, "alert", "resume", "open")
    assert "would be removed" in said(run, "alert", "remove", "ops", "--dry-run")
    refused = run("alert", "remove", "ops")
    assert refused.code != 0
    assert "remove target ops with 1 message" in refused.err + refused.out
    said(run, "alert", "remove", "ops", "--yes")
    assert [row["name"] for row in json.loads(said(run, "--json", "alert", "targets"))] == ["open"]
    missing = run("alert", "test", "ops")
    assert (missing.code, "there is no alert target 'ops'" in missing.err) == (1, True)
