"""The task behind empty groups and replace() with a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["BUILTIN", "builtin_tasks"]

#: Prefix of the builtin tasks' names.
BUILTIN = "hammerflow."


def builtin_tasks() -> dict[str, Callable[..., Any]]:
    """The functions of the builtin tasks by name."""

    def collect(results: list[Any]) -> list[Any]:
        return results

    return {f"{BUILTIN}collect": collect}
