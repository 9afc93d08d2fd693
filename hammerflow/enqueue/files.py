"""Workflow files: a JSON or YAML file as a Workflow of an app's tasks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hammerflow.codec.codec import Codec
from hammerflow.errors import ConfigError, NotDecodable, WorkflowInvalid
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.tasks.task import Task
from hammerflow.text import either, plain_text, safe_repr, visible
from hammerflow.workflows.workflow import Workflow

if TYPE_CHECKING:
    from hammerflow.workflows.file import NodeSpec, WorkflowSpec

__all__ = ["workflow_from_file", "workflow_from_text"]

#: Characters to read: above the 10 MB that the parser accepts, so that it refuses larger files.
_MOST = 11 * 1024 * 1024
_CALL_OPTIONS = ("queue", "timeout", "priority", "max_attempts", "delay")
_WORKFLOW_OPTIONS = (
    "description", "timeout", "priority", "health_check_interval", "trace_id", "correlation_id",
    "metadata",
)  # fmt: skip


class TaskApp(Protocol):
    """What a workflow file needs of its app."""

    @property
    def name(self) -> str: ...
    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def signature(self) -> Any: ...
    @property
    def workflow(self) -> Any: ...


def workflow_from_file(
    app: TaskApp, path: str | Path, *, format: str | None = None  # noqa: A002 - as the command
) -> Workflow:  # fmt: skip
    """Read a workflow from a JSON or YAML file, and do not enqueue it.

    The format is described in docs/reference/workflow-files.md.

    Args:
        app: has the tasks. The file names one in full (``shop.resize``), or by its last part
            (``resize``) if only one task has it.
        format: ``json`` or ``yaml``; by default the file's ending decides.

    Raises:
        ConfigError: the file cannot be read.
        WorkflowInvalid: the file breaks a rule, or names a task that the app does not have; the
            message has the line.
        MissingExtra: the file is YAML, and PyYAML is not installed.
    """
    name = _file_name(path)
    try:
        with open(name, encoding="utf-8") as file:
            text = file.read(_MOST)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot read {visible(name)[:300]}: {reason}") from error
    except UnicodeDecodeError as error:
        raise WorkflowInvalid(f"{name} is not UTF-8 text: {error.reason}") from error
    except ValueError as error:
        raise ConfigError(f"a workflow file is named by a path, not {safe_repr(name)}") from error
    return workflow_from_text(app, text, format=format, source=name)


def _file_name(path: Any) -> str:
    plain = plain_text(path)
    try:
        return str(Path(path if plain is None else plain))
    except (Exception, SystemExit) as error:
        raise ConfigError(f"a workflow file is named by a path, not {safe_repr(path)}") from error


def workflow_from_text(
    app: TaskApp, text: str, *, format: str | None = None, source: str = "workflow file"  # noqa: A002
) -> Workflow:  # fmt: skip
    """:func:`workflow_from_file` for a text; ``source`` names it in error messages."""
    from hammerflow.workflows.file import read_workflow

    spec = read_workflow(text, format=format, source=source)
    options = _given(spec, _WORKFLOW_OPTIONS)
    workflow: Workflow
    with _at(source, None):
        workflow = app.workflow(spec.name, failure_policy=spec.failure_policy, **options)
    for node in spec.nodes:
        task = _task(app, node, source)
        with _at(source, node):
            workflow.add(
                app.signature(task, *_arguments(app, node, source), **_given(node, _CALL_OPTIONS)),
                name=node.name,
                after=node.depends_on,
                when=node.when,
                after_skipped=node.after_skipped,
                wait_for_children=node.wait_for_children,
            )
    return workflow.validate()


@contextlib.contextmanager
def _at(source: str, node: NodeSpec | None) -> Iterator[None]:
    """Name the file, and the job in it, in the error of an option."""
    try:
        yield
    except ConfigError as error:
        place = source if node is None else f"{source}, line {node.line}: job {node.name!r}"
        raise WorkflowInvalid(f"{place}: {error}") from error


def _arguments(app: TaskApp, node: NodeSpec, source: str) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a job, with objects for the codec's tags, such as ``{"$date": ...}``."""

    def tag(value: Any) -> Any:  # a date of YAML has no JSON of its own
        return json.loads(app.codec.encode(value, serializer="json")[1:])

    def decoded(value: Any, what: str) -> Any:
        return app.codec.decode(f"J{json.dumps(value, default=tag)}", what)

    try:
        kwargs = {name: decoded(value, name) for name, value in node.kwargs.items()}
        return [decoded(value, f"args[{i}]") for i, value in enumerate(node.args)], kwargs
    except NotDecodable as error:
        raise WorkflowInvalid(
            f"{source}, line {node.line}: the arguments of job {node.name!r}: {error}"
        ) from error


def _given(spec: WorkflowSpec | NodeSpec, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(spec, name)) is not None}


def _task(app: TaskApp, node: NodeSpec, source: str) -> str:
    if node.task in app.tasks and not node.task.startswith(BUILTIN):
        return node.task
    own = [name for name in app.tasks if not name.startswith(BUILTIN)]
    short = [name for name in own if name.rpartition(".")[2] == node.task]
    if len(short) == 1:
        return short[0]
    line = f", line {node.line}" if node.line else ""
    if short:
        raise WorkflowInvalid(
            f"{source}{line}: the task {node.task!r} of job {node.name!r} is ambiguous; "
            f"write one of {', '.join(sorted(short))}"
        )
    import difflib

    near = difflib.get_close_matches(node.task, own, n=3, cutoff=0.4)
    hint = f": did you mean {either(near)}?" if near else ""
    raise WorkflowInvalid(
        f"{source}{line}: the app {app.name} has no task {node.task!r} for job {node.name!r}{hint}"
    )
