"""NoSink: keeps the log on and sends nothing, for readers that ask the log themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.options.option import OptionTable
from hammerflow.sinks.base import Message, Report

__all__ = ["NoSink"]


class NoSink:
    """Takes everything and does nothing."""

    OPTIONS = OptionTable(())
    SECRETS: frozenset[str] = frozenset()

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        pass

    def open(self) -> None:
        """Nothing to connect."""

    def send(self, messages: Sequence[Message]) -> Report:
        """Everything counts as delivered."""
        return Report.all(messages)

    def close(self) -> None:
        """Nothing to close."""
