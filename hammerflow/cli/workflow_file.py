"""Workflow files on the command line: from a path or standard input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from hammerflow.cli import options
from hammerflow.enqueue.files import workflow_from_file, workflow_from_text
from hammerflow.errors import WorkflowInvalid
from hammerflow.workflows.workflow import Workflow

__all__ = ["file_options", "read_file"]

F = TypeVar("F", bound=Callable[..., Any])


def file_options(*, required: bool) -> Callable[[F], F]:
    """``--file`` and ``--format``, for :func:`read_file`."""

    def add(command: F) -> F:
        given: F = options.choice_option(
            "--format", "form", values=("json", "yaml"),
            help="The file's format [default: by its name's ending].",
        )(command)  # fmt: skip
        return options.path_option(
            "--file", "path", required=required,
            help="The workflow file, in JSON or YAML; - reads standard input.",
        )(given)  # fmt: skip

    return add


def read_file(app: Any, path: str, form: str | None) -> Workflow:
    """The workflow of a file, whose tasks are those of the app.

    Raises:
        ConfigError: the file cannot be read.
        WorkflowInvalid: it breaks a rule of workflow files.
    """
    if path != "-":
        return workflow_from_file(app, path, format=form)
    try:
        with click.open_file("-", encoding="utf-8") as file:
            text = str(file.read())
    except UnicodeDecodeError as error:
        raise WorkflowInvalid(f"standard input is not UTF-8 text: {error.reason}") from error
    return workflow_from_text(app, text, format=form, source="standard input")
