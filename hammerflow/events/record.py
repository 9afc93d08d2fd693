"""Records: events as the database keeps them, packed one behind the other.

A record is 19 bytes: the kind, the id, the lease and the attempt. If one of the latter is above
255, both take four bytes, big-endian, and the kind has the bit 64. One with a detail has the bit
128, and is followed by the length of the detail in two bytes and the detail as JSON. A byte of zero
is a clock instead: the records behind it were written at the time that follows in eight bytes, in
microseconds since 1970. A byte of 63 begins a run of records that differ in their ids alone: its
kind, then lease, attempt and number of records in four bytes each, then the ids.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.events.kinds import EventKind

__all__ = [
    "CLOCK",
    "DETAIL",
    "LoggedRecord",
    "Record",
    "RecordRun",
    "pack",
    "packed_clock",
    "packs",
    "unpack",
]

#: Bytes of a detail, at most; a longer one is cut to nothing but the note that it was.
DETAIL = 8_000
_IS_WIDE, _HAS_DETAIL, _KIND = 0x40, 0x80, 0x3F
_NARROW, _WIDE = struct.Struct(">B16sBB"), struct.Struct(">B16sII")
_LENGTH = struct.Struct(">H")
_CLOCK = struct.Struct(">Bq")
#: Bytes of a clock.
CLOCK = _CLOCK.size
_RUN, _RUN_HEAD, _ID = 0x3F, struct.Struct(">BBIII"), 16
#: Records from which a run is shorter; and the bytes of a pack that a server keeps in the row
#: itself: PostgreSQL moves what is longer than a page to another table, InnoDB longer than half of
#: one to a page of its own.
_SHORT, _PACK = 5, 8_030
_LONGEST = (_PACK - _RUN_HEAD.size) // _ID


class Record(NamedTuple):
    """What a transaction notes of an event."""

    kind: int
    id: bytes  # of a job or workflow; else a number in 16 bytes
    lease: int = 0
    attempt: int = 0
    detail: Mapping[str, Any] | None = None  # what no row tells later


class RecordRun(NamedTuple):
    """Records that differ in their ids alone."""

    kind: int
    lease: int
    attempt: int
    ids: Sequence[bytes]


class LoggedRecord(NamedTuple):
    """A record that was read from the log."""

    position: int
    at: float  # seconds since 1970, by the database's clock
    kind: EventKind | int  # a number: a kind that only a newer version knows
    id: bytes
    lease: int
    attempt: int
    detail: Mapping[str, Any] | None


def pack(records: Iterable[Record | RecordRun]) -> bytes:
    """Records as bytes."""
    return b"".join(data for _, data in _pieces(records))


def packs(records: Iterable[Record | RecordRun]) -> list[tuple[int, bytes]]:
    """Records as rows of the outbox: (how many, their bytes), none longer than a server keeps in
    place, unless a single detail is."""
    rows: list[tuple[int, bytes]] = []
    parts: list[bytes] = []
    count = size = 0
    for n, data in _pieces(records):
        if parts and size + len(data) > _PACK:
            rows.append((count, b"".join(parts)))
            parts, count, size = [], 0, 0
        parts.append(data)
        count, size = count + n, size + len(data)
    if parts:
        rows.append((count, b"".join(parts)))
    return rows


def _pieces(records: Iterable[Record | RecordRun]) -> Iterator[tuple[int, bytes]]:
    """Pieces of a pack, and how many records each one has."""
    form: tuple[int, int, int] | None = None
    ids: list[bytes] = []
    for record in records:
        if isinstance(record, RecordRun):
            yield from _packed_run(form, ids)
            form, ids = None, []
            yield from _packed_run(record[:3], record.ids)
            continue
        kind, id_, lease, attempt, detail = record
        if detail is not None:
            yield from _packed_run(form, ids)
            form, ids = None, []
            yield 1, _packed(kind, lease, attempt, id_, detail)
        elif form == (kind, lease, attempt):
            ids.append(id_)
        else:
            yield from _packed_run(form, ids)
            form, ids = (kind, lease, attempt), [id_]
    yield from _packed_run(form, ids)


def _packed_run(
    form: tuple[int, int, int] | None, ids: Sequence[bytes]
) -> Iterator[tuple[int, bytes]]:
    if form is None:
        return
    kind, lease, attempt = form
    if len(ids) < _SHORT:
        for id_ in ids:
            yield 1, _packed(kind, lease, attempt, id_, None)
        return
    for at in range(0, len(ids), _LONGEST):
        part = ids[at : at + _LONGEST]
        head = _RUN_HEAD.pack(_RUN, kind, lease, attempt, len(part))
        yield len(part), head + b"".join(part)


def _packed(
    code: int, lease: int, attempt: int, id_: bytes, detail: Mapping[str, Any] | None
) -> bytes:
    is_wide = lease > 255 or attempt > 255
    form, kind = (_WIDE, code | _IS_WIDE) if is_wide else (_NARROW, code)
    if detail is None:
        return form.pack(kind, id_, lease, attempt)
    text = json.dumps(detail, separators=(",", ":")).encode()
    if len(text) > DETAIL:
        text = b'{"cut":true}'
    head = form.pack(kind | _HAS_DETAIL, id_, lease, attempt)
    return head + _LENGTH.pack(len(text)) + text


def packed_clock(at: float) -> bytes:
    """The time of the records that follow."""
    return _CLOCK.pack(0, round(at * 1_000_000))


def unpack(
    data: bytes, first: int, at: float, kinds: Container[EventKind] | None = None
) -> Iterator[LoggedRecord]:
    """The records of a pack.

    Args:
        first: the position of the first one.
        at: their time, where no clock stands before them.
        kinds: those of other kinds that this version knows are left out; None for all.
    """
    place, position, end = 0, first, len(data)
    while place < end:
        if data[place] == 0:
            at = _CLOCK.unpack_from(data, place)[1] / 1_000_000
            place += _CLOCK.size
            continue
        if data[place] == _RUN:
            _, code, lease, attempt, count = _RUN_HEAD.unpack_from(data, place)
            place += _RUN_HEAD.size
            kind = _kind(code)
            if not _is_among(kind, kinds):
                place, position = place + _ID * count, position + count
                continue
            for _ in range(count):
                id_ = data[place : place + _ID]
                yield LoggedRecord(position, at, kind, id_, lease, attempt, None)
                place, position = place + _ID, position + 1
            continue
        form = _WIDE if data[place] & _IS_WIDE else _NARROW
        code, id_, lease, attempt = form.unpack_from(data, place)
        place += form.size
        text = b""
        if code & _HAS_DETAIL:
            [size] = _LENGTH.unpack_from(data, place)
            place += _LENGTH.size
            text = data[place : place + size]
            place += size
        kind = _kind(code & _KIND)
        if _is_among(kind, kinds):
            detail = json.loads(text) if text else None
            yield LoggedRecord(position, at, kind, id_, lease, attempt, detail)
        position += 1


_KINDS = {int(kind): kind for kind in EventKind}


def _kind(code: int) -> EventKind | int:
    return _KINDS.get(code, code)


def _is_among(kind: EventKind | int, kinds: Container[EventKind] | None) -> bool:
    return kinds is None or not isinstance(kind, EventKind) or kind in kinds
