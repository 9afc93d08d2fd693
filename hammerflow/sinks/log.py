"""LogSink: events as lines of Python's logging."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.options.checks import choice, text
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import Message, Report
from hammerflow.text import visible

__all__ = ["LogSink"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class LogSink:
    """Writes a line for each event to a logger of the relay process."""

    OPTIONS = OptionTable((
        Option("logger", text(200, least=1), '"hammerflow.events"', "The logger's name."),
        Option("level", choice(*_LEVELS), '"info"', "The level of the lines."),
    ))  # fmt: skip
    SECRETS: frozenset[str] = frozenset()

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._log = logging.getLogger(options.get("logger", "hammerflow.events"))
        self._level = _LEVELS[options.get("level", "info")]

    def open(self) -> None:
        """Nothing to connect."""

    def send(self, messages: Sequence[Message]) -> Report:
        """Write the lines."""
        for message in messages:
            event = message.event
            data = visible(message.body.decode("utf-8", "replace"))
            self._log.log(self._level, "%s %s %s", event.kind, event.subject, data)
        return Report.all(messages)

    def close(self) -> None:
        """Nothing to close."""
