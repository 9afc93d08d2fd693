"""Schedules, limits, batches, sinks, alerts and the archive: what the routes change and refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow
from hammerflow.stores.retention.retention import Walk
from hammerflow.testing import drain
from hammerflow.web.access import Role
from hammerflow.web.routes import statistics
from tests.web.conftest import count_ended

#: Nobody listens there.
_SHUT = "http://127.0.0.1:9/"


def test_a_schedule_is_made_changed_run_and_deleted(busy: Hammerflow, admin: httpx.Client) -> None:
    new = {"name": "pulse", "task": "shop.resize", "cron": "30 2 * * *", "tz": "Europe/Berlin"}
    made = admin.post(
        "/api/schedules", json={**new, "args": [5], "overlap": "skip", "jitter": "5m"}
    )
    assert made.status_code == 201, made.text
    assert made.json()["call"] == "shop.resize(5)"
    assert admin.post("/api/schedules", json=new).status_code == 409
    wrong = admin.post("/api/schedules", json={**new, "name": "other", "args": [1, 2]})
    assert "takes 1 positional argument" in wrong.json()["detail"]
    both = admin.post("/api/schedules", json={**new, "name": "other", "every": "5m"})
    assert both.status_code == 422
    past = {"name": "other", "args": [5], "end": "2026-01-01"}
    over = admin.post("/api/schedules", json={**new, **past})
    assert over.status_code == 422 and "is in the past" in over.json()["detail"]
    never = {"start": "2099-01-01 10:00", "end": "2099-01-01 11:00"}
    empty = admin.patch("/api/schedules/pulse", json=never)
    assert empty.status_code == 422 and "is never due" in empty.json()["detail"]

    moved = admin.patch("/api/schedules/pulse", json={"every": "1h", "args": [6], "priority": 4})
    assert moved.status_code == 200, moved.text
    assert (moved.json()["call"], moved.json()["priority"]) == ("shop.resize(6)", 4)
    assert moved.json()["description"] == "every hour"
    assert admin.patch("/api/schedules/pulse", json={}).status_code == 422
    paused = admin.post("/api/schedules/pulse/pause", json={"reason": "audit"}).json()
    assert (paused["state"], paused["paused_by"], paused["reason"]) == ("paused", "ann", "audit")
    assert [one["name"] for one in admin.get("/api/schedules?state=paused").json()["items"]] == [
        "pulse"
    ]
    admin.post("/api/schedules/pulse/resume").raise_for_status()
    run = admin.post("/api/schedules/pulse/run").json()
    assert admin.get(f"/api/jobs/{run['id']}").json()["call"] == "(6)"
    following = admin.get("/api/schedules/pulse/next?count=3").json()["runs"]
    assert len(following) == 3
    flow = {"name": "album", "jobs": [{"name": "one", "task": "shop.resize", "args": [1]}]}
    changed = admin.patch("/api/schedules/pulse", json={"workflow": flow})
    assert changed.status_code == 200 and "album" in changed.json()["call"], changed.text
    made = admin.post("/api/schedules", json={"name": "flow", "workflow": flow, "every": "1h"})
    assert made.status_code == 201 and "album" in made.json()["call"], made.text
    alone = {"workflow": flow, "queue": "default"}
    assert admin.patch("/api/schedules/flow", json=alone).status_code == 422
    assert admin.post("/api/schedules", json={"name": "x", "every": "1h"}).status_code == 422
    assert admin.delete("/api/schedules/pulse").status_code == 200
    for method in ("GET", "DELETE"):
        assert admin.request(method, "/api/schedules/pulse").status_code == 404


def test_a_cron_expression_is_explained(admin: httpx.Client, busy: Hammerflow) -> None:
    query = {"cron": "30 2 * * 1-5", "tz": "Europe/Berlin", "after": "2026-03-27 00:00", "count": 2}
    found = admin.get("/api/cron", params=query).json()
    assert [run["tick"] for run in found["runs"]] == [
        "2026-03-27T01:30:00Z", "2026-03-30T00:30:00Z",
    ]  # fmt: skip
    assert admin.get("/api/cron", params={"cron": "61 * * * *"}).status_code == 422


def test_limits_are_set_and_removed(admin: httpx.Client, busy: Hammerflow) -> None:
    limit = admin.put("/api/limits/task:shop.resize", json={"rate": "100/m", "max": 3}).json()
    assert limit == {"target": "task:shop.resize", "rate": "100/m", "max": 3}
    row = admin.get("/api/limits?task=shop.resize").json()["items"][0]
    assert (row["max"], row["set_by"]) == (3, "ann")
    assert admin.delete("/api/limits/task:shop.resize").json()["max"] is None
    assert admin.put("/api/limits/queue:mial", json={"max": 1}).status_code == 404
    assert admin.put("/api/limits/nonsense", json={"max": 1}).status_code == 422


def test_a_batch_is_made_and_its_failures_run_again(admin: httpx.Client, busy: Hammerflow) -> None:
    calls: list[dict[str, Any]] = [{"task": "shop.resize", "args": [n]} for n in range(3)]
    calls.append({"task": "shop.charge", "args": ["4111"]})
    made = admin.post("/api/batches", json={"calls": calls, "name": "night"}).json()
    assert made["calls"] == 4
    drain(busy)
    batch = admin.get(f"/api/batches/{made['id']}").json()
    assert batch["jobs"]["failed"] == 1
    assert "card declined" in batch["errors"][0]["error"]
    failed = admin.get(f"/api/batches/{made['id']}/calls?state=failed").json()["items"]
    assert [job["task"] for job in failed] == ["shop.charge"]
    assert admin.post(f"/api/batches/{made['id']}/retry").json()["says"] == "1 calls run again"
    admin.post(f"/api/batches/{made['id']}/cancel", json={}).raise_for_status()
    wrong = {"calls": [*calls, {"task": "shop.resise"}]}
    refused = admin.post("/api/batches", json=wrong)
    assert (refused.status_code, "line 5" in refused.json()["detail"]) == (422, True)


def test_a_sink_is_added_paused_rewound_and_removed(admin: httpx.Client, busy: Hammerflow) -> None:
    body: dict[str, Any] = {"kind": "none", "filters": {"kinds": ["job.*"]}}
    assert admin.put("/api/sinks/audit", json=body).json()["state"] == "running"
    busy.tasks["shop.resize"].delay(1)
    drain(busy)
    busy.store.events.relay()
    events = admin.get("/api/events?kinds=job.completed").json()
    assert events["is_on"]
    last = events["items"][-1]
    assert last["data"]["task"] == "shop.resize"
    rest = admin.get(f"/api/events?after={last['position'] - 1}&limit=1").json()
    assert rest["items"] == [last]
    assert admin.post("/api/sinks/audit/pause", json={}).json()["state"] == "paused"
    back = admin.post("/api/sinks/audit/rewind", json={"position": events["head"]}).json()
    assert back["left_out"] > 0
    admin.post("/api/sinks/audit/test").raise_for_status()
    admin.put("/api/sinks/shut", json={"kind": "http", "config": {"url": _SHUT}})
    tested = admin.post("/api/sinks/shut/test")
    assert tested.status_code == 409
    assert "sink shut did not accept the test event" in tested.json()["detail"]
    for unsafe in ({"kind": "webhook"}, {"kind": "os:system"}, {"kind": "http", "config": {}}):
        assert admin.put("/api/sinks/other", json=unsafe).status_code == 422
    stolen = "${HAMMERFLOW_DATABASE_URL}"
    for path, body in (
        (
            "sinks/other",
            {"kind": "http", "config": {"url": "http://x.y/", "headers": {"X": stolen}}},
        ),
        ("sinks/other", {"kind": "http", "config": {"url": f"http://x.y/{stolen}"}}),
        ("webhooks/other", {"url": f"http://x.y/{stolen}"}),
        ("alert-targets/other", {"kind": "slack", "config": {"url": stolen}}),
    ):
        refused = admin.put(f"/api/{path}", json=body)
        assert refused.status_code == 422, body
        assert "must not read the environment variable" in refused.json()["detail"]
    file = {"kind": "file", "config": {"path": "/tmp/hammerflow-events"}}
    assert admin.put("/api/sinks/other", json=file).status_code == 403
    admin.delete("/api/sinks/audit").raise_for_status()
    assert admin.get("/api/sinks/audit").status_code == 404


def test_alert_rules_are_set_muted_and_reset(admin: httpx.Client, busy: Hammerflow) -> None:
    set_ = admin.put("/api/alert-rules/queue_age", json={"options": {"threshold": 7}}).json()
    assert (set_["threshold"], set_["set_by"]) == (7, "ann")
    muted = admin.post("/api/alert-rules/queue_age/mute", json={"seconds": 60, "reason": "x"})
    assert muted.json()["by"] == "ann"
    assert len(admin.get("/api/alert-rules").json()["mutes"]) == 1
    admin.post("/api/alert-rules/queue_age/unmute", json={}).raise_for_status()
    assert admin.post("/api/alert-rules/queue_age/unmute", json={}).status_code == 409
    admin.delete("/api/alert-rules/queue_age").raise_for_status()
    rules = {rule["name"]: rule for rule in admin.get("/api/alert-rules").json()["items"]}
    assert rules["queue_age"]["threshold"] == 900
    target = {"kind": "slack", "config": {"url": "https://hooks.example/T0/secret"}}
    told = admin.put("/api/alert-targets/ops", json=target)
    assert "secret" not in told.text
    admin.put("/api/alert-targets/ops", json={"kind": "webhook", "config": {"url": _SHUT}})
    assert (
        "did not accept the test message"
        in admin.post("/api/alert-targets/ops/test").json()["detail"]
    )
    admin.delete("/api/alert-targets/ops").raise_for_status()


def test_what_retention_archives_comes_back(
    admin: httpx.Client, busy: Hammerflow, as_role: Callable[..., httpx.Client]
) -> None:
    kept = {"lifetimes": {"failed": "archive after 1s", "completed": "never"}}
    answer = admin.put("/api/retention/default", json=kept)
    assert answer.status_code == 200, answer.text
    held = answer.json()["lifetimes"]
    assert held == {"failed": "archive after 1s", "completed": None}
    failed = admin.get("/api/jobs?state=failed").json()["items"][0]["id"]
    policy = busy.store.retention.policy(busy.settings.retention)
    walk = Walk()
    while not (walk.is_over and walk.archived):
        walk = Walk() if walk.is_over else walk
        busy.store.retention.step(walk, policy)
    listed = admin.get("/api/archive/jobs").json()["items"]
    assert [job["id"] for job in listed] == [failed]
    shown = admin.get(f"/api/archive/jobs/{failed}").json()
    assert (shown["args"], shown["group_jobs"]) == (["4111"], 1)
    hidden = as_role(Role.ADMIN).get(f"/api/archive/jobs/{failed}")
    assert hidden.json()["values_hidden"]
    assert not re.search(r"\b4111\b", hidden.text)
    assert admin.post("/api/archive/restore", json={"ids": [failed], "dry_run": True}).json() == {
        "jobs": 1, "refused": [], "damaged": [],
    }  # fmt: skip
    admin.post("/api/archive/restore", json={"ids": [failed]}).raise_for_status()
    assert admin.get(f"/api/jobs/{failed}").json()["state"] == "failed"
    assert admin.get("/api/archive/stats").json()["restored"] == 1


def test_failures_of_one_cause_are_a_group(admin: httpx.Client, busy: Hammerflow) -> None:
    for digits in (3, 5, 9):
        busy.tasks["shop.charge"].delay("4" * digits)
    drain(busy)
    group = admin.get("/api/failures").json()["items"][0]
    assert (group["task"], group["error"], group["jobs"]) == (
        "shop.charge",
        "builtins.ValueError",
        4,
    )
    assert group["pattern"] == "card declined: * digits"
    assert group["hours"][-1] == 4
    assert len(group["samples"]) == 3


def test_groups_say_that_older_errors_are_left_out(
    admin: httpx.Client, busy: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most errors may be of attempts that were not the last, and groups smaller than the bound."""
    failed = admin.get("/api/jobs?state=failed").json()["items"][0]["id"]
    for _ in range(2):
        admin.post(f"/api/jobs/{failed}/retry").raise_for_status()
        drain(busy)
    assert admin.get("/api/failures").json()["is_cut"] is False
    monkeypatch.setattr(statistics, "_NEWEST", 2)
    found = admin.get("/api/failures").json()
    assert ([group["jobs"] for group in found["items"]], found["is_cut"]) == ([1], True)


