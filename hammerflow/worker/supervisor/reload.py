"""Notices that a file of the user's app has changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["FileWatcher"]


class FileWatcher:
    """Compares modification times. It is for development, so one check per second is enough."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._times = {path: _changed_at(path) for path in files}

    def changed(self) -> bool:
        """Whether any file has changed since the last call."""
        now = {path: _changed_at(path) for path in self._times}
        before, self._times = self._times, now
        return now != before


def _changed_at(path: Path) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
