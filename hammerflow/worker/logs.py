"""Logs: one line per fact, as text or JSON, from the supervisor and its children alike."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

__all__ = ["configure", "facts"]


def facts(**values: Any) -> dict[str, Any]:
    """The ``extra`` of a log call: named values that the formatters show."""
    return {"facts": values}


def configure(form: str, level: str) -> None:
    """Send all logs of this process to stderr.

    Args:
        form: "text" or "json".
        level: name of the lowest level to show.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _facts_of(record: logging.LogRecord) -> dict[str, Any]:
    found = getattr(record, "facts", {})
    return found if isinstance(found, dict) else {}


class _TextFormatter(logging.Formatter):
    """``2025-01-31 12:00:00.123 INFO worker[4711] child started pid=4712``"""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        name = record.name.removeprefix("hammerflow.")
        head = f"{at}.{int(record.msecs):03} {record.levelname} {name}[{record.process}]"
        tail = "".join(f" {key}={_plain(value)}" for key, value in _facts_of(record).items())
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{head} {record.getMessage()}{tail}{trace}"


class _JsonFormatter(logging.Formatter):
    """One object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **_facts_of(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _plain(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or "\n" in text else text
