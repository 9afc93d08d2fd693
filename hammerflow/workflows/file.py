"""Workflow files: the text of a JSON or YAML file as a checked description of a workflow."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePath
from typing import Any, NamedTuple

from hammerflow.durations import parsed_seconds
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.jobs.job import Priority
from hammerflow.workflows.positions import ParseError, Positioned, read_json, read_yaml

__all__ = ["NodeSpec", "WorkflowSpec", "read_workflow"]

_LARGEST = 10 * 1024 * 1024  # bytes
_POLICIES = ("fail_fast", "continue_on_failure", "manual")


class NodeSpec(NamedTuple):
    """One job of the file; durations in seconds."""

    name: str
    task: str
    queue: str | None
    args: list[Any]
    kwargs: dict[str, Any]
    depends_on: list[str]
    when: str | None
    after_skipped: str  # "skip" or "run"
    timeout: float | None
    priority: int | None
    max_attempts: int | None
    delay: float | None
    wait_for_children: bool
    line: int | None


class WorkflowSpec(NamedTuple):
    """The file as a whole; durations in seconds."""

    name: str
    description: str | None
    failure_policy: str
    timeout: float | None
    priority: int | None
    health_check_interval: float | None
    trace_id: str | None
    correlation_id: str | None
    metadata: dict[str, Any]
    nodes: list[NodeSpec]


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
        MissingExtra: the file is YAML, and PyYAML is not installed.
        ConfigError: the format is unknown.
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


# -- the schema


def _workflow(root: Positioned) -> WorkflowSpec:
    fields = _mapping(root, "", _WORKFLOW, required=("name", "jobs"))
    spec = WorkflowSpec(
        name=_name(fields["name"], "name"),
        description=_optional(fields, "description", _text),
        failure_policy=_optional(fields, "failure_policy", _policy) or "fail_fast",
        timeout=_optional(fields, "timeout", _duration),
        priority=_optional(fields, "priority", _priority),
        health_check_interval=_optional(fields, "health_check_interval", _duration),
        trace_id=_optional(fields, "trace_id", _name),
        correlation_id=_optional(fields, "correlation_id", _name),
        metadata=_optional(fields, "metadata", _plain_mapping) or {},
        nodes=_nodes(fields["jobs"]),
    )
    _check_dependencies(fields["jobs"], spec.nodes)
    return spec


def _nodes(jobs: Positioned) -> list[NodeSpec]:
    items = _list(jobs, "jobs")
    if not items:
        raise ParseError("a workflow needs at least one job", jobs.line, "jobs")
    nodes = [_node(item, f"jobs[{index}]") for index, item in enumerate(items)]
    lines: dict[str, int | None] = {}
    for index, node in enumerate(nodes):
        if node.name in lines:
            said = f"the job name {_said(node.name)} is taken by the job in line {lines[node.name]}"
            raise ParseError(said, node.line, f"jobs[{index}].name")
        lines[node.name] = node.line
    return nodes


def _node(job: Positioned, path: str) -> NodeSpec:
    fields = _mapping(job, path, _JOB, required=("name",))
    args, kwargs = _arguments(fields, path)
    name = _name(fields["name"], f"{path}.name")

    def given(key: str, read: Callable[[Positioned, str], Any]) -> Any:
        return _optional(fields, key, read, path)

    return NodeSpec(
        name=name,
        task=given("task", _name) or name,
        queue=given("queue", _name),
        args=args,
        kwargs=kwargs,
        depends_on=given("depends_on", _names) or [],
        when=given("when", _filled),
        after_skipped=given("after_skipped", _after_skipped) or "skip",
        timeout=given("timeout", _duration),
        priority=given("priority", _priority),
        max_attempts=given("max_attempts", _attempts),
        delay=given("delay", _duration),
        wait_for_children=given("wait_for_children", _flag) or False,
        line=job.line,
    )


def _arguments(fields: Mapping[str, Positioned], path: str) -> tuple[list[Any], dict[str, Any]]:
    payload = fields.get("payload")
    if payload is not None:
        other = next((key for key in ("args", "kwargs") if key in fields), None)
        if other is not None:
            said = f"use either payload or {other}, not both"
            raise ParseError(said, fields[other].line, f"{path}.{other}")
        if isinstance(payload.value, list):
            return _plain(payload), {}
        if payload.value is None:
            return [], {}
        return [], _plain_mapping(payload, f"{path}.payload", "a mapping or a list")
    args = _optional(fields, "args", _plain_list, path)
    return args or [], _optional(fields, "kwargs", _plain_mapping, path) or {}


_WORKFLOW = ("jobs", *(name for name in WorkflowSpec._fields if name != "nodes"))
_JOB = ("payload", *(name for name in NodeSpec._fields if name != "line"))


# -- values


def _optional(
    fields: Mapping[str, Positioned],
    key: str,
    read: Callable[[Positioned, str], Any],
    path: str = "",
) -> Any:
    """The value of a key; None if it is missing or null."""
    found = fields.get(key)
    if found is None or found.value is None:
        return None
    return read(found, f"{path}.{key}" if path else key)


def _mapping(
    found: Positioned, path: str, known: Iterable[str], required: Iterable[str]
) -> dict[str, Positioned]:
    value = found.value
    if not isinstance(value, dict):
        what = f"{path} is" if path else "a workflow file is"
        raise ParseError(
            f"{what} a mapping of keys to values, not {_kind(value)}", found.line, path
        )
    for key, entry in value.items():
        if key not in known:
            place = f"{path}.{key}" if path else key
            raise ParseError(
                f"unknown key {_said(key)}{_meant(key, known)}", entry.key_line, _cut(place)
            )
    for key in required:
        if key not in value:
            raise ParseError(f"the key {key} is missing", found.line, path)
    return value


def _list(found: Positioned, path: str) -> list[Positioned]:
    if not isinstance(found.value, list):
        raise _wrong(found, path, "a list")
    return found.value


def _text(found: Positioned, path: str) -> str:
    if not isinstance(found.value, str):
        hint = "" if found.value is None or isinstance(found.value, list | dict) else ": quote it"
        raise _wrong(found, path, "a text", hint)
    return found.value


def _filled(found: Positioned, path: str) -> str:
    if not _text(found, path).strip():
        raise ParseError("the text is empty", found.line, path)
    return str(found.value)


def _name(found: Positioned, path: str) -> str:
    name = _text(found, path)
    if not 0 < len(name) <= 255 or not name.isprintable() or not name.strip():
        said = f"a name has 1 to 255 printable characters, not {_said(name)}"
        raise ParseError(said, found.line, path)
    return name


def _names(found: Positioned, path: str) -> list[str]:
    names: dict[str, None] = {}
    for index, item in enumerate(_list(found, path)):
        place = f"{path}[{index}]"
        if _name(item, place) in names:
            raise ParseError(f"duplicate name {_said(item.value)}", item.line, place)
        names[item.value] = None
    return [*names]


def _chosen(found: Positioned, path: str, known: tuple[str, ...]) -> str:
    if _text(found, path) not in known:
        said = f"{path.rpartition('.')[2]} is one of {', '.join(known)}, not {_said(found.value)}"
        raise ParseError(f"{said}{_meant(found.value, known)}", found.line, path)
    return str(found.value)


def _policy(found: Positioned, path: str) -> str:
    return _chosen(found, path, _POLICIES)


def _after_skipped(found: Positioned, path: str) -> str:
    return _chosen(found, path, ("skip", "run"))


def _flag(found: Positioned, path: str) -> bool:
    if not isinstance(found.value, bool):
        raise _wrong(found, path, "true or false")
    return found.value


def _attempts(found: Positioned, path: str) -> int:
    if type(found.value) is not int or not 1 <= found.value < 2**15:
        raise _wrong(found, path, "a whole number from 1 to 32767")
    return found.value


def _priority(found: Positioned, path: str) -> int:
    names = [priority.name.lower() for priority in Priority]
    value = found.value
    if isinstance(value, str) and value.lower() in names:
        return int(Priority[value.upper()])
    if type(value) is int and value in [*Priority]:
        return value
    said = f"a priority is one of {', '.join(names)}, or their number 0 to 4, not {_shown(value)}"
    raise ParseError(f"{said}{_meant(value, names)}", found.line, path)


def _duration(found: Positioned, path: str) -> float:
    try:
        return parsed_seconds(found.value, path)
    except ConfigError:
        raise _wrong(found, path, 'a duration such as 90, "90s", "15m" or "1h30m"') from None


def _plain_list(found: Positioned, path: str) -> list[Any]:
    _list(found, path)
    return list(_plain(found))


def _plain_mapping(found: Positioned, path: str, what: str = "a mapping") -> dict[str, Any]:
    if not isinstance(found.value, dict):
        raise _wrong(found, path, what)
    return dict(_plain(found))


def _plain(found: Positioned) -> Any:
    """The value without its lines."""
    value = found.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


# -- dependencies


def _check_dependencies(jobs: Positioned, nodes: list[NodeSpec]) -> None:
    names = {node.name: index for index, node in enumerate(nodes)}
    for index, node in enumerate(nodes):
        for place, name in enumerate(node.depends_on):
            item = jobs.value[index].value["depends_on"].value[place]
            path = f"jobs[{index}].depends_on[{place}]"
            if name == node.name:
                raise ParseError(f"the job {_said(name)} depends on itself", item.line, path)
            if name not in names:
                said = f"there is no job named {_said(name)}{_meant(name, names)}"
                raise ParseError(said, item.line, path)
    try:
        TopologicalSorter({node.name: node.depends_on for node in nodes}).prepare()
    except CycleError as error:
        cycle = error.args[1]
        first = names[cycle[0]]
        drawn = " -> ".join(cycle if len(cycle) <= 12 else [*cycle[:6], "...", *cycle[-5:]])
        reason = f"the jobs wait for each other in a cycle: {drawn}"
        raise ParseError(reason, nodes[first].line, f"jobs[{first}].depends_on") from None


# -- words of errors


def _wrong(found: Positioned, path: str, what: str, hint: str = "") -> ParseError:
    name = path.rpartition(".")[2] or "this"
    return ParseError(f"{name} must be {what}, not {_shown(found.value)}{hint}", found.line, path)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return _said(value)
    if isinstance(value, bool):
        return str(value).lower()
    return _said(value) if type(value) in (int, float) else _kind(value)


def _kind(value: Any) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "a text", type(None): "null"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _said(value: Hashable) -> str:
    if isinstance(value, int) and abs(value) > 10**40:
        return "a number of more than 40 digits"
    return ascii(value) if len(str(value)) <= 60 else f"{str(value)[:60]!a}..."


def _cut(path: str) -> str:
    plain = path if path.isprintable() else ascii(path)[1:-1]
    return plain if len(plain) <= 120 else f"{plain[:120]}..."


def _meant(word: Any, known: Iterable[str]) -> str:
    if not isinstance(word, str) or len(word) > 100:
        return ""
    close = difflib.get_close_matches(word.lower(), list(known)[:1_000], n=1)
    return f": did you mean {close[0]}?" if close else ""
