"""Records: events as the database keeps them, packed one behind the other.

A record is 19 bytes: the kind, the id, the lease and the attempt. If one of the latter is above
255, both take four bytes, big-endian, and the kind has the bit 64. One with a detail has the bit
128, and is followed by the length of the detail in two bytes and the detail as JSON. A byte of zero
is a clock instead: the records behind it were written at the time that follows in eight bytes, in
microseconds since 1970.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from hammerflow.events.kinds import EventKind

__all__ = ["DETAIL", "LoggedRecord", "Record", "pack", "packed_clock", "unpack"]

#: Bytes of a detail, at most; a longer one is cut to nothing but the note that it was.
DETAIL = 8_000
_IS_WIDE, _HAS_DETAIL, _KIND = 0x40, 0x80, 0x3F
_NARROW, _WIDE = struct.Struct(">B16sBB"), struct.Struct(">B16sII")
_LENGTH = struct.Struct(">H")
_CLOCK = struct.Struct(">Bq")


class Record(NamedTuple):
    """What a transaction notes of an event."""

    kind: int
    id: bytes  # of a job or workflow; else a number in 16 bytes
    lease: int = 0
    attempt: int = 0
    detail: Mapping[str, Any] | None = None  # what no row tells later


class LoggedRecord(NamedTuple):
    """A record that was read from the log."""

    position: int
    at: float  # seconds since 1970, by the database's clock
    kind: EventKind | int  # a number: a kind that only a newer version knows
    id: bytes
    lease: int
    attempt: int
    detail: Mapping[str, Any] | None


def pack(records: Iterable[Record]) -> bytes:
    """Records as bytes."""
    parts: list[bytes] = []
    for code, id_, lease, attempt, detail in records:
        is_wide = lease > 255 or attempt > 255
        form, kind = (_WIDE, code | _IS_WIDE) if is_wide else (_NARROW, code)
        if detail is None:
            parts.append(form.pack(kind, id_, lease, attempt))
            continue
        text = json.dumps(detail, separators=(",", ":")).encode()
        if len(text) > DETAIL:
            text = b'{"cut":true}'
        parts += (
            form.pack(kind | _HAS_DETAIL, id_, lease, attempt),
            _LENGTH.pack(len(text)),
            text,
        )
    return b"".join(parts)


def packed_clock(at: float) -> bytes:
    """The time of the records that follow."""
    return _CLOCK.pack(0, round(at * 1_000_000))


def unpack(data: bytes, first: int, at: float) -> Iterator[LoggedRecord]:
    """The records of a pack.

    Args:
        first: the position of the first one.
        at: their time, where no clock stands before them.
    """
    place, position, end = 0, first, len(data)
    while place < end:
        if data[place] == 0:
            at = _CLOCK.unpack_from(data, place)[1] / 1_000_000
            place += _CLOCK.size
            continue
        form = _WIDE if data[place] & _IS_WIDE else _NARROW
        code, id_, lease, attempt = form.unpack_from(data, place)
        place += form.size
        detail = None
        if code & _HAS_DETAIL:
            [size] = _LENGTH.unpack_from(data, place)
            place += _LENGTH.size
            detail = json.loads(data[place : place + size])
            place += size
        yield LoggedRecord(position, at, _kind(code & _KIND), id_, lease, attempt, detail)
        position += 1


_KINDS = {int(kind): kind for kind in EventKind}


def _kind(code: int) -> EventKind | int:
    return _KINDS.get(code, code)
