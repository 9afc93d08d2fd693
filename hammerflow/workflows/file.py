"""Workflow files: the text of a JSON or YAML file as a checked description of a workflow."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePath
from typing import Any, NamedTuple

from hammerflow.durations import parsed_seconds
from hammerflow.errors import ConditionError, ConfigError, WorkflowInvalid
from hammerflow.jobs.job import Priority
from hammerflow.workflows.positions import ParseError, Positioned, read_json, read_yaml
from hammerflow.workflows.workflow import condition_of

__all__ = ["NodeSpec", "WorkflowSpec", "read_workflow"]

_LARGEST = 10 * 1024 * 1024  # bytes


class NodeSpec(NamedTuple):
    """One job of the file; durations in seconds."""

    name: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    depends_on: list[str]
    line: int
    queue: str | None = None
    when: str | None = None
    after_skipped: str = "skip"  # or "run"
    timeout: float | None = None
    priority: int | None = None
    max_attempts: int | None = None
    delay: float | None = None
    wait_for_children: bool = False


class WorkflowSpec(NamedTuple):
    """The file as a whole; durations in seconds."""

    name: str
    nodes: list[NodeSpec]
    metadata: dict[str, Any]
    description: str | None = None
    failure_policy: str = "fail_fast"
    timeout: float | None = None
    priority: int | None = None
    health_check_interval: float | None = None
    trace_id: str | None = None
    correlation_id: str | None = None


def read_workflow(
    text: str,
    *,
    format: str | None = None,  # noqa: A002 - as the command
    source: str = "workflow file",
) -> WorkflowSpec:
    """The checked content of a workflow file.

    Args:
        text: the whole file.
        format: ``json`` or ``yaml``; by default the suffix of ``source`` decides, else the text:
            JSON starts with a brace.
        source: names the file in errors.

    Raises:
        WorkflowInvalid: the file breaks a rule; one sentence with the line and the path.
    """
    try:
        return _workflow(_read(text, format, source))
    except ParseError as wrong:
        line = f", line {wrong.line}" if wrong.line else ""
        path = f", {wrong.path}" if wrong.path else ""
        raise WorkflowInvalid(f"{source}{line}{path}: {wrong.reason}") from None


def _read(text: str, format: str | None, source: str) -> Positioned:  # noqa: A002
    if format not in (None, "json", "yaml"):
        raise ConfigError(f"a workflow file is json or yaml, not {format!r}")
    size = len(text) if len(text) > _LARGEST else len(text.encode("utf-8", "surrogatepass"))
    if size > _LARGEST:
        raise ParseError("the file is larger than 10 MB", None)
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise ParseError("the file is empty", None)
    ending = PurePath(source).suffix.lower().removeprefix(".")
    if format is None and ending in ("json", "yaml", "yml"):
        format = "json" if ending == "json" else "yaml"  # noqa: A001
    if format is None:
        format = "json" if text.lstrip().startswith("{") else "yaml"  # noqa: A001
    return read_json(text) if format == "json" else read_yaml(text)


def _fields(
    found: Positioned, readers: Mapping[str, Callable[[Positioned], Any]], required: Iterable[str]
) -> dict[str, Any]:
    """The checked entries of a mapping, without those that are null."""
    if not isinstance(found.value, dict):
        what = found.path or "a workflow file"
        raise found.error(f"{what} is a mapping of keys to values, not {_kind(found.value)}")
    for key, entry in found.value.items():
        if key not in readers:
            reason = f"unknown key {_shown(key)}{_meant(key, readers)}"
            raise ParseError(reason, entry.key_line, entry.path)
    for key in required:
        if key not in found.value:
            raise found.error(f"the key {key} is missing")
    return {
        key: readers[key](entry)
        for key, entry in found.value.items()
        if entry.value is not None or key in required
    }


def _list(found: Positioned) -> list[Positioned]:
    if not isinstance(found.value, list):
        raise _wrong(found, "a list")
    return found.value


def _text(found: Positioned) -> str:
    if not isinstance(found.value, str):
        hint = "" if found.value is None or isinstance(found.value, list | dict) else ": quote it"
        raise _wrong(found, "a text", hint)
    return found.value


def _filled(found: Positioned) -> str:
    if not _text(found).strip():
        raise found.error("the text is empty")
    return str(found.value)


def _name(found: Positioned) -> str:
    name = _text(found)
    if not 0 < len(name) <= 255 or not name.isprintable() or not name.strip():
        raise found.error(f"a name has 1 to 255 printable characters, not {_shown(name)}")
    return name


def _names(found: Positioned) -> list[str]:
    names: dict[str, None] = {}
    for item in _list(found):
        if _name(item) in names:
            raise item.error(f"duplicate name {_shown(item.value)}")
        names[item.value] = None
    return [*names]


def _one_of(*known: str) -> Callable[[Positioned], str]:
    def read(found: Positioned) -> str:
        if _text(found) not in known:
            raise found.error(
                f"{_key(found)} must be one of {', '.join(known)}, not {_shown(found.value)}"
                f"{_meant(found.value, known)}"
            )
        return str(found.value)

    return read


def _attempts(found: Positioned) -> int:
    if type(found.value) is not int or not 1 <= found.value < 2**15:
        raise _wrong(found, "a whole number from 1 to 32767")
    return found.value


def _priority(found: Positioned) -> int:
    names = [priority.name.lower() for priority in Priority]
    value = found.value
    if isinstance(value, str) and value.lower() in names:
        return int(Priority[value.upper()])
    if type(value) is int and value in [*Priority]:
        return value
    raise _wrong(found, f"one of {', '.join(names)}, or 0 to 4", _meant(value, names))


def _duration(found: Positioned) -> float:
    try:
        return parsed_seconds(found.value, found.path)
    except ConfigError:
        raise _wrong(found, 'a duration such as 90, "90s", "15m" or "1h30m"') from None


def _plain(what: str, *kinds: type) -> Callable[[Positioned], Any]:
    """A reader of a value of these kinds, without positions."""

    def read(found: Positioned) -> Any:
        if not isinstance(found.value, kinds):
            raise _wrong(found, what)
        return found.plain()

    return read


def _workflow(root: Positioned) -> WorkflowSpec:
    fields = _fields(root, _WORKFLOW, required=("name", "jobs"))
    nodes = fields.pop("jobs")
    _check_dependencies(root.value["jobs"], nodes)
    _check_conditions(root.value["jobs"], nodes)
    return WorkflowSpec(**{"nodes": nodes, "metadata": {}, **fields})


def _nodes(jobs: Positioned) -> list[NodeSpec]:
    if not _list(jobs):
        raise jobs.error("a workflow needs at least one job")
    lines: dict[str, int] = {}
    nodes = []
    for job in jobs.value:
        node = _node(job)
        if node.name in lines:
            reason = f"the job in line {lines[node.name]} has the name {_shown(node.name)}, too"
            raise ParseError(reason, job.line, f"{job.path}.name")
        lines[node.name] = job.line
        nodes.append(node)
    return nodes


def _node(job: Positioned) -> NodeSpec:
    fields = _fields(job, _JOB, required=("name",))
    if "payload" in fields:
        other = next((key for key in ("args", "kwargs") if key in job.value), None)
        if other is not None:
            raise job.value[other].error(f"use either payload or {other}, not both")
        payload = fields.pop("payload")
        fields["args" if isinstance(payload, list) else "kwargs"] = payload
    defaults = {"task": fields["name"], "args": [], "kwargs": {}, "depends_on": []}
    return NodeSpec(**{**defaults, **fields}, line=job.line)


_WORKFLOW: Mapping[str, Callable[[Positioned], Any]] = {
    "name": _name,
    "description": _text,
    "failure_policy": _one_of("fail_fast", "continue_on_failure", "manual"),
    "timeout": _duration,
    "priority": _priority,
    "health_check_interval": _duration,
    "trace_id": _name,
    "correlation_id": _name,
    "metadata": _plain("a mapping", dict),
    "jobs": _nodes,
}
_JOB: Mapping[str, Callable[[Positioned], Any]] = {
    "name": _name,
    "task": _name,
    "queue": _name,
    "payload": _plain("a mapping or a list", dict, list),
    "args": _plain("a list", list),
    "kwargs": _plain("a mapping", dict),
    "depends_on": _names,
    "when": _filled,
    "after_skipped": _one_of("skip", "run"),
    "timeout": _duration,
    "priority": _priority,
    "max_attempts": _attempts,
    "delay": _duration,
    "wait_for_children": _plain("true or false", bool),
}


def _check_dependencies(jobs: Positioned, nodes: list[NodeSpec]) -> None:
    by_name = {node.name: job for node, job in zip(nodes, jobs.value, strict=True)}
    for node in nodes:
        for item in by_name[node.name].value["depends_on"].value if node.depends_on else ():
            if item.value == node.name:
                raise item.error(f"the job {_shown(node.name)} depends on itself")
            if item.value not in by_name:
                hint = _meant(item.value, by_name)
                raise item.error(f"there is no job named {_shown(item.value)}{hint}")
    try:
        TopologicalSorter({node.name: node.depends_on for node in nodes}).prepare()
    except CycleError as error:
        cycle = error.args[1]
        drawn = " -> ".join(cycle if len(cycle) <= 12 else [*cycle[:6], "...", *cycle[-5:]])
        first = by_name[cycle[0]]
        reason = f"the jobs wait for each other in a cycle: {drawn}"
        raise ParseError(reason, first.line, f"{first.path}.depends_on") from None


def _check_conditions(jobs: Positioned, nodes: list[NodeSpec]) -> None:
    names = {node.name for node in nodes}
    for node, job in zip(nodes, jobs.value, strict=True):
        if node.when is None:
            continue
        found = job.value["when"]
        if not node.depends_on:
            raise found.error("a condition reads the results of dependencies: add depends_on")
        try:
            condition_of(node.when, node.depends_on, names)
        except ConditionError as error:
            raise found.error(str(error)) from error


def _wrong(found: Positioned, what: str, hint: str = "") -> ParseError:
    return found.error(f"{_key(found)} must be {what}, not {_shown(found.value)}{hint}")


def _key(found: Positioned) -> str:
    return found.path.rpartition(".")[2] or "this"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if type(value) not in (str, int, float):
        return _kind(value)
    if isinstance(value, int) and abs(value) > 10**40:
        return "a number of more than 40 digits"
    return ascii(value) if len(str(value)) <= 60 else f"{str(value)[:60]!a}..."


def _kind(value: Any) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "a text", type(None): "null"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _meant(word: Any, known: Iterable[str]) -> str:
    if not isinstance(word, str) or len(word) > 100:
        return ""
    close = difflib.get_close_matches(word.lower(), list(known)[:1_000], n=1)
    return f": did you mean {close[0]}?" if close else ""
