"""PostgreSQL by psycopg: connections, parameters and errors."""

from __future__ import annotations

import functools
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hammerflow.errors import MissingExtra
from hammerflow.stores.database import NO_TRANSACTION, ErrorKind
from hammerflow.stores.statements import Param, Statement, load_statements, table_names

try:
    import psycopg
    from psycopg import pq
    from psycopg.adapt import Dumper, Loader
except ImportError as error:  # pragma: no cover - shown by the packaging test
    raise MissingExtra(package="psycopg", extra="postgres", what="a postgresql:// URL") from error

__all__ = ["Postgres", "PostgresTx"]

_NOW = "statement_timestamp()"
#: A generic plan made while a hot table is small would scan it for ever after (255 instead of 15
#: microseconds a settled job, measured); one by statistics from before a backlog would read and
#: sort all of it (a claim of 100 beside 300 000: 120-585 ms instead of 2-19); compiling a
#: statement of a millisecond does not pay.
_PLANNER = "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off"


class _Uuid(bytes):
    """16 bytes to be sent as a uuid."""


class _UuidDumper(Dumper):
    format = pq.Format.BINARY
    oid = 2950

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


class _UuidLoader(Loader):
    format = pq.Format.BINARY

    def load(self, data: Any) -> bytes:
        return bytes(data)


class _Array(bytes):
    """A one-dimensional array in its wire form (PostgreSQL, array_recv): dimensions, null flag,
    element type, length, lower bound, then each element behind its length.

    Written here and not by psycopg's list dumper, which writes text at 5 microseconds an
    element; this is 0.2.
    """


def _array_dumper(array_oid: int) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = pq.Format.BINARY
        oid = array_oid

        def dump(self, obj: Any) -> bytes:
            return bytes(obj)

    return ArrayDumper


def _array_type(
    oid: int, array_oid: int, element: Callable[[Any], bytes]
) -> tuple[type[bytes], type[Dumper], Callable[[Sequence[Any]], Any]]:
    kind = type("_ArrayOf", (_Array,), {})
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

    return kind, _array_dumper(array_oid), adapt


def _uuid(value: bytes | None) -> _Uuid | None:
    return None if value is None else _Uuid(value)


def _fixed(code: str) -> Callable[[Any], bytes]:
    size = struct.calcsize("!" + code)
    return functools.partial(struct.Struct("!i" + code).pack, size)


