"""Addresses to listen on, as ``HOST:PORT``."""

from __future__ import annotations

import re
from typing import Any

from hammerflow.options.checks import Unfit, ValueCheck
from hammerflow.text import plain_text

__all__ = ["LISTEN", "listen_address"]

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", re.ASCII)


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:8080``, ``[::1]:8080`` or ``localhost:0``."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[2]) > 65_535:
        raise Unfit
    return found[1].strip("[]"), int(found[2])


def _read(value: Any) -> str:
    plain = plain_text(value)
    if plain is None:
        raise Unfit
    listen_address(plain)
    return plain


LISTEN = ValueCheck("str", "an address such as 127.0.0.1:8080", _read)
