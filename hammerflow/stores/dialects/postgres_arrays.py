"""PostgreSQL's binary parameters: uuids and one-dimensional arrays, written in their wire form.

psycopg's own list dumper writes arrays as text at 5 microseconds an element; this takes 0.2.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import DataError, pq
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.types.datetime import TimestamptzBinaryLoader

from hammerflow.options.checks import EARLIEST, LATEST

__all__ = ["ADAPTERS", "Adapter", "register"]

#: Makes of a statement's value, or of a column of values, what psycopg sends in binary.
Adapter = Callable[[Any], Any]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of timestamptz
_MICROSECOND = timedelta(microseconds=1)
_UUID = 2950


def _dumper(type_oid: int) -> type[Dumper]:
    """A dumper for values that are bytes in wire form already."""

    class WireDumper(Dumper):
        format = pq.Format.BINARY
        oid = type_oid

        def dump(self, obj: Any) -> bytes:
            return bytes(obj)

    return WireDumper


class _UuidLoader(Loader):
    format = pq.Format.BINARY

    def load(self, data: Any) -> bytes:
        return bytes(data)


class _Uuid(bytes):
    """16 bytes to be sent as a uuid."""


def _uuid(value: bytes | None) -> _Uuid | None:
    return None if value is None else _Uuid(value)


def _array(oid: int, element: Callable[[Any], bytes]) -> tuple[type[bytes], Adapter]:
    """The class that marks arrays of one element type (psycopg finds a dumper by class), and the
    function that makes one of a sequence.

    Wire form (array_recv in PostgreSQL's arrayfuncs.c): number of dimensions, whether there are
    nulls, element type; for the dimension its length and lower bound; then each element behind its
    own length, -1 for a null. All integers are 4 bytes, big-endian.
    """
    kind = type("_ArrayOf", (bytes,), {})
    element_type = oid.to_bytes(4)
    null = b"\xff\xff\xff\xff"

    def adapt(values: Sequence[Any]) -> Any:
        size = len(values)
        nulls = values.count(None)
        head = (b"\0\0\0\1" if nulls else b"\0\0\0\0") + element_type
        if not size:
            return kind(b"\0\0\0\0" + head)
        if nulls == size:
            body = null * size
        elif nulls:
            body = b"".join([null if value is None else element(value) for value in values])
        else:
            body = b"".join([element(value) for value in values])
        return kind(b"\0\0\0\1" + head + size.to_bytes(4) + b"\0\0\0\1" + body)

    return kind, adapt


# -- elements, each behind its length


def _fixed(code: str) -> Callable[[Any], bytes]:
    """Numbers, by their code in :mod:`struct`."""
    return functools.partial(struct.Struct("!i" + code).pack, struct.calcsize("!" + code))


def _bytes(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


def _text(value: str) -> bytes:
    return _bytes(value.encode())


_eight_bytes = _fixed("q")


def _instant(value: datetime) -> bytes:
    return _eight_bytes((value - _EPOCH) // _MICROSECOND)


#: By PostgreSQL's pg_type.dat: (element oid, array oid, element in wire form).
_TYPES: dict[str, tuple[int, int, Callable[[Any], bytes]]] = {
    "uuid[]": (_UUID, 2951, b"\0\0\0\x10".__add__),
    "bigint[]": (20, 1016, _eight_bytes),
    "integer[]": (23, 1007, _fixed("i")),
    "smallint[]": (21, 1005, _fixed("h")),
    "float8[]": (701, 1022, _fixed("d")),
    "bytea[]": (17, 1001, _bytes),
    "text[]": (25, 1009, _text),
    "timestamptz[]": (1184, 1185, _instant),
}
_DUMPERS: dict[type, type[Dumper]] = {_Uuid: _dumper(_UUID)}

#: By the type that a statement gives its parameter; those of other types need no adapter.
ADAPTERS: dict[str, Adapter] = {"uuid": _uuid}

for _name, (_oid, _array_oid, _element) in _TYPES.items():
    _kind, ADAPTERS[_name] = _array(_oid, _element)
    _DUMPERS[_kind] = _dumper(_array_oid)


class _InstantLoader(TimestamptzBinaryLoader):
    """Reads an instant that Python lacks (an infinity, the year 20 000) as the nearest one: another
    program may have written it, and one job must not hide all others from a list."""

    def load(self, data: Any) -> datetime:
        try:
            return super().load(data)
        except DataError:
            return EARLIEST if bytes(data)[0] & 0x80 else LATEST


def register(adapters: AdaptersMap) -> None:
    """Teach a cursor the classes that :data:`ADAPTERS` makes, and to read a uuid as 16 bytes."""
    for kind, dumper in _DUMPERS.items():
        adapters.register_dumper(kind, dumper)
    adapters.register_loader("uuid", _UuidLoader)
    adapters.register_loader("timestamptz", _InstantLoader)