def _bytes(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


def _str(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4) + encoded


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EIGHT = struct.Struct("!iq").pack


def _instant(value: datetime) -> bytes:
    return _EIGHT(8, (value - _EPOCH) // _MICROSECOND)


#: Types by pg_type.dat: element oid, array oid, wire form of an element behind its length.
_ARRAYS = {
    "uuid[]": _array_type(2950, 2951, b"\0\0\0\x10".__add__),
    "bigint[]": _array_type(20, 1016, _fixed("q")),
    "integer[]": _array_type(23, 1007, _fixed("i")),
    "smallint[]": _array_type(21, 1005, _fixed("h")),
    "float8[]": _array_type(701, 1022, _fixed("d")),
    "bytea[]": _array_type(17, 1001, _bytes),
    "text[]": _array_type(25, 1009, _str),
    "timestamptz[]": _array_type(1184, 1185, _instant),
}
_ADAPT: dict[str, Callable[[Any], Any]] = {
    "uuid": _uuid,
    **{name: adapt for name, (_, _, adapt) in _ARRAYS.items()},
}


class _Fitted:
    """A statement's text with $n, and what to do to each of its values."""

    __slots__ = ("adapters", "names", "text")

    def __init__(self) -> None:
        self.text = ""
        self.names: list[str] = []
        self.adapters: list[Callable[[Any], Any] | None] = []

    def place(self, name: str, type_: str) -> str:
        if name not in self.names:
            self.names.append(name)
            self.adapters.append(_ADAPT.get(type_))
        number = f"${self.names.index(name) + 1}"
        return f"{number}::{type_}" if type_ else number


def _fit(statement: Statement) -> _Fitted:
    fitted = _Fitted()
    out: list[str] = []
    for part in statement.parts:
        if not isinstance(part, Param):
            out.append(part)
        elif part.is_list:
            out.append(f"= ANY({fitted.place(part.name, part.type + '[]')})")
        else:
            out.append(fitted.place(part.name, part.type))
    fitted.text = "".join(out)
    return fitted


def _fit_many(statement: Statement) -> _Fitted:
    """INSERT ... VALUES (...) for many rows: the same expressions over unnested arrays."""
    fitted = _Fitted()
    exprs = [f"r.{part.name}" if isinstance(part, Param) else part for part in statement.row]
    arrays = [fitted.place(p.name, p.type + "[]") for p in statement.row_params]
    names = ", ".join(fitted.names)
    row = "".join(exprs).strip().removeprefix("(").removesuffix(")")
    fitted.text = (
        f"{statement.before_row}SELECT {row} FROM unnest({', '.join(arrays)}) AS r({names})"
        f"{statement.tail}"
    )
    return fitted


class PostgresTx:
    """Statements on one psycopg connection."""

    repeated = False
    since: float | None = None  # when the statement that is under way was sent

    def __init__(
        self, connection: Any, statements: Mapping[str, Statement], foreign: bool, prepare: bool
    ) -> None:
        self.connection = connection
        self.foreign = foreign
        self._statements = statements
        self._fitted: dict[tuple[str, bool], _Fitted] = {}
        self._prepare = prepare
        self._cursor: Any = psycopg.RawCursor(connection, row_factory=psycopg.rows.tuple_row)
        self._cursor.format = pq.Format.BINARY
        adapters = self._cursor.adapters
        adapters.register_dumper(_Uuid, _UuidDumper)
        for kind, dumper, _ in _ARRAYS.values():
            adapters.register_dumper(kind, dumper)
        adapters.register_loader("uuid", _UuidLoader)

    def has(self, name: str) -> bool:
        return name in self._statements

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        return self._execute(name, values).fetchall()  # type: ignore[no-any-return]

    def run(self, name: str, /, **values: Any) -> int:
        return self._execute(name, values).rowcount  # type: ignore[no-any-return]

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        fitted = self._fitted.get((name, True))
        if fitted is None:
            fitted = self._fitted[name, True] = _fit_many(self._statements[name])
        values = [
            adapt(column) if adapt else list(column)
            for adapt, column in zip(fitted.adapters, zip(*rows, strict=True), strict=True)
        ]
        self._send(fitted.text, values)

    def script(self, text: str) -> None:
        self.connection.execute(text)

    def _execute(self, name: str, values: dict[str, Any]) -> Any:
        fitted = self._fitted.get((name, False))
        if fitted is None:
            fitted = self._fitted[name, False] = _fit(self._statements[name])
        arguments = [
            adapt(values[key]) if adapt else values[key]
            for key, adapt in zip(fitted.names, fitted.adapters, strict=True)
        ]
        return self._send(fitted.text, arguments)

    def _send(self, text: str, arguments: list[Any]) -> Any:
        self.since = time.monotonic()
        try:
            return self._cursor.execute(text, arguments, prepare=self._prepare)
        finally:
            self.since = None

    def command(self, text: str) -> None:
        """Begin or end a transaction."""
        self.since = time.monotonic()
        try:
            self.connection.execute(text)
        finally:
            self.since = None

    def cut(self) -> None:
        """Shut the socket down under a statement that waits for a silent peer: it fails at once."""
        with socket.socket(fileno=os.dup(self.connection.fileno())) as peer:
            peer.shutdown(socket.SHUT_RDWR)


class Postgres:
    """A PostgreSQL server; READ COMMITTED, one statement for a claim or a settle."""

    name = "postgres"
    one_writer = False

    def __init__(
        self, conninfo: str, *, prefix: str, schema: str | None, connect_timeout: float = 5.0
    ) -> None:
        self._conninfo = conninfo
        self._connect_timeout = connect_timeout
        self.macros: Mapping[str, str] = {
            **table_names(prefix, schema, '"'),
            "prefix": prefix,
            "schema": schema or "public",
            "now": _NOW,
            "after": f"({_NOW} + :@::float8 * interval '1 second')",
            "age": f"extract(epoch from {_NOW} - @)::float8",
            "seconds_until": f"extract(epoch from @ - {_NOW})::float8",
            "for_update": "FOR UPDATE",
            "for_share": "FOR SHARE",
            "lock_of": "FOR UPDATE OF @",
            "skip_locked": "FOR UPDATE SKIP LOCKED",
            "epoch": "extract(epoch from clock_timestamp())::float8",
        }
        self.statements: Mapping[str, Statement] = load_statements(self.name, self.macros)

    def connect(self) -> PostgresTx:
        try:
            given = psycopg.conninfo.conninfo_to_dict(self._conninfo).get("options") or ""
            connection = self._connect(options=f"{_PLANNER} {given}".rstrip())
        except psycopg.OperationalError as error:
            if "startup parameter" not in str(error):
                raise
            connection = self._connect()  # a PgBouncer that takes no options
        connection.prepare_threshold, threshold = None, connection.prepare_threshold
        tx = PostgresTx(connection, self.statements, foreign=False, prepare=True)
        if tx.rows("backend_pid") == [(connection.info.backend_pid,)]:
            connection.prepare_threshold = threshold
        # Else a pooler is between: each transaction may get another server, where other statements
        # are prepared under the same names.
        return tx

    def _connect(self, **more: Any) -> Any:
        return psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=max(2, round(self._connect_timeout)),
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=20_000,
            **more,
        )

    def wrap(self, connection: Any) -> PostgresTx:
        return PostgresTx(connection, self.statements, foreign=True, prepare=False)

    def owns(self, connection: Any) -> bool:
        return isinstance(connection, psycopg.Connection)

    def unfit(self, connection: Any) -> str | None:
        idle = connection.info.transaction_status == pq.TransactionStatus.IDLE
        return NO_TRANSACTION if connection.autocommit and idle else None

    def begin(self, tx: Any) -> None:
        tx.command("BEGIN")

    def commit(self, tx: Any) -> None:
        tx.command("COMMIT")

    def rollback(self, tx: Any) -> None:
        if tx.connection.info.transaction_status != pq.TransactionStatus.IDLE:
            tx.command("ROLLBACK")

    def close(self, tx: Any) -> None:
        tx.connection.close()

    def fault(self, error: BaseException) -> ErrorKind:
        match error:
            case psycopg.errors.UniqueViolation():
                return ErrorKind.DUPLICATE
            case psycopg.errors.UndefinedTable():
                return ErrorKind.MISSING
            case (
                psycopg.errors.DeadlockDetected()
                | psycopg.errors.SerializationFailure()
                | psycopg.errors.LockNotAvailable()
            ):
                return ErrorKind.RETRY
            case (
                psycopg.errors.AdminShutdown()
                | psycopg.errors.CrashShutdown()
                | psycopg.errors.CannotConnectNow()
                | psycopg.errors.IdleInTransactionSessionTimeout()
                | psycopg.errors.ReadOnlySqlTransaction()  # a primary of yesterday
                | psycopg.InterfaceError()
            ):
                return ErrorKind.LOST
            case psycopg.OperationalError() if (error.sqlstate or "08")[:2] in _CLASSES:
                return ErrorKind.LOST
            case _:
                return ErrorKind.OTHER

    def time(self, instant: datetime | None) -> datetime | None:
        return instant

    def instant(self, value: datetime | None) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


#: Classes of SQLSTATE: connection exception (also: none at all), insufficient resources, I/O error.
_CLASSES = {"08", "53", "58"}
