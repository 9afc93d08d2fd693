"""Calls: the task and the arguments of a call that is given on the command line."""

from __future__ import annotations

import difflib
import json
from typing import Any

import click

from hammerflow.app import Hammerflow
from hammerflow.errors import NotDecodable, UnknownTask
from hammerflow.text import either, safe_repr
from hammerflow.workflows.positions import ParseError, read_json

__all__ = ["check_task", "parsed_json"]


def check_task(app: Hammerflow, task: str) -> None:
    """Check that the app has a task; UnknownTask names those that are close."""
    if task in app.tasks:
        return
    near = difflib.get_close_matches(task, app.tasks, n=3, cutoff=0.4)
    near += [name for name in app.tasks if name.endswith(f".{task}") and name not in near]
    hint = f"did you mean {either(near)}?" if near else "check the name and the app's imports"
    raise UnknownTask(f"the app {app.name} has no task {task!r}: {hint}")


def parsed_json(app: Hammerflow, text: str, kind: type[Any], option: str) -> Any:
    """The option's JSON, decoded; every value that JSON or the codec would change is refused."""
    try:
        plain = read_json(text).plain()
    except ParseError as error:
        where = f" at {error.path}" if error.path else ""
        reason = error.reason.replace("invalid JSON:", "is not valid JSON:", 1)
        what = option if reason != error.reason else f"{option}:"
        raise click.UsageError(f"{what} {reason}{where}") from None
    except ValueError as error:  # a number with more digits than Python reads
        raise click.UsageError(f"{option}: {error}") from None
    if not isinstance(plain, kind):
        name = "list" if kind is list else "object"
        raise click.UsageError(f"{option} must be a JSON {name}, not {safe_repr(text)}")
    try:
        if isinstance(plain, dict):  # decoded as a whole, {"$date": ...} would be a date
            decode = app.codec.decode
            return {name: decode(f"J{json.dumps(each)}", name) for name, each in plain.items()}
        return app.codec.decode(f"J{text}", "args")
    except NotDecodable as error:
        raise click.UsageError(f"{option}: {error}") from None
