"""Lines that bodies log, kept up to a bound for each attempt and packed into one row."""

from __future__ import annotations

import copy
import json
import logging
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from hammerflow.text import storable

__all__ = [
    "LINE", "LOGGER", "MOST_BYTES", "AttemptLog", "KeptLine", "LineBuffer", "LogLine", "log_of",
]  # fmt: skip

#: Characters of one line with its traceback, and of the name of its logger.
LINE: Final = 16_000
LOGGER: Final = 200
#: What the lines of one attempt may have together, before they are compressed.
MOST_BYTES: Final = 256 << 10
_OF_A_LINE = 40  # bytes besides its text


class KeptLine(NamedTuple):
    """A line as it is kept."""

    at: float  # seconds since 1970
    level: int  # as of logging
    logger: str
    text: str

    @classmethod
    def of(cls, at: float, level: int, logger: str, text: str) -> KeptLine:
        """A line with texts that any database takes."""
        return cls(at, level, storable(logger, LOGGER), storable(text, LINE))


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a body has logged.

    Attributes:
        at: when, by the clock of the worker's host.
        level: ``debug``, ``info``, ``warning``, ``error``, ``critical``, or what the application
            calls another one.
        logger: name of the logger.
        message: the text, with the traceback of an exception that was logged.
    """

    at: datetime
    level: str
    logger: str
    message: str


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """What one attempt of a job has logged.

    Attributes:
        attempt: number of the attempt, from 1. One that a snooze or a drain has given back, or
            that came before a retry by hand, has the number of a later one.
        lease: grows from claim to claim, so it tells attempts of one number apart.
        lines: in the order in which they were logged.
        dropped: how many lines were not kept.
        dropped_at: before which of the lines they were.
    """

    attempt: int
    lease: int
    lines: tuple[LogLine, ...]
    dropped: int
    dropped_at: int


class LineBuffer:
    """The first and the last lines of an attempt: a quarter of what may be kept are the first."""

    def __init__(self, most: int, size: int = MOST_BYTES) -> None:
        self._head: list[KeptLine] = []
        self._tail: deque[KeptLine] = deque()
        self._most_head, self._most_tail = (most + 3) // 4, most - (most + 3) // 4
        self._head_room, self._tail_room = size // 4, size - size // 4
        self._room = size
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._head) + len(self._tail)

    def add(self, line: KeptLine) -> None:
        """Take a line; it may push out older ones."""
        size = _size(line)
        is_head = not self._tail and not self.dropped and len(self._head) < self._most_head
        if is_head and size <= self._head_room:
            self._head_room -= size
            self._head.append(line)
            return
        self._tail.append(line)
        self._tail_room -= size
        while self._tail and (self._tail_room < 0 or len(self._tail) > self._most_tail):
            self._tail_room += _size(self._tail.popleft())
            self.dropped += 1

    def extend_last(self, text: str) -> None:
        """Add to the text of the last line."""
        lines = self._tail or self._head
        if lines:
            last = lines.pop()
            lines.append(last._replace(text=last.text + text))
            if lines is self._tail:
                self._tail_room -= len(text)

    @property
    def size(self) -> int:
        """Bytes that its lines take."""
        return self._room - self._head_room - self._tail_room

    def copy(self) -> LineBuffer:
        """The same lines, to which nothing is added."""
        found = copy.copy(self)
        found._head, found._tail = [*self._head], deque(self._tail)
        return found

    def packed(self) -> bytes:
        """All of it for a row."""
        held = {"at": len(self._head), "dropped": self.dropped, "lines": [*self._lines()]}
        return zlib.compress(json.dumps(held, separators=(",", ":")).encode(), 1)

    def _lines(self) -> Iterator[KeptLine]:
        yield from self._head
        yield from self._tail


def _size(line: KeptLine) -> int:
    text = line.text
    return _OF_A_LINE + len(line.logger) + (len(text) if text.isascii() else len(text.encode()))


def log_of(attempt: int, lease: int, packed: bytes) -> AttemptLog:
    """The log of an attempt from its row.

    Raises:
        ValueError: the bytes are not what :meth:`LineBuffer.packed` gives.
    """
    try:
        held: dict[str, Any] = json.loads(zlib.decompress(packed))
        lines = tuple(_line(KeptLine(*row)) for row in held["lines"])
        return AttemptLog(attempt, lease, lines, int(held["dropped"]), int(held["at"]))
    except (zlib.error, KeyError, TypeError, OverflowError, OSError) as error:
        raise ValueError("the kept lines cannot be read") from error


def _line(kept: KeptLine) -> LogLine:
    at = datetime.fromtimestamp(kept.at, UTC)
    return LogLine(at, logging.getLevelName(kept.level).lower(), kept.logger, kept.text)
