"""Text: checked names, and messages that every database can store."""

from __future__ import annotations

from typing import Final

from hammerflow.errors import ConfigError

__all__ = ["REASON", "TRACE", "checked_name", "storable"]

#: Most characters kept of a reason or note; MySQL's TEXT holds 65 535 bytes, 4 for a character.
REASON: Final = 16_000
#: Most characters kept of a message or traceback.
TRACE: Final = 200_000


def checked_name(value: str, what: str) -> str:
    """The value itself, if it can be a name or key in every database.

    It has 1 to 255 printable characters, so no NUL or lone surrogate; ``what`` names it in errors.
    """
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        shown = repr(value) if len(repr(value)) <= 80 else f"{value!r:.80}..."
        raise ConfigError(f"{what} must have 1 to 255 printable characters, not {shown}")
    return value


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
