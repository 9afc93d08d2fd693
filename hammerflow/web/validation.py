"""Validation: what is wrong with a request, in words that name what would be right."""

from __future__ import annotations

import difflib
import re
import typing
from enum import Enum

import msgspec

from hammerflow.text import either

__all__ = ["told"]

_CHOICE = re.compile(r"Invalid enum value '?(.*?)'? - at `\$\.(\w+)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


def told(error: msgspec.ValidationError, wanted: type[msgspec.Struct]) -> str:
    """One sentence for the client; of what is nested, the sentence of msgspec."""
    text = str(error)
    fields = {one.encode_name: one.type for one in msgspec.structs.fields(wanted)}
    if (match := _CHOICE.fullmatch(text)) and (choices := _choices(fields.get(match[2]))):
        return f"{match[2]} must be {either(choices)}, not {match[1]!r}"
    if match := _UNKNOWN.fullmatch(text):
        near = difflib.get_close_matches(match[1], fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(fields) or 'none'}"
        return f"there is no parameter {match[1]!r}: {hint}"
    return text


def _choices(annotation: object) -> list[str]:
    """The values of an enumeration or of literals, which may be optional."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(one.value) for one in annotation]
    if typing.get_origin(annotation) is typing.Literal:
        return [str(one) for one in typing.get_args(annotation)]
    return [value for part in typing.get_args(annotation) for value in _choices(part)]