def test_other_arguments_are_checked_and_run(admin: httpx.Client, busy: Hammerflow) -> None:
    job = admin.get("/api/jobs?state=scheduled").json()["items"][0]["id"]
    assert admin.patch(f"/api/jobs/{job}", json={"args": [1, 2]}).status_code == 422
    admin.patch(f"/api/jobs/{job}", json={"args": [99]}).raise_for_status()
    assert admin.get(f"/api/jobs/{job}").json()["call"] == "(99)"
    assert admin.get(f"/api/jobs/{job}/explain").json()["code"] == "due_later"
    assert admin.post(f"/api/jobs/{job}/stack", json={}).status_code == 409


def test_the_overview_says_what_is_wrong_first(admin: httpx.Client, busy: Hammerflow) -> None:
    busy.pause(queue="default")
    asked = 0
    rows = busy.store.database.rows

    def counting(*args: Any, **values: Any) -> Any:
        nonlocal asked
        asked += 1
        return rows(*args, **values)

    busy.store.database.rows = counting  # type: ignore[method-assign]
    found = admin.get("/api/overview").json()
    assert asked <= 6
    codes = [problem["code"] for problem in found["problems"]]
    assert codes[0] == "no_worker"
    assert found["problems"][0]["severity"] == "critical"
    assert "paused" in codes
    assert found["counts"]["scheduled"] == 1
    assert found["failures"][0]["task"] == "shop.charge"
    assert len(found["series"]["points"]) in (60, 61)
    asked = 0
    admin.get("/api/overview")
    assert asked == 0  # of the same second


