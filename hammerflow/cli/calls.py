"""Calls: the task and the arguments of a call that is given on the command line."""

from __future__ import annotations

from typing import Any

import click

from hammerflow.admin.calls import check_task, check_values, read_arguments
from hammerflow.app import Hammerflow
from hammerflow.errors import ConfigError

__all__ = ["check_task", "check_values", "parsed_json"]


def parsed_json(app: Hammerflow, text: str, kind: type[Any], option: str) -> Any:
    """The option's JSON, decoded; every value that JSON or the codec would change is refused."""
    try:
        return read_arguments(app.codec, text, kind, option)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
