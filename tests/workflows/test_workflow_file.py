"""Workflow files: what they say, and one sentence with line and path for each broken rule."""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hammerflow.errors import ConfigError, MissingExtra, WorkflowInvalid
from hammerflow.workflows.file import NodeSpec, WorkflowSpec, read_workflow

DOCS = Path(__file__).parents[2] / "docs" / "reference"

GUIDE = """{
  "name": "data_pipeline",
  "description": "Daily data processing pipeline",
  "failure_policy": "continue_on_failure",
  "jobs": [
    {
      "name": "extract",
      "queue": "etl_queue",
      "payload": {"source": "production_db"},
      "depends_on": []
    },
    {
      "name": "transform",
      "queue": "etl_queue",
      "payload": {"rules": "business_logic.json"},
      "depends_on": ["extract"]
    },
    {
      "name": "load",
      "queue": "etl_queue",
      "payload": {"destination": "data_warehouse"},
      "depends_on": ["transform"]
    }
  ]
}
"""

FULL = """\
name: nightly
timeout: 2h
priority: High
health_check_interval: 90s
trace_id: t-1
metadata: {team: data}
jobs:
  - name: fetch
    task: shop.fetch
    args: [1, 2026-11-21]
    kwargs: {deep: true}
    max_attempts: 5
  - name: report
    payload: [a, 2]
    depends_on: [fetch]
    when: fetch['rows'] > 0
    after_skipped: run
    timeout: 1h30m
    delay: 0.5
    priority: 4
    wait_for_children: true
"""


def job(text: str) -> str:
    """A workflow of one YAML job with one more line, the fourth."""
    return f"name: w\njobs:\n  - name: a\n    {text}\n"


def refused(text: str, format: str | None = None) -> str:  # noqa: A002
    with pytest.raises(WorkflowInvalid) as caught:
        read_workflow(text, format=format)
    return str(caught.value)


def test_the_guides_file_is_read() -> None:
    spec = read_workflow(GUIDE, source="pipeline.json")

    assert (spec.name, spec.failure_policy) == ("data_pipeline", "continue_on_failure")
    assert spec.description == "Daily data processing pipeline"
    assert spec.nodes[1] == NodeSpec(
        "transform", "transform", [], {"rules": "business_logic.json"}, ["extract"], 12, "etl_queue"
    )


def test_json_and_yaml_say_the_same() -> None:
    assert read_workflow(GUIDE, format="json") == read_workflow(GUIDE, format="yaml")


def test_yaml_says_everything() -> None:
    spec = read_workflow(FULL)

    assert spec._replace(nodes=[]) == WorkflowSpec(
        "nightly", [], {"team": "data"}, None, "fail_fast", 7_200.0, 3, 90.0, "t-1"
    )
    fetch, report = spec.nodes
    assert fetch.task == "shop.fetch"
    assert fetch.args == [1, datetime.date(2026, 11, 21)]
    assert (fetch.kwargs, fetch.max_attempts, fetch.line) == ({"deep": True}, 5, 8)
    assert report == NodeSpec(
        "report", "report", ["a", 2], {}, ["fetch"], 13, None, "fetch['rows'] > 0", "run", 5_400.0,
        4, None, 0.5, wait_for_children=True,
    )  # fmt: skip


def test_a_bom_and_windows_lines_are_no_matter() -> None:
    windows = "\ufeff" + FULL.replace("\n", "\r\n")

    assert read_workflow(windows) == read_workflow(FULL)
    assert read_workflow("\ufeff" + GUIDE) == read_workflow(GUIDE)


def test_aliases_and_merges_are_followed() -> None:
    spec = read_workflow(
        "name: w\njobs:\n  - &a {name: a, queue: q, timeout: 1m}\n  - <<: *a\n    name: b\n"
    )

    assert [(n.name, n.queue, n.timeout) for n in spec.nodes] == [("a", "q", 60), ("b", "q", 60)]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7_200), ("1h30m", 5_400), ("1d", 86_400), ("7", None),
     ("0.5", 0.5), ("45", 45), ("1.5s", 1.5)],
)  # fmt: skip
def test_durations(said: str, seconds: float | None) -> None:
    if seconds is not None:
        assert read_workflow(job(f"timeout: {said}")).nodes[0].timeout == seconds
    else:
        assert "timeout must be a duration" in refused(job(f'timeout: "{said}"'))


