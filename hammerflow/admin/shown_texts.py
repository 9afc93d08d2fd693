"""Texts that may hold values of jobs: messages of errors, tracebacks, answers, data of events.

Nobody sees what the setting ``redact`` hides. Who may not see arguments and results sees of a
message what failures of one cause have in common, and of a traceback where it was raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hammerflow.admin.failures import cause_of
from hammerflow.admin.redaction import Redaction

__all__ = ["ShownTexts"]

_VALUES = ("args", "kwargs", "result")
#: Words that are rather data than language: addresses, paths, pairs.
_DATA = re.compile(r"\S*[@=/\\]\S*")
_FRAME = re.compile(r"[\s|]+ File \"")
#: What Python writes between the tracebacks of a chain.
_BETWEEN = ("Traceback (", "During handling of", "The above exception was", "Exception Group Tra")
_ERROR = re.compile(r"((?:\s*[|+-]+)?\s*[\w.]+)(?:: (.*))?")
_LINES = 10_000


class ShownTexts:
    """What one person is shown of such texts.

    Args:
        redaction: what nobody sees.

    Attributes:
        sees_values: whether they may see arguments and results.
    """

    def __init__(self, redaction: Redaction, *, sees_values: bool) -> None:
        self._redaction = redaction
        self.sees_values = sees_values

    def message(self, text: str) -> str:
        """The message of an error."""
        shown = self._redaction.text(text)
        return shown if self.sees_values else _withheld(shown)

    def remark(self, text: str) -> str:
        """What a person or a body has said for people: a reason, a note of progress."""
        return self._redaction.text(text)

    def traceback(self, text: str) -> str:
        """A traceback; without the messages of its errors if they may not be seen."""
        shown = self._redaction.text(text)
        return shown if self.sees_values else "\n".join(_places(shown))

    def answer(self, text: str) -> str:
        """What an endpoint has answered, or was to get: nothing of it for who sees no values."""
        return self._redaction.text(text) if self.sees_values else ""

    def note(self, text: str) -> str:
        """An error in one line, ``ValueError: no such album``: its type for who sees no values, as
        the lines of its message cannot be told apart any more."""
        return self._redaction.text(text) if self.sees_values else text.partition(": ")[0]

    def call(self, text: str) -> str:
        """A call in one line, ``shop.resize(42)``: without its arguments for who sees no values."""
        if self.sees_values:
            return self._redaction.text(text)
        name, bracket, _ = text.partition("(")
        return f"{name}(...)" if bracket else text

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Headers, metadata, the options of a sink: what their names hide, nobody sees."""
        found = self._redaction.value(dict(fields))
        return {
            name: self._redaction.text(one) if isinstance(one, str) else one
            for name, one in found.items()
        }

    def event(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The data of an event."""
        found: dict[str, Any] = self._redaction.value(dict(data))
        if not self.sees_values:
            found = {name: value for name, value in found.items() if name not in _VALUES}
        if isinstance(error := found.get("error"), dict) and "message" in error:
            found["error"] = {**error, "message": self.message(str(error["message"]))}
        if isinstance(reason := found.get("reason"), str):
            found["reason"] = self.remark(reason)
        return found


def _withheld(message: str) -> str:
    return _DATA.sub("*", cause_of(message))


def _places(text: str) -> Iterator[str]:
    """The lines of a traceback that come from code; of each error its type and no message."""
    is_code = False
    for line in text.split("\n")[:_LINES]:
        if _FRAME.match(line):
            is_code = True
            yield line
        elif is_code and line.startswith("    "):
            yield line  # the source, and marks below it
        elif line.startswith(_BETWEEN) or not line:
            is_code = False
            yield line
        elif is_code and (found := _ERROR.fullmatch(line)):
            is_code = False
            yield f"{found[1]}: {_withheld(found[2])}" if found[2] else found[1]
