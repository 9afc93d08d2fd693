"""``hammerflow metrics``: of one worker, of the database, and the files that are shipped."""

from __future__ import annotations

import json
from http import HTTPStatus

from hammerflow import Hammerflow
from hammerflow.telemetry.families import FAMILIES
from hammerflow.worker.supervisor.http_server import Answer, HttpServer
from hammerflow.worker.supervisor.metrics import WorkerMetrics
from tests.cli.conftest import Run
from tests.docs.pages import ROOT


def test_a_worker_is_asked_without_app_and_database(run: Run) -> None:
    metrics = WorkerMetrics("shop:app")
    metrics.counters.count("rescued_total", 2)
    server = HttpServer("127.0.0.1", 0, metrics.routes)
    server.start()
    text = run("metrics", server.address)
    samples = json.loads(run("metrics", server.address, "--json").out)
    server.close()
    assert "\nhammerflow_rescued_total 2\n" in text.out
    assert {"name": "hammerflow_rescued_total", "labels": {}, "value": 2.0} in samples
    assert "no worker answers on" in run("metrics", server.address).err


def test_what_has_no_metrics_is_named(run: Run) -> None:
    routes = {"/metrics": lambda _: Answer(HTTPStatus.OK, b"up 1\n")}
    server = HttpServer("127.0.0.1", 0, routes)
    server.start()
    assert "has no hammerflow metrics" in run("metrics", server.address).err
    server.close()


def test_those_of_the_database_are_read(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    samples = json.loads(run("metrics", "--json").out)
    ready = [s["value"] for s in samples if s["labels"].get("state") == "ready"]
    assert sum(ready) == 1
    assert "\nhammerflow_workers 1\n" in run("metrics").out


def test_rules_and_dashboard_are_printed_as_they_are(run: Run) -> None:
    folder = ROOT / "hammerflow" / "telemetry" / "files"
    assert run("metrics", "--rules").out == (folder / "alerts.yml").read_text("utf-8")
    board = (folder / "dashboard.json").read_text("utf-8")
    assert run("metrics", "--dashboard").out == board
    assert json.loads(run("metrics", "--dashboard", "--json").out) == board
    assert "give only that" in run("metrics", "--rules", "--dashboard").err


def test_the_reference_names_every_metric() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    missing = [family.name for family in FAMILIES.values() if f"| `{family.name}` |" not in page]
    assert missing == []
