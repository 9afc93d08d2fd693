"""/metrics of a real worker: recounted, and with every name that rules and dashboard use."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections import Counter
from importlib.resources import files
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from hammerflow.telemetry.exposition import OPENMETRICS, PLAIN, write
from hammerflow.telemetry.families import CLUSTER, FAMILIES, BucketCounts, Readings
from tests.acceptance.kit import Shop, Worker
from tests.support.waiting import until

_FILES = files("hammerflow.telemetry") / "files"
_TEST = Path(__file__).with_name("alerts.test.yml")
#: Names that have no value here: there is no sink, no alert, and no minute was counted yet.
_ABSENT = {
    "hammerflow_sink_lag_events",
    "hammerflow_sink_lag_seconds",
    "hammerflow_jobs_enqueued_total",
    "hammerflow_webhook_disabled",
    "hammerflow_alerts_firing",
}


def _names() -> set[str]:
    """Every metric that the shipped files name."""
    rules = (_FILES / "alerts.yml").read_text("utf-8")
    board = json.loads((_FILES / "dashboard.json").read_text("utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [one["query"]["query"] for one in board["templating"]["list"][1:]]
    exprs = re.sub(r"record: .*|Hammerflow\w+", "", rules)
    return set(re.findall(r"\bhammerflow_\w+", " ".join([exprs, *queries])))


def _scrape(worker: Worker, accept: str = "*/*") -> tuple[str, str]:
    worker.wait_for_log("metrics at ")
    (address,) = re.findall(r"metrics at (http://\S+)", worker.log)
    request = urllib.request.Request(address, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def test_a_live_worker_has_every_name_and_counts_each_job_once(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    for n in range(20):
        shop.send("note", n)
    shop.send("die", "SIGKILL")
    options = "--metrics", "127.0.0.1:0", "--health", "127.0.0.1:0"
    with shop.worker(*options, children=2) as worker:
        shop.wait_for_run(shop.send("hold", "gate"))
        until("the cluster is read", lambda: "\nhammerflow_workers 1" in _scrape(worker)[0])
        until("all is counted", lambda: _ended(_scrape(worker)[0]).total() == 21)
        text, kind = _scrape(worker)
        opened, open_kind = _scrape(worker, "application/openmetrics-text;version=1.0.0,*/*;q=0.1")
        (ready,) = re.findall(r"health at (http://\S+)/livez", worker.log)
        assert urllib.request.urlopen(f"{ready}/metrics").status == 200, "one server for both"

        shop.open("gate")

    assert (kind, open_kind) == (PLAIN, OPENMETRICS)
    assert _ended(text) == {"completed": shop.desk.count("done") - 1} == {"completed": 21}
    assert '\nhammerflow_jobs_running{queue="default"} 1\n' in text
    families = {family.name: family for family in parse(text)}
    assert {f.name for f in parse_open(opened)} == {
        name.removesuffix("_total") for name in families
    }
    samples = {sample.name for family in families.values() for sample in family.samples}
    assert _names() - _ABSENT <= samples
    assert _names() & _ABSENT <= {line.split()[2] for line in text.splitlines() if "# TYPE" in line}
    assert FAMILIES.keys() == {line.split()[2] for line in text.splitlines() if "# TYPE" in line}
    outcomes = {
        sample.labels["outcome"]: sample.value
        for sample in families["hammerflow_attempts"].samples if "die" in sample.labels["task"]
    }  # fmt: skip
    assert outcomes == {"lost": 1, "completed": 1}
    waits = [
        s for s in families["hammerflow_job_wait_seconds"].samples if s.name.endswith("_count")
    ]
    assert sum(sample.value for sample in waits) == 21, "the first attempts"
    _promtool("check", "metrics", text=text)


def _ended(text: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for family in parse(text):
        for sample in family.samples if family.name == "hammerflow_jobs_ended" else ():
            found[sample.labels["state"]] += int(sample.value)
    return found


def test_the_shipped_rules_hold_in_prometheus(tmp_path: Path) -> None:
    for name in ("alerts.yml", "dashboard.json"):
        (tmp_path / name).write_text((_FILES / name).read_text("utf-8"), "utf-8")
    shutil.copy(_TEST, tmp_path)
    alerts = re.findall(r"alert: (\w+)", (tmp_path / "alerts.yml").read_text())
    tested = re.findall(r"alertname: (\w+)", _TEST.read_text())
    assert set(alerts) == set(tested), "each alert is seen to fire"
    _promtool("check", "rules", "alerts.yml", folder=tmp_path)
    _promtool("test", "rules", _TEST.name, folder=tmp_path)


def test_every_name_in_the_shipped_files_exists() -> None:
    known = {name + end for name in FAMILIES for end in ("", "_bucket", "_sum", "_count")}
    assert _names() <= known
    assert len(_names()) > 15


def _promtool(*words: str, text: str = "", folder: Path | None = None) -> None:
    """Run Prometheus's own checks where it is installed, as it is in CI."""
    program = shutil.which("promtool")
    if program is None:
        assert "CI" not in os.environ, "python -m tests.support.install installs promtool"
        return
    done = subprocess.run(
        [program, *words], input=text, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_values_are_written_as_prometheus_reads_them() -> None:
    readings = Readings()
    nasty = 'a"b\\c\nd'
    readings.set("hammerflow_queue_jobs", 3, nasty, "ready")
    bounds = FAMILIES["hammerflow_settle_batch"].bounds
    readings.tallies["hammerflow_settle_batch"] = {
        (): BucketCounts([2, 1, *[0] * (len(bounds) - 2), 4], 9.5)
    }
    families = {family.name: family for family in parse(write(readings))}
    (sample,) = families["hammerflow_queue_jobs"].samples
    assert (sample.labels, sample.value) == ({"queue": nasty, "state": "ready"}, 3)
    found = {
        (s.name, s.labels.get("le")): s.value for s in families["hammerflow_settle_batch"].samples
    }
    assert found["hammerflow_settle_batch_bucket", "3"] == 3
    assert found["hammerflow_settle_batch_bucket", "+Inf"] == 7
    assert found["hammerflow_settle_batch_sum", None] == 9.5
    assert write(readings, OPENMETRICS).endswith("# EOF\n")


def test_no_name_is_of_two_kinds() -> None:
    assert all(family.type in ("counter", "gauge", "histogram") for family in FAMILIES.values())
    assert all((f.type == "counter") == f.name.endswith("_total") for f in FAMILIES.values())
    assert CLUSTER.keys() < FAMILIES.keys()
