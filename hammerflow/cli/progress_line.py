"""ProgressLine: how far a long command is, on a line of the terminal that is written again."""

from __future__ import annotations

import sys
import time

import click

from hammerflow.cli.session import Session

__all__ = ["ProgressLine"]


class ProgressLine:
    """Shows a person at a terminal how far a command is, once a second; programs see nothing.

    Args:
        total: how many jobs there are.
    """

    def __init__(self, session: Session, total: int) -> None:
        self._total = total
        self._is_shown = not session.as_json and sys.stderr is not None and sys.stderr.isatty()
        self._shown_at = time.monotonic()

    def show(self, done: int) -> None:
        """Note how many jobs are done."""
        if self._is_shown and time.monotonic() - self._shown_at > 1:
            self._shown_at = time.monotonic()
            click.echo(f"\r{done:,} of {self._total:,}", nl=False, err=True)

    def end(self) -> None:
        """Leave the line to what comes after it."""
        if self._is_shown:
            click.echo("\r", nl=False, err=True)
