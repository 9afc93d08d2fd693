"""Names of queues and tasks as people type them: a typo makes neither."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from hammerflow.errors import ConfigError
from hammerflow.text import either

__all__ = ["refuse_unknown"]


def refuse_unknown(noun: str, name: str, known: Collection[str], *, remedy: str = "") -> None:
    """Refuse a name that is none of those that are known; ``noun`` says of what."""
    if name in known:
        return
    near = difflib.get_close_matches(name, sorted(known), n=3)
    advice = [f"did you mean {either(near)}?" if near else f"see hammerflow {noun} list"]
    raise ConfigError(
        f"there is no {noun} {name!r}: {'; '.join([*advice, *filter(None, [remedy])])}"
    )