def test_the_timeline_of_a_workflow_is_in_the_order_of_the_starts(
    admin: httpx.Client, busy: Hammerflow
) -> None:
    flow = admin.get("/api/workflows?kind=workflow").json()["items"][0]["id"]
    found = admin.get(f"/api/workflows/{flow}/timeline").json()
    assert [one["name"] for one in found["items"]] == ["first", "second"]
    first, second = found["items"]
    assert first["created_at"] <= first["started_at"] <= first["finished_at"]
    assert first["finished_at"] <= second["started_at"]
    assert (first["state"], first["attempt"], found["left_out"]) == ("completed", 1, 0)
    assert admin.get(f"/api/workflows/{flow}/timeline?limit=1").json()["left_out"] == 1


def test_a_workflow_is_drawn_and_run_again(admin: httpx.Client, busy: Hammerflow) -> None:
    flow = admin.get("/api/workflows?kind=workflow").json()["items"][0]["id"]
    graph = admin.get(f"/api/workflows/{flow}/graph").json()
    assert [box["states"] for box in graph["boxes"]] == [{"completed": 1}, {"completed": 1}]
    assert graph["edges"] == [[0, 1]]
    folded = admin.get(f"/api/workflows/{flow}/graph?max_nodes=1").json()["boxes"]
    assert (folded[0]["count"], folded[0]["is_folded"]) == (2, True)
    again = {"node": "second", "downstream": True}
    assert admin.post(f"/api/workflows/{flow}/retry", json=again).json()["status"] == "running"
    assert admin.post(f"/api/workflows/{flow}/resume").status_code == 409
    assert admin.post(f"/api/workflows/{flow}/skip", json={"node": "none"}).status_code == 404


