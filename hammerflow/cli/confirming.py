"""Confirming: what a command is about to do is said and asked for once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hammerflow.cli.session import Session

__all__ = ["confirm"]


def confirm(session: Session, deed: str, *, yes: bool) -> None:
    """Ask whether to go on, unless ``--yes`` was given.

    Args:
        deed: what the command is about to do, with its number: ``clear 3 jobs of queue mail``.

    Raises:
        click.UsageError: nobody is there to be asked.
        click.Abort: the answer is no.
    """
    if yes:
        return
    if session.as_json or sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"this would {deed}: give --yes to do it without a question")
    if not click.confirm(f"{deed}?", err=True):
        raise click.Abort("nothing was done")