@pytest.mark.parametrize(
    ("text", "value"),
    [("22:30", "22:30"), ("09:30", "09:30"), ("1:30:00", "1:30:00"),
     ("190:20:30.15", "190:20:30.15"), ("0o17", 15), ("0x1F", 31),
     ("-12", -12), ("+3", 3), ("0", 0), ("1e3", 1000.0), ("01.5", 1.5),
     (".5", 0.5), ("5.", 5.0), ("-1.5E-2", -0.015), ("true", True), ("FALSE", False), ("~", None),
     ("Null", None), ("''", ""), ("y", "y"), ("N", "N"), ("yEs", "yEs"), ("=", "="), ("1-2", "1-2"),
     ("1.2.3", "1.2.3"), ("'01234'", "01234"), ("!!str 01234", "01234"), ("!!int 01234", 1234),
     ("!!float 1", 1.0), ("'no'", "no"), ("-0xyz", "-0xyz"), ("0b", "0b"), ("_1", "_1"),
     ("2026-11-21", datetime.date(2026, 11, 21)),
     ("2026-11-21T10:00:00Z", datetime.datetime(2026, 11, 21, 10, tzinfo=datetime.UTC))],
)  # fmt: skip
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    [found] = read_workflow(job(f"args: [{text}]"), format="yaml").nodes[0].args
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["01234", "-07", "00", "09", "1_000", "1_000.5", "1.5_0", "0x_1", "0b101", "+0x1F", "-0o7"],
)
@pytest.mark.parametrize("place", ["args: [{}]", "payload: {{{}: 1}}", "timeout: {}"])
def test_numbers_of_yaml_1_1_are_refused_with_their_line(text: str, place: str) -> None:
    message = refused(job(f"queue: x\n    {place.format(text)}"), "yaml")
    assert f"line 5, jobs[0].{place.partition(':')[0]}" in message
    assert f"{text!r} is read differently by YAML 1.1 and YAML 1.2: write" in message