def test_an_endpoint_is_added_rotated_and_tested(admin: httpx.Client, busy: Hammerflow) -> None:
    body = {"url": "http://127.0.0.1:9/hook", "filters": {"kinds": ["job.*"]}}
    made = admin.post("/api/webhooks", json={"name": "ops", **body})
    assert made.status_code == 201, made.text
    assert admin.post("/api/webhooks", json={"name": "ops", **body}).status_code == 409
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    assert admin.put("/api/webhooks/ops", json=body).json()["secret"] is None
    rotated = admin.post("/api/webhooks/ops/rotate").json()["secret"]
    assert rotated not in (None, secret)
    pair = admin.post("/api/webhooks/ops/rotate?signature=ed25519").json()
    assert (pair["secret"], pair["public_key"][:5]) == (None, "whpk_")
    own = {**body, "disable_failures": 3, "disable_after": 60.5}
    config = {"disable_failures": 3, "disable_after": 60.5}
    assert admin.put("/api/webhooks/ops", json=own).json()["config"] == config
    assert admin.put("/api/webhooks/ops", json={**body, "disable_failures": 0}).status_code == 422
    shown = admin.get("/api/webhooks/ops")
    assert secret not in shown.text
    assert shown.json()["old_secret_until"] is not None
    tested = admin.post("/api/webhooks/ops/test").json()
    assert (tested["is_delivered"], tested["status"]) == (False, None)  # nobody listens
    admin.post("/api/webhooks/ops/test").raise_for_status()
    newest = admin.get("/api/webhooks/ops/deliveries?limit=1").json()
    rest = admin.get(f"/api/webhooks/ops/deliveries?before={newest['next']}").json()
    assert [one["message"] for one in rest["items"]] == [tested["message"]]
    assert (rest["next"], rest["items"][0]["attempt"]) == (None, 0)
    off = admin.post("/api/webhooks/ops/disable", json={"reason": "upgrade"}).json()
    assert (off["state"], off["reason"]) == ("disabled", "upgrade")
    assert admin.post("/api/webhooks/ops/enable").json()["state"] == "enabled"
    assert admin.get("/api/webhooks").json()["items"][0]["waiting"] == 0
    busy.tasks["shop.resize"].delay(1)
    drain(busy)
    busy.store.events.relay()
    dry = admin.post("/api/webhooks/ops/replay", json={"after": 0, "dry_run": True}).json()
    assert dry["events"] > 0
    since = {"since": "2020-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"}
    again = admin.post("/api/webhooks/ops/replay", json=since).json()
    assert again == {**dry, "to": busy.store.events.head()}
    assert admin.get("/api/webhooks/ops").json()["waiting"] == again["events"]
    for unclear in ({}, {"after": 1, "since": since["since"]}, {"since": "2020-01-01T00:00:00"}):
        assert admin.post("/api/webhooks/ops/replay", json=unclear).status_code == 422
    admin.delete("/api/webhooks/ops").raise_for_status()
    assert admin.get("/api/webhooks/ops").status_code == 404


