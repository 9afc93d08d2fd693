"""Calls that operators make: the task, and the arguments as JSON."""

from __future__ import annotations

import difflib
import json
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.codec.codec import Codec
from hammerflow.errors import ConfigError, NotDecodable, UnknownTask
from hammerflow.text import either, safe_repr
from hammerflow.workflows.positions import ParseError, read_json

__all__ = ["check_task", "read_arguments"]


def check_task(app: Hammerflow, task: str) -> None:
    """Check that the app has a task; UnknownTask names those that are close."""
    if task in app.tasks:
        return
    near = difflib.get_close_matches(task, app.tasks, n=3, cutoff=0.4)
    near += [name for name in app.tasks if name.endswith(f".{task}") and name not in near]
    hint = f"did you mean {either(near)}?" if near else "check the name and the app's imports"
    raise UnknownTask(f"the app {app.name} has no task {task!r}: {hint}")


def read_arguments(codec: Codec, text: str, kind: type[Any], what: str) -> Any:
    """JSON, decoded; every value that JSON or the codec would change is refused.

    Args:
        kind: list for positional arguments, dict for those by name.
        what: names them in errors.

    Raises:
        ConfigError: it is not JSON, not of that kind, or the codec cannot read it.
    """
    try:
        plain = read_json(text).plain()
    except ParseError as error:
        where = f" at {error.path}" if error.path else ""
        reason = error.reason.replace("invalid JSON:", "is not valid JSON:", 1)
        subject = what if reason != error.reason else f"{what}:"
        raise ConfigError(f"{subject} {reason}{where}") from None
    except ValueError as error:  # a number with more digits than Python reads
        raise ConfigError(f"{what}: {error}") from None
    if not isinstance(plain, kind):
        name = "list" if kind is list else "object"
        raise ConfigError(f"{what} must be a JSON {name}, not {safe_repr(text)}")
    try:
        if isinstance(plain, dict):  # decoded as a whole, {"$date": ...} would be a date
            return {
                name: codec.decode(f"J{json.dumps(each)}", name) for name, each in plain.items()
            }
        return codec.decode(f"J{text}", "args")
    except NotDecodable as error:
        raise ConfigError(f"{what}: {error}") from None
