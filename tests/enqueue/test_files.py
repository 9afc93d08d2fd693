"""Workflow files as workflows of an app's tasks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hammerflow import (
    ConfigError,
    FailurePolicy,
    Hammerflow,
    WorkflowInvalid,
    workflow_from_file,
)
from hammerflow.enqueue.files import workflow_from_text

ETL = """
name: etl
description: every day
failure_policy: manual
timeout: 1h
priority: high
health_check_interval: 5m
trace_id: t-1
correlation_id: c-1
metadata: {team: data}
jobs:
- {name: extract, task: shop.extract, args: [7], queue: etl, timeout: 90s, max_attempts: 5}
- {name: load, depends_on: [extract], when: extract.ok, after_skipped: run, delay: 2s,
   wait_for_children: true}
- {name: report, task: mail.send, kwargs: {to: me}, depends_on: [extract, load], priority: low}
"""


@pytest.fixture
def shop() -> Hammerflow:
    """Tasks of two modules; two of them end with the same name."""
    app = Hammerflow("shop", database="sqlite:///never-opened.db")
    for name in ("shop.extract", "shop.load", "shop.send", "mail.send"):
        app.task(name=name)(SimpleNamespace)
    return app


def test_a_file_is_a_workflow_of_the_apps_tasks(shop: Hammerflow, tmp_path: Path) -> None:
    (tmp_path / "etl.yaml").write_text(ETL)

    flow = workflow_from_file(shop, tmp_path / "etl.yaml")

    assert (flow.name, flow.failure_policy) == ("etl", FailurePolicy.MANUAL)
    assert (flow.description, flow.timeout, flow.priority) == ("every day", 3600, 3)
    assert (flow.health_check_interval, flow.trace_id, flow.correlation_id) == (300, "t-1", "c-1")
    assert flow.metadata == {"team": "data"}
    extract, load, report = flow.nodes
    assert (extract.content.task, extract.content.args) == ("shop.extract", (7,))
    assert extract.content.options == {"queue": "etl", "timeout": 90, "max_attempts": 5}
    assert (load.content.task, load.after, load.when) == ("shop.load", [extract], "extract.ok")
    assert (load.after_skipped, load.wait_for_children, load.content.options) == (
        "run",
        True,
        {"delay": 2},
    )
    assert (report.content.task, report.content.kwargs) == ("mail.send", {"to": "me"})
    assert (report.content.options, report.after) == ({"priority": 1}, [extract, load])


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("send", "line 2: the task 'send' of job 'one' is ambiguous; write one of mail.send"),
        ("shop.lode", "line 2: the app shop has no task 'shop.lode' for job 'one': did you mean"),
        ("map", "the app shop has no task 'map'"),
    ],
)
def test_a_task_that_is_not_one_of_the_apps_is_refused(
    shop: Hammerflow, task: str, words: str
) -> None:
    text = f'{{"name": "w", "jobs": [\n{{"name": "one", "task": "{task}"}}]}}'

    with pytest.raises(WorkflowInvalid, match=words):
        workflow_from_text(shop, text)


def test_a_file_that_cannot_be_read_is_one_sentence(shop: Hammerflow, tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xe9"}')

    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.json: No such file"):
        workflow_from_file(shop, tmp_path / "nowhere.json")
    with pytest.raises(ConfigError, match="cannot read"):
        workflow_from_file(shop, tmp_path)
    with pytest.raises(WorkflowInvalid, match=r"latin.json is not UTF-8 text"):
        workflow_from_file(shop, tmp_path / "latin.json")


def test_a_condition_is_checked_at_once(shop: Hammerflow) -> None:
    with pytest.raises(WorkflowInvalid, match=r"line 13, jobs\[1\].when: .* write =="):
        workflow_from_text(shop, ETL.replace("extract.ok", "extract ="), format="yaml")
