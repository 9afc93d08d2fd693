"""Texts: what users' code and people say, made fit for every database."""

from __future__ import annotations

__all__ = ["REASON", "TRACE", "storable"]

#: Most characters kept of a reason or note; MySQL's TEXT holds 65 535 bytes, 4 for a character.
REASON = 16_000
#: Most characters kept of a message or traceback.
TRACE = 200_000


def storable(text: str, most: int = REASON) -> str:
    """The text without what a database refuses: PostgreSQL knows no NUL, UTF-8 no surrogates.

    One such text in a batch would undo, again and again, the ends of all the jobs in it.
    """
    if len(text) > most:
        text = f"{text[: most - 4]} ..."
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
