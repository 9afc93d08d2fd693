"""Text: names that are checked, and messages made fit for every database."""

from __future__ import annotations

import re
from typing import Final

from hammerflow.errors import ConfigError

__all__ = ["REASON", "TRACE", "checked_name", "clean_text", "storable"]

#: Most characters kept of a reason or note; MySQL's TEXT holds 65 535 bytes, 4 for a character.
REASON = 16_000
#: Most characters kept of a message or traceback.
TRACE = 200_000
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def storable(text: str, most: int = REASON) -> str:
    """The text without what a database refuses: PostgreSQL knows no NUL, UTF-8 no surrogates.

    One such text in a batch would undo, again and again, the ends of all the jobs in it.
    """
    if len(text) > most:
        text = f"{text[: most - 4]} ..."
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def clean_text(value: str, what: str, limit: int | None = 255) -> str:
    """The value itself, if every database can hold it as a name, key or header.

    Args:
        value: the text.
        what: names it in the error.
        limit: 1 to so many characters; None for any number, none included.

    Raises:
        ConfigError: it is no text, empty or too long, or holds a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{what} must be a text, not {type(value).__name__}")
    if limit is not None and not 0 < len(value) <= limit:
        raise ConfigError(f"{what} must have 1 to {limit} characters, not {len(value)}")
    if "\0" in value:
        raise ConfigError(f"{what} holds a NUL character, which not every database can store")
    if not value.isascii() and _SURROGATE.search(value) is not None:
        raise ConfigError(f"{what} holds a lone surrogate, so it is no valid text: {value[:60]!r}")
    return value


def checked_name(value: str, what: str) -> str:
    """A name as a column holds it: 1 to 255 printable characters."""
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise ConfigError(f"{what} is 1 to 255 printable characters, not {value!r}")
    return clean_text(value, what)
