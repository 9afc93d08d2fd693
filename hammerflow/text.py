"""Text: checked names, and messages that every database can store."""

from __future__ import annotations

import reprlib
from typing import Any, Final

from hammerflow.errors import ConfigError

__all__ = ["NAME", "REASON", "TRACE", "checked_name", "plain_text", "safe_repr", "storable"]

#: Most characters of a name or key.
NAME: Final = 255

#: Most characters kept of a reason or note; MySQL's TEXT holds 65 535 bytes, 4 for a character.
REASON: Final = 16_000
#: Most characters kept of a message or traceback.
TRACE: Final = 200_000


def plain_text(value: Any) -> str | None:
    """The text itself; of a subclass, such as a member of a StrEnum, its plain value; None for
    anything else."""
    if type(value) is str:
        return value
    return str.__str__(value) if issubclass(type(value), str) else None


def safe_repr(value: Any, most: int = 200) -> str:
    """The repr of a user's value for a message: short, printable, and never an exception.

    Args:
        most: the most characters.
    """
    try:
        shown = _SHORT.repr(value) if type(value) in _BUILT_IN else repr(value)
        shown = storable(shown, max(2 * most, 200))
    except Exception:  # noqa: BLE001 - a border: the value's own code runs here
        shown = f"<{type(value).__name__}: repr failed>"
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


_BUILT_IN = {str, bytes, bytearray, int, list, tuple, dict, set, frozenset}
_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxfrozenset = 10
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200


def checked_name(value: str, what: str) -> str:
    """The value itself, if it can be a name or key in every database.

    It has 1 to 255 printable characters, so no NUL or lone surrogate; ``what`` names it in errors.
    """
    plain = plain_text(value)
    if plain is None or not 0 < len(plain) <= NAME or not plain.isprintable():
        raise ConfigError(
            f"{what} must have 1 to {NAME} printable characters, not {safe_repr(value, 80)}"
        )
    return plain


def storable(text: str, most: int = REASON) -> str:
    """The text in a form that every database accepts, cut in its middle to ``most`` characters.

    PostgreSQL refuses NUL, and UTF-8 has no lone surrogates. One such text would roll back the
    transaction of all jobs that are settled with it, at each retry.
    """
    if not text.isascii():
        text = text.encode(errors="backslashreplace").decode()
    text = text.replace("\0", "\\0")
    if len(text) <= most:
        return text
    kept = most - 50  # room for the words below
    head = kept // 3
    left_out = f"\n... {len(text) - kept} characters left out ...\n"
    return text[:head] + left_out + text[head - kept :]