@pytest.mark.parametrize("text", ["yes", "No", "ON", "off"])
def test_booleans_of_yaml_1_1_are_refused_with_their_line(text: str) -> None:
    message = refused(job(f"kwargs: {{a: {text}}}"), "yaml")
    assert f"line 4, jobs[0].kwargs.a: {text!r} is a boolean in YAML 1.1" in message
    assert "write true or false, or quote it" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "workflow file: the file is empty"),
        ("\ufeff \n", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("[1]", "line 1: a workflow file is a mapping of keys to values, not a list"),
        ("name: w\n", "the key jobs is missing"),
        ("name: w\njobs: []\n", "line 2, jobs: a workflow needs at least one job"),
        ("name: w\njobs: {}\n", "line 2, jobs: jobs must be a list, not a mapping"),
        ("name: w\njobs: [a]\n", "line 2, jobs[0]: jobs[0] is a mapping"),
        ("name: w\njob: []\n", "line 2, job: unknown key 'job': did you mean jobs?"),
        (job("dependson: []"), "unknown key 'dependson': did you mean depends_on?"),
        (job("queue: no"), "line 4, jobs[0].queue: 'no' is a boolean in YAML 1.1"),
        (job("queue: 2026-01-01"), "queue must be a text, not a date: quote it"),
        (job("queue: ''"), "a name has 1 to 255 printable characters"),
        (job("depends_on: b"), "depends_on must be a list, not 'b'"),
        (job("depends_on: [b]"), "line 4, jobs[0].depends_on[0]: there is no job named 'b'"),
        (job("depends_on: [a]"), "line 4, jobs[0].depends_on[0]: the job 'a' depends on itself"),
        (job("depends_on: [b, b]"), "jobs[0].depends_on[1]: duplicate name 'b'"),
        (job("payload: 3"), "payload must be a mapping or a list, not 3"),
        (job("args: {}"), "args must be a list, not a mapping"),
        (job("payload: {}\n    args: []"), "line 5, jobs[0].args: use either payload or args"),
        (job("payload: {a: [.nan]}"), "line 4, jobs[0].payload.a[0]: nan is not a finite number"),
        (job("payload: {no: 1}"), "payload: 'no' is a boolean in YAML 1.1 and a text in"),
        (job("payload: {1: 1}"), "line 4, jobs[0].payload: a key must be a text"),
        (job("payload: {[a]: 1}"), "a key must be a text"),
        (job("payload: {a: 2026-13-45}"), "is not a valid timestamp"),
        (job("payload: !!python/object:os.system {}"), "jobs[0].payload: the tag "),
        (job("payload: {a: !!set {b}}"), "line 4, jobs[0].payload.a: the tag !!set is not"),
        (job("priority: urgent"), "must be one of background, low, normal, high, critical"),
        (job("priority: 5"), "not 5"),
        (job("priority: true"), "not true"),
        (job("priority: hihg"), "did you mean high?"),
        (job("max_attempts: 0"), "max_attempts must be a whole number from 1"),
        (job("wait_for_children: 1"), "wait_for_children must be true or false, not 1"),
        (job("timeout: -1"), 'a duration such as 90, "90s", "15m" or "1h30m", not -1'),
        (job("timeout: soon"), "not 'soon'"),
        (job("when: ''"), "line 4, jobs[0].when: the text is empty"),
        (job("after_skipped: maybe"), "after_skipped must be one of skip, run, not 'maybe'"),
        (job("queue: a\n    queue: b"), "line 5, jobs[0].queue: duplicate key"),
        ("name: w\nfailure_policy: failfast\njobs: [{name: a}]",
         "continue_on_failure, manual, not 'failfast': did you mean fail_fast?"),
        ("name: w\njobs:\n  - name: a\n  - name: a\n",
         "line 4, jobs[1].name: the job in line 3 has the name 'a', too"),
        (job("when: rows > 0"), "line 4, jobs[0].when: a condition reads the results of dep"),
        ("name: w\njobs:\n- {name: a}\n- name: b\n  depends_on: [a]\n  when: result['rows'] > 0\n",
         "at character 1: the result of 'a' is read as a, and its field 'result' as a.result"),
        ("name: w\njobs:\n- {name: a}\n- {name: c}\n- {name: b, depends_on: [a], when: c > 0}\n",
         "line 5, jobs[2].when: 'c' is a node that is not a dependency"),
        ("name: w\njobs:\n  - {name: load, depends_on: [extrct]}\n  - {name: extract}\n",
         "line 3, jobs[0].depends_on[0]: there is no job named 'extrct': did you mean extract?"),
        ("name: w\njobs:\n- {name: a, depends_on: [b]}\n- {name: b, depends_on: [a]}\n",
         "line 3, jobs[0].depends_on: the jobs wait for each other in a cycle: a -> b -> a"),
        ("name: w\n---\nname: v\n", "line 2: the file holds more than one document"),
        ("name: [\n", "invalid YAML"),
        ("name: \x01\n", "line 1: invalid YAML: a character"),
        ("name: *a\n", "invalid YAML: found undefined alias"),
        ("name: w\njobs: &a [*a]\n", "values are nested more than 50 deep"),
        ("[" * 1_000, "values are nested more than 50 deep"),
    ],
)  # fmt: skip
def test_yaml_that_breaks_a_rule(text: str, said: str) -> None:
    message = refused(text, "yaml")

    assert said in message
    assert message.startswith("workflow file")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{",
            "line 1: invalid JSON: expecting property name enclosed in double quotes, found",
        ),
        ('{"name": "w",\n x}', "line 2: invalid JSON: expecting property name"),
        ('{"name": "w"} x', "invalid JSON: extra data, found 'x'"),
        ('{"name":\n "w', "line 2: invalid JSON: unterminated string starting, found"),
        ('{"name" "w"}', "expecting ':' delimiter, found"),
        ('{"a": 01}', "expecting ',' delimiter, found '1}'"),
        ('{"a": [1 2]}', "line 1: invalid JSON: expecting ',' delimiter, found '2]}'"),
        ('{"a": nope}', "line 1: invalid JSON: expecting value, found 'nope}'"),
        ('{"name": "w",\n"name": "v"}', "line 2, name: duplicate key"),
        (
            '{"jobs": [{},\n{"args": [1, NaN]}]}',
            "line 2, jobs[1].args[1]: nan is not a finite number",
        ),
        ('{"a": -Infinity}', "a: -inf is not a finite number"),
        ('{"a": 1e999}', "a: inf is not a finite number"),
        ('{"a": ' + "9" * 5_000 + "}", "a number has too many digits"),
        ('{"a": "\\ud800"}', "a text holds a lone surrogate"),
        ('{"a": ' + "[" * 100_000, "values are nested more than 50 deep"),
        ('{"a": [' + "0," * 100_000 + "0]}", "the file has more than 100 000 values"),
        ('{"name": "w", "jobs": [{"name": "a"}],\n"timout": 3}', "line 2, timout: unknown key"),
        ('{"name": "w", "jobs": [{"name": "a",\n"queue": 3}]}', "line 2, jobs[0].queue: queue"),
    ],
)
def test_json_that_breaks_a_rule(text: str, said: str) -> None:
    message = refused(text, "json")

    assert said in message
    assert "\n" not in message