def test_workflows_are_listed_by_time(admin: httpx.Client, busy: Hammerflow) -> None:
    everything = admin.get("/api/workflows").json()["items"]
    assert everything
    assert admin.get("/api/workflows?since=1h").json()["items"] == everything
    assert admin.get("/api/workflows?until=1h").json()["items"] == []
    refused = admin.get("/api/workflows?since=soon")
    assert refused.status_code == 422 and "since must be" in refused.json()["detail"]


def _count(busy: Hammerflow) -> None:
    """Run all jobs, and count them."""
    drain(busy)
    count_ended(busy)


def test_figures_of_queues_are_told_page_by_page(admin: httpx.Client, busy: Hammerflow) -> None:
    for queue in ("c", "a", "b"):
        busy.tasks["shop.resize"].options(queue=queue).delay(1)
    _count(busy)
    whole = admin.get("/api/queue-stats?hours=1").json()
    assert [one["queue"] for one in whole["items"]] == ["a", "b", "c", "default"]
    assert [one["completed"] for one in whole["items"][:3]] == [1, 1, 1]
    assert whole["next"] is None
    found, after = [], ""
    while after is not None:
        page = admin.get("/api/queue-stats", params={"limit": 2, "after": after or "!"}).json()
        found, after = [*found, *page["items"]], page["next"]
    assert [(one["queue"], one["completed"]) for one in found] == [
        (one["queue"], one["completed"]) for one in whole["items"]
    ]
    one = admin.get("/api/queue-stats?queue=b&task=shop.resize").json()
    assert [item["queue"] for item in one["items"]] == ["b"]
    assert admin.get("/api/queue-stats?limit=51").status_code == 422


def test_runs_of_workflows_are_told_by_name_and_over_time(
    admin: httpx.Client, busy: Hammerflow
) -> None:
    _count(busy)
    found = admin.get("/api/workflow-stats?hours=1").json()
    [nightly] = [one for one in found["items"] if one["name"] == "nightly"]
    assert (nightly["completed"], nightly["success_ratio"], found["span"]) == (1, 1.0, 60)
    assert nightly["slowest_node"] in {"first", "second"}
    one = admin.get("/api/workflow-stats?hours=1&name=nightly").json()
    assert [item["name"] for item in one["items"]] == ["nightly"]
    assert len(found["points"]) == len(one["points"]) == 61  # each minute
    assert [point["completed"] for point in one["points"] if point["completed"]] == [1]
    assert admin.get("/api/workflow-stats?hours=0").status_code == 422


def test_the_jobs_of_several_workflows_are_counted_at_once(
    admin: httpx.Client, busy: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerflow.admin.workflows._SHARES_SECONDS", 20.0)
    flow = admin.get("/api/workflows?kind=workflow").json()["items"][0]["id"]
    batch = str(busy.batch([busy.tasks["shop.resize"].s(n) for n in range(3)]).enqueue().id)
    found = admin.get(f"/api/workflow-shares?ids={batch}, {flow}").json()["items"]
    assert [(one["id"], one["is_whole"]) for one in found] == [(batch, True), (flow, True)]
    assert [(one["jobs"]["total"], one["jobs"]["completed"]) for one in found] == [(3, 0), (2, 2)]
    assert admin.get("/api/workflow-shares").json() == {"items": []}
    monkeypatch.setattr("hammerflow.admin.workflows._SHARES_SECONDS", 0.0)
    monkeypatch.setattr("hammerflow.stores.workflows._FIRST_COUNTED", 2)
    (first,) = admin.get(f"/api/workflow-shares?ids={batch}, {flow}").json()["items"]
    assert (first["id"], first["jobs"]["total"], first["is_whole"]) == (batch, 2, False)
    refused = admin.get(f"/api/workflow-shares?ids={flow},nightly")
    assert refused.status_code == 422 and "ids must be" in refused.json()["detail"]
