"""Packing: the rows of archived jobs and workflows as compressed bytes, and back.

A pack is a byte that names the format, then msgpack compressed by zlib: the columns of each table,
and for each job or workflow its id and its rows. Columns are matched by name, so that a pack can be
read after a table has got more of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgpack

from hammerflow.errors import HammerflowError
from hammerflow.stores.rows import Row

__all__ = ["PIECE", "DamagedPack", "Entry", "Packed", "pack", "pieces_of", "unpack"]

#: Bytes of a pack that one row of ``archive_packs`` holds: less than any server's limit.
PIECE = 1 << 20
#: The fastest level: 1 000 small jobs take 0.6 ms and become a sixth; level 6 takes 2.9 ms for a
#: seventh, lzma's preset 0 takes 3.4 ms for an eleventh. The index of a job is larger than either.
_LEVEL = 1
_FORMAT = b"\x01"
Columns = Mapping[str, Sequence[str]]


class DamagedPack(HammerflowError):
    """A pack of the archive that cannot be read."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"a pack of the archive {why}: hammerflow maintenance check tells which jobs are in it;"
            " restore the database from a backup, or give them up with hammerflow archive purge"
        )


class Entry(NamedTuple):
    """All rows of one job or workflow, by table."""

    id: bytes
    rows: Mapping[str, Sequence[Row]]

    def value(self, columns: Columns, table: str, column: str) -> Any:
        """A value of its only row of a table; None if it has no such row."""
        rows = self.rows.get(table)
        return rows[0][columns[table].index(column)] if rows else None


class Packed(NamedTuple):
    """A pack, and for each of its entries how many bytes it had before it was compressed."""

    data: bytes
    sizes: Sequence[int]


def pack(columns: Columns, entries: Iterable[Entry]) -> Packed:
    """Compress entries; their instants may be aware datetimes, or naive ones in UTC."""
    encoder = msgpack.Packer(datetime=True, default=_plain)
    squeeze = zlib.compressobj(_LEVEL)
    parts = [_FORMAT, squeeze.compress(encoder.pack(columns))]
    sizes = []
    for entry in entries:
        encoded = encoder.pack([entry.id, entry.rows])
        sizes.append(len(encoded))
        parts.append(squeeze.compress(encoded))
    parts.append(squeeze.flush())
    return Packed(b"".join(parts), sizes)


def _plain(value: Any) -> Any:
    """A naive datetime of MySQL, which msgpack refuses."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    raise TypeError(f"cannot archive a value of the type {type(value).__name__}")


def unpack(data: bytes) -> tuple[Columns, Iterator[Entry]]:
    """The columns and entries of a pack; instants are aware datetimes.

    Raises:
        DamagedPack: it is damaged, or of a later version.
    """
    if data[:1] != _FORMAT:
        raise DamagedPack("is damaged, or of a later version of hammerflow")
    try:
        plain = zlib.decompress(data[1:])
    except zlib.error as error:
        raise DamagedPack(f"is damaged ({error})") from error
    decoder = msgpack.Unpacker(
        timestamp=3, strict_map_key=False, use_list=False, max_buffer_size=max(len(plain), 1),
    )  # fmt: skip
    decoder.feed(plain)
    columns = next(decoder)
    return columns, (Entry(*entry) for entry in decoder)


def pieces_of(data: bytes) -> Iterator[bytes]:
    """A pack in pieces of one row each."""
    for at in range(0, len(data), PIECE):
        yield data[at : at + PIECE]