def test_a_billion_laughs_end_soon() -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]

    assert "the file has more than 100 000 values" in refused("\n".join(lines))


def test_ten_megabytes_are_the_limit() -> None:
    assert "larger than 10 MB" in refused(GUIDE + " " * 10 * 1024 * 1024)
    assert "larger than 10 MB" in refused("# " + "é" * 6 * 1024 * 1024)


def test_a_long_circle_and_a_long_line_of_jobs_are_no_trouble() -> None:
    jobs = [{"name": f"j{i}", "depends_on": [f"j{i + 1}"]} for i in range(5_000)]
    line = json.dumps({"name": "w", "jobs": [*jobs, {"name": "j5000"}]})
    circle = json.dumps({"name": "w", "jobs": [*jobs, {"name": "j5000", "depends_on": ["j0"]}]})

    assert len(read_workflow(line).nodes) == 5_001
    assert "j0 -> j5000 -> j4999 -> j4998 -> j4997 -> j4996 -> ... -> " in refused(circle)


def test_the_format_is_told_or_seen() -> None:
    assert "invalid JSON" in refused("name: w", "json")
    with pytest.raises(WorkflowInvalid, match="^flow.json, line 1: invalid JSON"):
        read_workflow("name: w", source="flow.json")
    with pytest.raises(WorkflowInvalid, match="^flow.yml, line 1: invalid YAML"):
        read_workflow("{", source="flow.yml")
    with pytest.raises(ConfigError, match="a workflow file is json or yaml, not 'toml'"):
        read_workflow("", format="toml")


def test_yaml_without_pyyaml_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    with pytest.raises(MissingExtra, match=r"pip install 'hammerflow\[yaml\]'"):
        read_workflow(FULL)
    assert read_workflow(GUIDE).name == "data_pipeline"


def only_refused(text: str, format: str) -> None:  # noqa: A002
    try:
        spec = read_workflow(text, format=format)
    except WorkflowInvalid as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(spec, WorkflowSpec)


@given(st.text(), st.sampled_from(["json", "yaml"]))
@example("!!int 0b", "yaml")
@example("a: !!float x", "yaml")
@example("a: !!timestamp x", "yaml")
@example("a: !!bool x", "yaml")
@example("=: =", "yaml")
@example("<<: x", "yaml")
@example("%YAML 9.9\n---\na", "yaml")
@example('"\\U00110000"', "yaml")
@example("a: 0001-01-01 00:00:00+23:59", "yaml")
def test_garbage_is_refused(text: str, format: str) -> None:  # noqa: A002
    only_refused(text, format)


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(st.data(), st.sampled_from(["json", "yaml"]))
def test_wrong_values_are_refused(data: Any, format: str) -> None:  # noqa: A002
    keys = st.sampled_from([*NodeSpec._fields, *WorkflowSpec._fields, "payload", "jobs"])
    node = data.draw(st.dictionaries(keys, values, max_size=3)) | {"name": "a"}
    whole = data.draw(st.dictionaries(keys, values, max_size=2)) | {"name": "w", "jobs": [node]}

    only_refused(json.dumps(whole), format)


@given(st.lists(st.integers(0, len(FULL)), max_size=4), st.text(max_size=3))
def test_damaged_files_are_refused(cuts: list[int], put: str) -> None:
    text = FULL
    for cut in cuts:
        text = text[:cut] + put + text[cut + 3 :]

    only_refused(text, "yaml")


def test_the_page_shows_files_that_are_read() -> None:
    page = (DOCS / "workflow-files.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(json|yaml)\n(.*?)```", page, flags=re.DOTALL)

    specs = [read_workflow(text, format=kind) for kind, text in blocks]

    assert [kind for kind, _ in blocks] == ["json", "yaml"]
    assert specs[0] == read_workflow(GUIDE)


def test_the_schema_knows_the_same_keys() -> None:
    schema = json.loads((DOCS / "workflow-file.schema.json").read_text(encoding="utf-8"))

    read: Callable[[Any], set[str]] = lambda part: set(part["properties"])  # noqa: E731
    assert read(schema) == {*WorkflowSpec._fields, "jobs"} - {"nodes"}
    assert read(schema["$defs"]["job"]) == {*NodeSpec._fields, "payload"} - {"line"}
