"""python -m tests.proof.dashboard [--database sqlite|postgres|mariadb] [--seconds N]: the dashboard
of Grafana has data in a real Prometheus.

A worker runs jobs that complete, fail and are tried again, a schedule and a sink; Prometheus
scrapes it each second, with the shipped alert rules loaded. Then each query of the dashboard is
asked as Grafana asks it, with its variables filled in: it must return points that are numbers, with
the labels that its legend names; and each alert rule must have been evaluated without an error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from hammerflow import Hammerflow, constant
from hammerflow.events.filter import EventFilter
from tests.support.servers import MariaDB, Postgres, create_database
from tests.support.waiting import until

__all__ = ["app", "check", "queries"]

_FILES = resources.files("hammerflow.telemetry") / "files"
#: What Grafana puts in place of its variables; the rate interval is four scrapes at least.
_VARIABLES = {"$queue": ".*", "$__rate_interval": "8s"}


def make_app(**settings: Any) -> Hammerflow:
    """The app of the worker, and of whoever enqueues."""
    app = Hammerflow("panels", **settings)

    @app.every(timedelta(seconds=2))
    @app.task(name="good", queue="a")
    def good(number: int = 0) -> None:
        time.sleep(0.01)

    @app.task(name="bad", queue="b", max_attempts=2, backoff=constant(0.5))
    def bad(number: int) -> None:
        raise ValueError(number)

    return app


app = make_app()


def queries() -> Iterator[tuple[str, str, str]]:
    """Panel, query and legend of each target of the dashboard, its variables filled in."""
    dashboard = json.loads((_FILES / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in _VARIABLES.items():
                text = text.replace(name, value)
            assert "$" not in text, f"{panel['title']}: an unknown variable in {text}"
            yield panel["title"], text, target.get("legendFormat", "")


def check(prometheus: str, since: float) -> Sequence[str]:
    """What is wrong with the queries, and with the rules."""
    wrong = []
    for panel, text, legend in queries():
        window = {"query": text, "start": since, "end": time.time(), "step": 1}
        found = _get(prometheus, "query_range", window)["result"]
        points = [float(value) for series in found for _, value in series["values"]]
        if not any(map(math.isfinite, points)):
            wrong.append(f"{panel}: no data of {text}")
        wrong += [
            f"{panel}: the legend names {label}, which a series has not"
            for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", legend)
            if not all(label in series["metric"] for series in found)
        ]
    queues = set(_get(prometheus, "label/queue/values", {"match[]": "hammerflow_queue_jobs"}))
    if not queues >= {"a", "b"}:
        wrong.append(f"the variable queue has only {sorted(queues)}")
    rules = [r for g in _get(prometheus, "rules", {})["groups"] for r in g["rules"]]
    wrong += [
        f"rule {rule['name']}: {rule['health']} {rule.get('lastError', '')}"
        for rule in rules
        if rule["health"] != "ok"
    ]
    if not rules:
        wrong.append("no rule is loaded")
    return wrong


def _get(prometheus: str, path: str, values: Mapping[str, Any]) -> Any:
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(values)}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)["data"]


@contextlib.contextmanager
def _process(*command: str, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status == 200
    return False


def run(url: str, folder: Path, seconds: float) -> str:
    """All of it on one database; what was seen.

    Raises:
        AssertionError: a panel has no data, or a rule is broken.
    """
    metrics, port = _free_port(), _free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(_FILES / "alerts.yml")],
        "scrape_configs": [
            {"job_name": "hammerflow", "static_configs": [{"targets": [f"127.0.0.1:{metrics}"]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # which is YAML
    prometheus = f"http://127.0.0.1:{port}"
    with contextlib.closing(make_app(database=url)) as own, contextlib.ExitStack() as running:
        own.migrate()
        own.store.sinks.put("audit", "none", {}, EventFilter.of(kinds=["*"]))
        running.enter_context(
            _process(
                sys.executable, "-m", "hammerflow", "-A", "tests.proof.dashboard:app", "worker",
                "-c", "2", "--metrics", f"127.0.0.1:{metrics}", HAMMERFLOW_DATABASE_URL=url,
            )
        )  # fmt: skip
        running.enter_context(
            _process(
                "prometheus", f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}",
            )
        )  # fmt: skip
        until("the worker tells", lambda: _answers(f"http://127.0.0.1:{metrics}/metrics"), 60)
        until("prometheus is ready", lambda: _answers(f"{prometheus}/-/ready"), 60)
        began = time.time()
        while time.time() < began + seconds or (wrong := check(prometheus, began)):
            own.enqueue_many(own.tasks["good"].s(n) for n in range(20))
            own.enqueue_many(own.tasks["bad"].s(n) for n in range(4))
            time.sleep(0.5)
            if time.time() > began + seconds + 120:
                raise AssertionError("\n".join(wrong))
        alerts = _get(prometheus, "alerts", {})["alerts"]
    names = sorted({f"{alert['labels']['alertname']} {alert['state']}" for alert in alerts})
    return f"{len(list(queries()))} queries have data; alerts: {', '.join(names) or 'none'}"


def main() -> None:
    """Run it on each database."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.dashboard", description=__doc__)
    parser.add_argument("--database", default="sqlite,postgres,mariadb")
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    for kind in given.database.split(","):
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            if kind == "sqlite":
                url = f"sqlite:///{Path(folder) / 'jobs.db'}"
            else:
                server = stack.enter_context({"postgres": Postgres, "mariadb": MariaDB}[kind]())
                url = create_database(server.url(), "panels")
            sys.stdout.write(f"{kind}: {run(url, Path(folder), given.seconds)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
