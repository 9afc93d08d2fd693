"""Reload: notices that a file of the user's app has changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["FileWatcher"]


class FileWatcher:
    """Compares modification times; for development, so a look per second will do."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._times = {path: _changed_at(path) for path in files}

    def changed(self) -> bool:
        """Whether any file has changed since the last call that said so."""
        now = {path: _changed_at(path) for path in self._times}
        is_other = now != self._times
        self._times = now
        return is_other


def _changed_at(path: Path) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
