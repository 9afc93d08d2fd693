"""The integration with Sentry: what a real worker sends in envelopes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sentry_sdk

from hammerflow import Hammerflow
from hammerflow.integrations.sentry import HammerflowIntegration
from hammerflow.telemetry.watchers import INTEGRATIONS
from tests.telemetry import traced


def _items(bodies: list[bytes], kind: str) -> list[Any]:
    """The items of this kind in envelopes: lines of JSON, a head before each body."""
    found = []
    for body in bodies:
        _, *lines = body.split(b"\n")
        for head, item in zip(lines[::2], lines[1::2], strict=False):
            if json.loads(head)["type"] == kind:
                found.append(json.loads(item))
    return found


@pytest.fixture
def sender(sqlite_url: str, endpoint: tuple[int, list[bytes]]) -> Iterator[Hammerflow]:
    sentry_sdk.init(
        f"http://key@127.0.0.1:{endpoint[0]}/1", traces_sample_rate=1.0,
        default_integrations=False, integrations=[HammerflowIntegration()],
    )  # fmt: skip
    app = Hammerflow("traced", database=sqlite_url, doorbell="none")
    yield app
    app.close()
    sentry_sdk.init(None)
    INTEGRATIONS.clear()


@pytest.fixture
def work(
    sender: Hammerflow, sqlite_url: str, endpoint: tuple[int, list[bytes]]
) -> Callable[[], None]:
    def run() -> None:
        sentry_sdk.flush()
        dsn = f"http://key@127.0.0.1:{endpoint[0]}/1"
        environ = {**os.environ, "HAMMERFLOW_DATABASE_URL": sqlite_url, "TRACED_DSN": dsn}
        command = [sys.executable, "-m", "hammerflow", "-A", "tests.telemetry.traced:app"]
        subprocess.run(
            [*command, "worker", "-c", "1", "--burst"], env=environ, check=True, timeout=60
        )

    return run


def test_a_worker_reports_failures_and_goes_on_with_the_trace(
    sender: Hammerflow, work: Callable[[], None], endpoint: tuple[int, list[bytes]]
) -> None:
    with sentry_sdk.start_transaction(name="request") as request:
        for call in (
            traced.broken.s("s3cret"), traced.broken_coroutine.s(), traced.slow.s(),
            traced.leaves.s("cancel"), traced.leaves.s("snooze"), traced.spawner.s(),
            traced.once_more.s(), traced.second_time_lucky.s(),
        ):  # fmt: skip
            sender.enqueue(call)
        trace_id = request.trace_id
    work()

    events = {event["exception"]["values"][-1]["type"]: event
              for event in _items(endpoint[1], "event")}  # fmt: skip
    assert set(events) == {"ValueError", "KeyError", "SoftTimeout"}
    assert events["SoftTimeout"]["fingerprint"][:2] == ["hammerflow", "SoftTimeout"]
    broken = events["ValueError"]
    assert broken["extra"]["hammerflow-job"]["task_name"] == "tests.telemetry.traced.broken"
    assert broken["extra"]["hammerflow-job"]["args"] == "[Filtered]"
    frames = broken["exception"]["values"][0]["stacktrace"]["frames"]
    assert [frame["function"] for frame in frames] == ["broken"], "none of the worker"
    assert broken["contexts"]["trace"]["trace_id"] == trace_id

    transactions = _items(endpoint[1], "transaction")
    (sent,) = [one for one in transactions if one["transaction"] == "request"]
    published = {span["span_id"]: span for span in sent["spans"]}
    assert {span["op"] for span in published.values()} == {"queue.publish"}
    runs = [one for one in transactions if one["transaction"] != "request"]
    assert len(runs) == 6 + 3 + 4, "two children and the fan-in, and two jobs twice"
    assert {run["contexts"]["trace"]["op"] for run in runs} == {"queue.process"}
    assert {run["contexts"]["trace"]["trace_id"] for run in runs} == {trace_id}
    parents = [run["contexts"]["trace"]["parent_span_id"] for run in runs]
    assert len([parent for parent in parents if parent in published]) == 10
    data = runs[0]["contexts"]["trace"]["data"]
    assert data["messaging.destination.name"] == "default"
    assert data["messaging.message.retry.count"] == 0
    assert data["messaging.message.receive.latency"] > 0


def test_a_job_of_a_schedule_checks_in(
    sender: Hammerflow, work: Callable[[], None], endpoint: tuple[int, list[bytes]]
) -> None:
    headers = {"schedule": "nightly", "tick": "2026-01-01T00:00:00Z"}
    sender.enqueue(traced.plain.s().set(headers=headers))
    sender.enqueue(traced.broken.s("x").set(headers=headers))
    work()

    configs = [one.get("monitor_config", {}).get("schedule")
               for one in _items(endpoint[1], "check_in")]  # fmt: skip
    assert configs.count({"type": "crontab", "value": "0 2 29 2 *"}) == 2
    found = [(one["monitor_slug"], one["status"]) for one in _items(endpoint[1], "check_in")]
    assert sorted(found) == [
        ("nightly", "error"), ("nightly", "in_progress"), ("nightly", "in_progress"),
        ("nightly", "ok"),
    ]  # fmt: skip
