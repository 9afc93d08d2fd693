"""Backup files: a head, compressed packs of rows and the counts, closed by a checksum of it all.

The format, version 1: the line ``hammerflow-backup``, then frames, then the line
``hammerflow-backup-end`` with the SHA-256 of everything before it, 32 bytes. A frame is one letter,
the length of its body in four bytes (big-endian), and the body:

``H``  JSON: what :class:`BackupHead` holds; always the first frame.
``R``  zlib, then msgpack: [table, rows]; a row has its values in the order of the head's columns.
``E``  JSON: the number of rows of each table; always the last frame.

Values are null, integers, floats, texts and bytes; an id is its 16 bytes. An instant is msgpack's
extension 1 with microseconds since 1970 (UTC) in eight signed bytes. SQLite, which has no type for
instants, writes seconds since 1970 as a float.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self

import msgpack

from hammerflow.errors import HammerflowError

__all__ = ["BackupHead", "BackupReader", "BackupWriter", "Instant"]

_BEGIN, _END = b"hammerflow-backup\n", b"\nhammerflow-backup-end\n"
_FORMAT = 1
_CHUNK = 1 << 20
_LEVEL = 3  # of zlib: twice as fast as the default 6, and a tenth larger
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INSTANT = 1
_SUM = hashlib.sha256().digest_size


class Instant(int):
    """A time in a backup: microseconds since 1970 (UTC)."""

    @property
    def moment(self) -> datetime:
        """As a datetime."""
        return _EPOCH + int(self) * _MICROSECOND


@dataclass(frozen=True, slots=True)
class BackupHead:
    """What a backup says about itself.

    Attributes:
        format: version of the file format.
        created_at: when the snapshot was taken, by the clock of this host: ISO 8601, UTC.
        app: the namespace of the app.
        dialect: sqlite, postgres or mysql.
        schema: version of the tables.
        hammerflow: version that wrote it.
        columns: of each table.
    """

    format: int
    created_at: str
    app: str
    dialect: str
    schema: int
    hammerflow: str
    columns: Mapping[str, Sequence[str]]

    @classmethod
    def now(cls, **about: Any) -> BackupHead:
        """The head of a backup that begins now."""
        return cls(_FORMAT, datetime.now(UTC).isoformat(timespec="milliseconds"), **about)


class BackupWriter:
    """Writes a backup under a temporary name; it gets its own once it is whole and on the disk.

    Args:
        path: what the file is called; a file of this name must not exist.

    Raises:
        HammerflowError: there is such a file.
        OSError: it cannot be written; nothing is left behind.
    """

    def __init__(self, path: Path, head: BackupHead) -> None:
        if path.exists():
            raise HammerflowError(f"{path} exists already: name another file, or remove that one")
        self._path = path
        self._partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._sum = hashlib.sha256()
        self.rows: Counter[str] = Counter(dict.fromkeys(head.columns, 0))
        # Arguments and results are nobody else's to read.
        try:
            descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            error.filename = str(path)
            raise
        self._file = os.fdopen(descriptor, "wb")
        self._head = head

    def __enter__(self) -> Self:
        try:
            self._write(_BEGIN)
            self._frame(b"H", _json(asdict(self._head)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()
        with contextlib.suppress(FileNotFoundError):  # it has its name
            self._partial.unlink()

    def add(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Write some rows of a table."""
        packed = msgpack.packb([table, rows], default=_packed_instant)
        self._frame(b"R", zlib.compress(packed, _LEVEL))
        self.rows[table] += len(rows)

    def finish(self) -> int:
        """Close the file and give it its name; its size in bytes."""
        self._frame(b"E", _json({"rows": self.rows}))
        self._write(_END)
        self._file.write(self._sum.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        self._partial.rename(self._path)
        _sync_folder(self._path.parent)
        return size

    def _frame(self, kind: bytes, body: bytes) -> None:
        self._write(kind + len(body).to_bytes(4) + body)

    def _write(self, data: bytes) -> None:
        self._sum.update(data)
        self._file.write(data)


class BackupReader:
    """Reads a backup whose checksum it has compared first.

    Attributes:
        head: what the file says about itself.
        rows: how many rows of each table it has.
        size: of the file, in bytes.

    Raises:
        HammerflowError: it is another file, is cut, was changed, or has a newer format.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self._check_whole()
            self._file.seek(len(_BEGIN))
            self.head = self._read_head()
            self._first = self._file.tell()
            self.rows = self._read_counts()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()

    def packs(self) -> Iterator[tuple[str, list[list[Any]]]]:
        """(table, some of its rows), in the order in which they were written."""
        self._file.seek(self._first)
        for kind, body in self._frames():
            if kind == b"R":
                table, rows = msgpack.unpackb(zlib.decompress(body), ext_hook=_read_instant)
                yield table, rows

    def _read_counts(self) -> Mapping[str, int]:
        for kind, length in self._heads():
            if kind == b"E":
                counts: Mapping[str, int] = json.loads(self._file.read(length))["rows"]
                return counts
            self._file.seek(length, os.SEEK_CUR)
        return {}

    def _read_head(self) -> BackupHead:
        _, body = next(self._frames())
        found = json.loads(body)
        if found.get("format") != _FORMAT:
            raise HammerflowError(
                f"{self._path} has the backup format {found.get('format')}, and this hammerflow "
                f"reads format {_FORMAT}: use the version that wrote it"
            )
        return BackupHead(**found)

    def _frames(self) -> Iterator[tuple[bytes, bytes]]:
        for kind, length in self._heads():
            yield kind, self._file.read(length)

    def _heads(self) -> Iterator[tuple[bytes, int]]:
        while (head := self._file.read(5))[:1] in (b"H", b"R", b"E"):
            yield head[:1], int.from_bytes(head[1:])
            if head[:1] == b"E":
                return

    def _check_whole(self) -> None:
        if self._file.read(len(_BEGIN)) != _BEGIN:
            raise HammerflowError(f"{self._path} is not a backup that hammerflow has written")
        covered = self.size - _SUM
        if covered < len(_BEGIN + _END) or _at(self._file, covered - len(_END), len(_END)) != _END:
            raise HammerflowError(
                f"{self._path} is cut short: its end is missing; copy or create it again"
            )
        if _sum_of(self._file, covered) != _at(self._file, covered, _SUM):
            raise HammerflowError(
                f"{self._path} has changed since it was written: its SHA-256 is another one; copy "
                "or create it again"
            )


def _packed_instant(value: Any) -> msgpack.ExtType:
    """A datetime; one without a zone is in UTC, as the drivers give it."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return msgpack.ExtType(_INSTANT, ((aware - _EPOCH) // _MICROSECOND).to_bytes(8, signed=True))


def _read_instant(code: int, data: bytes) -> Any:
    return Instant.from_bytes(data, signed=True) if code == _INSTANT else data


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _at(file: IO[bytes], position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)


def _sum_of(file: IO[bytes], length: int) -> bytes:
    file.seek(0)
    found = hashlib.sha256()
    while length and (data := file.read(min(_CHUNK, length))):
        found.update(data)
        length -= len(data)
    return found.digest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
