"""Patterns: names of values that nobody is shown."""

from __future__ import annotations

import re
from typing import Any, Final

from hammerflow.options.checks import Unfit, ValueCheck

__all__ = ["HIDDEN_NAMES", "PATTERNS"]

#: What is hidden unless the setting says otherwise.
HIDDEN_NAMES: Final = (
    "*password*", "*passwd*", "*secret*", "token", "*_token", "*api_key*", "*apikey*",
    "*authorization*", "*credential*", "*private_key*", "*card_number*", "cvv", "ssn",
)  # fmt: skip
_PATTERN = r"(type:)?[\w*?.\-\[\]]{1,100}"


def _patterns(value: Any) -> tuple[str, ...]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) > 1_000:
        raise Unfit
    found = tuple(part for part in parts if part != "")
    for part in found:
        if not isinstance(part, str) or not re.fullmatch(_PATTERN, part):
            raise Unfit(value=part)
    return found


#: Names, as a list or separated by commas.
PATTERNS: Final = ValueCheck(
    "list[str]", "names, which may hold *, such as *password* or type:Card", _patterns,
    bounds="names, which may hold *",
)  # fmt: skip
