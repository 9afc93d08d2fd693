"""Headers: what browsers are told of every answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

__all__ = ["HEADERS", "tag_of"]

#: Nothing is kept, framed, or taken for something else; pages run code and styles of this server
#: only, from files.
HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
}


def tag_of(body: bytes) -> str:
    """The ``ETag`` of an answer: it is the same while the answer is."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
