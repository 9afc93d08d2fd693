"""What lists say of a pause."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from hammerflow.durations import age

__all__ = ["paused_text"]


class Pausable(Protocol):
    """A queue, a task or a pause itself."""

    @property
    def paused_at(self) -> datetime | None: ...
    @property
    def paused_by(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...


def paused_text(thing: Pausable) -> str:
    """``5 m ago by ann@web1: upgrade``; empty if it is not paused."""
    if thing.paused_at is None:
        return ""
    by = f" by {thing.paused_by}" if thing.paused_by else ""
    return f"{age(thing.paused_at)} ago{by}" + (f": {thing.reason}" if thing.reason else "")
