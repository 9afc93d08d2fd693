"""FileSink: events as lines of JSON in a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from hammerflow.errors import ConfigError
from hammerflow.options.checks import ValueCheck, size, text, whole
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import Message, Report

__all__ = ["FileSink"]


def _absolute(value: Any) -> str:
    path: str = text(1_000, least=1).read(value)
    return os.path.abspath(path)


_PATH = ValueCheck("str", "the path of a file", _absolute)


class FileSink:
    """Appends to a file and forces it to disk before the cursor moves, so that no event is lost
    with the machine. At ``max_size`` the file becomes ``NAME.1``, the one before ``NAME.2`` ..."""

    OPTIONS = OptionTable((
        Option(
            "path", _PATH, "(required)",
            "The file, on the host of the relay; a relative one is resolved where it is given.",
        ),
        Option("max_size", size(1_000, 10**12), "None", "Bytes after which a new file begins."),
        Option("keep", whole(1, 1_000), "5", "Older files that are kept."),
    ))  # fmt: skip
    SECRETS: frozenset[str] = frozenset()

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if "path" not in options:
            raise ConfigError(f"the sink {name} needs the path of its file: path=...")
        self._path = str(options["path"])
        self._most = options.get("max_size")
        self._keep = int(options.get("keep", 5))
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Open the file to append to it, and end a line that a killed process has left half."""
        self._file = open(self._path, "ab+", buffering=0)  # noqa: SIM115 - open() and close() are the protocol
        size = self._file.seek(0, os.SEEK_END)
        if size:
            self._file.seek(size - 1)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def send(self, messages: Sequence[Message]) -> Report:
        """Append a line for each, and wait for the disk."""
        if self._most is not None and self._at_end() >= self._most:
            self._turn()
        assert self._file is not None
        data = b"".join(message.body.replace(b"\n", b" ") + b"\n" for message in messages)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]
        os.fsync(self._file.fileno())
        return Report.all(messages)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _at_end(self) -> int:
        assert self._file is not None
        return self._file.seek(0, os.SEEK_END)

    def _turn(self) -> None:
        """Begin a new file."""
        self.close()
        for number in range(self._keep, 0, -1):
            older = f"{self._path}.{number - 1}" if number > 1 else self._path
            with contextlib.suppress(FileNotFoundError):
                os.replace(older, f"{self._path}.{number}")
        self.open()
