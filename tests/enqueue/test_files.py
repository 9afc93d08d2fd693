"""Workflow files as workflows of an app's tasks."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

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

    def any_call(*args: Any, **kwargs: Any) -> None: ...

    for name in ("shop.extract", "shop.load", "shop.send", "mail.send"):
        app.task(name=name)(any_call)
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


TAGGED: dict[str, Any] = {
    "$date": "2026-11-21", "$datetime": "2026-11-21T10:00:00+00:00", "$decimal": "1.50",
}  # fmt: skip


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_the_tags_of_the_codec_are_values(shop: Hammerflow, format: str) -> None:  # noqa: A002
    values = [{tag: text} for tag, text in TAGGED.items()]
    jobs = [
        {"name": "extract", "args": [*values, [values[0]], {"plain": 1}]},
        {
            "name": "load",
            "kwargs": {"at": values[0], "$date": "no tag", "d": {"in": values[2]}},
        },
        {"name": "report", "task": "mail.send", "payload": values},
    ]
    text = json.dumps({"name": "w", "metadata": values[0], "jobs": jobs})
    flow = workflow_from_text(shop, text, format=format)
    made = [date(2026, 11, 21), datetime(2026, 11, 21, 10, tzinfo=UTC), Decimal("1.50")]
    extract, load, report = (node.content for node in flow.nodes)
    assert extract.args == (*made, [made[0]], {"plain": 1})
    assert load.kwargs == {"at": made[0], "$date": "no tag", "d": {"in": made[2]}}
    assert report.args == tuple(made)
    assert flow.metadata == values[0]


def test_a_date_of_yaml_and_a_wrong_tag(shop: Hammerflow) -> None:
    text = "name: w\njobs:\n- {name: extract, args: [2026-11-21, {d: 2026-11-22}]}\n"
    [node] = workflow_from_text(shop, text, format="yaml").nodes
    assert node.content.args == (date(2026, 11, 21), {"d": date(2026, 11, 22)})
    with pytest.raises(WorkflowInvalid, match=r"workflow file, line 3: the arguments of job 'ext"):
        workflow_from_text(shop, text.replace("2026-11-21", '{"$date": soon}'), format="yaml")


def test_a_file_in_another_encoding_is_refused(shop: Hammerflow, tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        (tmp_path / "w.yaml").write_bytes(ETL.encode(encoding))
        with pytest.raises(WorkflowInvalid, match="w.yaml"):
            workflow_from_file(shop, tmp_path / "w.yaml")
    (tmp_path / "w.yaml").write_bytes(ETL.encode("utf-8-sig"))
    assert workflow_from_file(shop, tmp_path / "w.yaml").name == "etl"
    nul = json.dumps({"name": "w", "jobs": [{"name": "extract", "args": ["a\0b"]}]})
    [node] = workflow_from_text(shop, nul).nodes
    assert node.content.args == ("a\0b",)
