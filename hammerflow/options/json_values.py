"""JSON values: what JSON keeps exactly, checked with the path to what it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from hammerflow.text import plain_text, safe_repr

__all__ = ["Misfit", "json_copy"]

_DEEPEST: Final = 50
_MOST_VALUES: Final = 100_000
_LONGEST_NUMBER: Final = 1_000  # digits; Python refuses to write more than 4 300
_TYPES: Final = "text, a number, true, false, null, a list or a mapping"
_ADVICE: Final[dict[type, str]] = {
    tuple: "a tuple would come back as a list: write a list",
    set: "write a sorted list",
    frozenset: "write a sorted list",
    bytes: "write text, for example base64",
    bytearray: "write text, for example base64",
}


class Misfit(ValueError):
    """JSON cannot keep a value.

    Attributes:
        path: where the value is, ``"['a'][0]"``.
        value: the value at fault.
        wanted: what it must be.
        advice: what to do; may be empty.
    """

    def __init__(self, path: str, value: Any, wanted: str = _TYPES, advice: str = "") -> None:
        super().__init__(f"{path or 'it'} must be {wanted}")
        self.path, self.value, self.wanted, self.advice = path, value, wanted, advice


def json_copy(value: Any) -> Any:
    """A copy of a value made of JSON's own types only.

    Text and numbers of a subclass, such as the members of a StrEnum, become plain ones. Tuples,
    keys that are not text, dates, bytes, NaN and infinity are refused: JSON would change them.

    Raises:
        Misfit: with the path to the first value that does not fit.
    """
    return _copy(value, "", 0, [_MOST_VALUES])


def _copy(value: Any, path: str, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise Misfit("", value, f"a mapping of at most {_MOST_VALUES} values")
    if depth > _DEEPEST:
        raise Misfit("", value, f"nested at most {_DEEPEST} levels deep")
    match value:
        case None | True | False:
            return value
        case str():
            return plain_text(value)
        case int():
            return _whole(value, path)
        case float():
            if not math.isfinite(value):
                raise Misfit(path, value, "a finite number")
            return float(value)
        case list():
            return [_copy(v, f"{path}[{i}]", depth + 1, left) for i, v in enumerate(value)]
        case Mapping():
            return _mapping(value, path, depth, left)
    raise Misfit(path, value, advice=_ADVICE.get(type(value), ""))


def _whole(value: int, path: str) -> int:
    if value.bit_length() > _LONGEST_NUMBER * 3.3:
        raise Misfit(path, type(value), f"a number of at most {_LONGEST_NUMBER} digits")
    return int(value)


def _mapping(value: Mapping[Any, Any], path: str, depth: int, left: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, part in value.items():
        plain = plain_text(key)
        if plain is None:
            raise Misfit(path, key, "a mapping with text as keys", "write the key as text")
        if plain in found:  # a member of an Enum, and its value
            raise Misfit(path, key, "a mapping with each key once")
        found[plain] = _copy(part, f"{path}[{safe_repr(plain, 40)}]", depth + 1, left)
    return found
