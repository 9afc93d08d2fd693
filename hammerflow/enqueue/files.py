"""Workflow loading: a workflow file as a Workflow of an app's tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hammerflow.canvas.signature import Signature
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.tasks.task import Task
from hammerflow.workflows.workflow import Workflow

if TYPE_CHECKING:
    from hammerflow.workflows.file import NodeSpec, WorkflowSpec

__all__ = ["workflow_from_file", "workflow_from_text"]

#: The engine's own tasks, which no file names by their last part.
_OWN = "hammerflow."
#: Characters that are read: one file is at most 10 MB, and larger ones are refused unread.
_MOST = 11 * 1024 * 1024
_OPTIONS = ("queue", "timeout", "priority", "max_attempts", "delay")
_FACTS = (
    "description", "timeout", "priority", "health_check_interval", "trace_id", "correlation_id",
    "metadata",
)  # fmt: skip


class TaskApp(Protocol):
    """What is needed of an app."""

    @property
    def name(self) -> str: ...
    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]: ...
    @property
    def signature(self) -> Any: ...
    @property
    def workflow(self) -> Any: ...


def workflow_from_file(
    app: TaskApp,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - as the command
) -> Workflow:
    """The workflow that a JSON or YAML file describes (docs/workflow-files.md), not enqueued yet.

    Args:
        app: its tasks are what the file names: ``shop.resize``, or ``resize`` where only one task
            has that last part.
        format: ``json`` or ``yaml``, where the file's ending does not tell.

    Raises:
        ConfigError: the file cannot be read.
        WorkflowInvalid: it breaks a rule, or names a task that the app does not have; one
            sentence with the line.
        MissingExtra: it is YAML, and PyYAML is not installed.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_MOST)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise WorkflowInvalid(f"{path} is no UTF-8 text: {error.reason}") from error
    return workflow_from_text(app, text, format=format, source=str(path))


def workflow_from_text(
    app: TaskApp,
    text: str,
    *,
    format: str | None = None,  # noqa: A002
    source: str = "workflow file",
) -> Workflow:
    """:func:`workflow_from_file` for a text that is there; ``source`` names it in errors."""
    from hammerflow.workflows.file import read_workflow

    spec = read_workflow(text, format=format, source=source)
    workflow = _empty(app, spec)
    for node in spec.nodes:
        workflow.add(
            _call(app, node, source),
            name=node.name,
            after=node.depends_on,
            when=node.when,
            after_skipped=node.after_skipped,
            wait_for_children=node.wait_for_children,
        )
    return workflow.validate()


def _empty(app: TaskApp, spec: WorkflowSpec) -> Workflow:
    facts = {name: value for name in _FACTS if (value := getattr(spec, name)) is not None}
    workflow: Workflow = app.workflow(spec.name, failure_policy=spec.failure_policy, **facts)
    return workflow


def _call(app: TaskApp, node: NodeSpec, source: str) -> Signature:
    options = {name: value for name in _OPTIONS if (value := getattr(node, name)) is not None}
    task = _task(app, node, source)
    call: Signature = app.signature(task, node.args, node.kwargs, **options)
    return call


def _task(app: TaskApp, node: NodeSpec, source: str) -> str:
    if node.task in app.tasks:
        return node.task
    own = [name for name in app.tasks if not name.startswith(_OWN)]
    short = [name for name in own if name.rpartition(".")[2] == node.task]
    if len(short) == 1:
        return short[0]
    line = f", line {node.line}" if node.line else ""
    if short:
        raise WorkflowInvalid(
            f"{source}{line}: the task {node.task!r} of job {node.name!r} can be any of "
            f"{', '.join(sorted(short))}: name one in full"
        )
    import difflib

    near = difflib.get_close_matches(node.task, own, n=3, cutoff=0.4)
    hint = f": did you mean {' or '.join(near)}?" if near else ""
    raise WorkflowInvalid(
        f"{source}{line}: the app {app.name} has no task {node.task!r} for job {node.name!r}{hint}"
    )
