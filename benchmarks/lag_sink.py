"""LagSink: a sink that notes how late events reach it; declared by the app of the benchmarks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hammerflow.options.checks import text
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import Message, Report

__all__ = ["LagSink"]


class LagSink:
    """Writes for each event how many seconds after its transaction it came here."""

    OPTIONS = OptionTable((Option("path", text(200), "", "The file."),))
    SECRETS: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._path = Path(options["path"])

    def open(self) -> None:
        """Nothing to connect."""

    def send(self, messages: Sequence[Message]) -> Report:
        """Append the lags of a batch as a line."""
        now = time.time()
        lags = [now - message.event.at.timestamp() for message in messages]
        with self._path.open("a") as lines:
            lines.write(json.dumps(lags) + "\n")
        return Report.all(messages)

    def close(self) -> None:
        """Nothing to close."""
