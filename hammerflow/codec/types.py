"""Types: the tags of encoded values, why a value is refused, and how errors name types."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any, NamedTuple

import msgpack

from hammerflow.errors import NotDecodable

__all__ = ["EncodeError", "NotMade", "TooLarge", "TypeTag"]

MAX_DIGITS = 4300  # Python's own default limit between int and str
BIG = 10**MAX_DIGITS


class TypeTag(NamedTuple):
    """Marks a msgpack array as a tuple, set, enum or object: its first element is an extension.

    An array, and not one extension around all, because the packer then encodes the elements in C
    and counts the depth.
    """

    name: str  # as in JSON, with the $
    ext: Any  # made once: making it costs more than the rest of a small tuple


def _tag(name: str, code: int) -> TypeTag:
    return TypeTag(name, msgpack.ExtType(code, b""))


ENUM = _tag("$enum", 4)
OBJECT = _tag("$object", 5)
CONTAINER_TAGS = tuple(
    _tag(name, code)
    for name, code in [
        ("$tuple", 1), ("$set", 2), ("$frozenset", 3), ("$deque", 6), ("$ordereddict", 7),
        ("$defaultdict", 8), ("$counter", 9),
    ]
)  # fmt: skip
TYPE_TAG_OF_CODE = {tag.ext.code: tag for tag in (ENUM, OBJECT, *CONTAINER_TAGS)}
TYPE_TAG_BYTES = b"\xc7\x00"  # an extension of length 0: every type tag starts with it


class EncodeError(Exception):
    """A value cannot be encoded; the containers around it add the path, innermost step first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []
        self.inside: list[int] = []  # ids of the containers around it

    def sentence(self, name: Callable[[str], str]) -> str:
        """Path and reason; the path is cut, as that of a cycle is long."""
        steps = self.path[::-1]
        shown = "".join(steps[:8]) + ("..." if len(steps) > 8 else "")
        is_cycle = self.reason == TOO_DEEP and len(set(self.inside)) < len(self.inside)
        return f"{name(shown)}: {_CYCLE if is_cycle else self.reason}"


class TooLarge(EncodeError):
    """All parts together are too large, so none of them is named."""

    def __init__(self, size: str) -> None:
        super().__init__(
            f"{size}; store the data elsewhere and pass a reference, or raise the setting "
            "max_payload"
        )

    def sentence(self, name: Callable[[str], str]) -> str:
        """The reason, for the value as a whole."""
        return f"{name('')}: {self.reason}"


class NotMade(NotDecodable):
    """A stored enum, object or time zone cannot be made in this process."""


TOO_DEEP = "containers are nested too deep to be encoded; make the data flatter"
_CYCLE = "a container that contains itself cannot be encoded"


def int_text(value: int) -> str:
    """The digits of an int, unless there are too many."""
    if not -BIG < value < BIG:
        raise EncodeError(f"an int of more than {MAX_DIGITS} digits cannot be encoded")
    return str(value)


def whole_text(value: str) -> str:
    """The text itself, unless it holds a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"the text holds a lone surrogate at index {error.start}") from error
    return value


def full_name(cls: type) -> str:
    """Module and name of a class for an error message."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def short(value: Any) -> str:
    """A key of a dict, or a name, for an error message."""
    if type(value) in (str, bytes):
        return repr(value[:60])
    if type(value) in (bool, float, NoneType) or (type(value) is int and -BIG < value < BIG):
        return repr(value)[:60]
    return f"<{full_name(type(value))}>"


def error_text(error: BaseException) -> str:
    """Type and text of an error in one line that every database can store."""
    try:
        text = f"{type(error).__name__}: {error}"[:300]
    except Exception:  # noqa: BLE001  a border: __str__ of users' errors
        text = type(error).__name__
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def guarded(fn: Callable[[Any], Any], value: Any) -> Any:
    """``fn(value)``; any error of a user's code in it becomes an EncodeError."""
    try:
        return fn(value)
    except EncodeError:
        raise
    except Exception as error:  # a border: users' properties and time zones run in here
        raise EncodeError(
            f"{full_name(type(value))} cannot be encoded: {error_text(error)}"
        ) from error
