"""PostgreSQL by psycopg: connections, parameters and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hammerflow.errors import MissingExtra
from hammerflow.stores.database import Fault
from hammerflow.stores.statements import Param, Statement, load_statements, table_names

try:
    import psycopg
    from psycopg import pq
    from psycopg.adapt import Dumper, Loader
except ImportError as error:  # pragma: no cover - shown by the packaging test
    raise MissingExtra(package="psycopg", extra="postgres", what="a postgresql:// URL") from error

__all__ = ["Postgres", "PostgresTx"]

_NOW = "statement_timestamp()"


class _Uuid(bytes):
    """16 bytes to be sent as a uuid."""


class _Uuids(bytes):
    """A binary uuid[] ready to be sent."""


class _UuidDumper(Dumper):
    format = pq.Format.BINARY
    oid = 2950

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


class _UuidsDumper(Dumper):
    format = pq.Format.BINARY
    oid = 2951

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


class _UuidLoader(Loader):
    format = pq.Format.BINARY

    def load(self, data: Any) -> bytes:
        return bytes(data)


def _uuid(value: bytes | None) -> _Uuid | None:
    return None if value is None else _Uuid(value)


def _uuids(values: Sequence[bytes | None]) -> _Uuids:
    """The wire form of uuid[]: one dimension, a null flag, element oid 2950, length, lower bound,
    then a length before each element (PostgreSQL, array_recv)."""
    head = (
        b"\0\0\0\1" + (b"\0\0\0\1" if None in values else b"\0\0\0\0") + (2950).to_bytes(4)
    ) + len(values).to_bytes(4) + b"\0\0\0\1"
    if not values:
        return _Uuids(b"\0\0\0\0\0\0\0\0" + (2950).to_bytes(4))
    null = b"\xff\xff\xff\xff"
    return _Uuids(
        head + b"".join([null if v is None else b"\0\0\0\x10" + v for v in values])
    )


_ADAPT: dict[str, Callable[[Any], Any]] = {"uuid": _uuid, "uuid[]": _uuids}


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
    exprs: list[str] = []
    for part in statement.row:
        exprs.append(f"r.{part.name}" if isinstance(part, Param) else part)
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
        adapters.register_dumper(_Uuids, _UuidsDumper)
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
        columns = list(zip(*rows, strict=True))
        values = [
            adapt(column) if adapt else list(column)
            for adapt, column in zip(fitted.adapters, columns, strict=True)
        ]
        self._cursor.execute(fitted.text, values, prepare=self._prepare)

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
        return self._cursor.execute(fitted.text, arguments, prepare=self._prepare)


class Postgres:
    """A PostgreSQL server; READ COMMITTED, one statement for a claim or a settle."""

    name = "postgres"
    one_writer = False

    def __init__(
        self, conninfo: str, *, prefix: str, schema: str | None, connect_timeout: float = 5.0
    ) -> None:
        self._conninfo = conninfo
        self._connect_timeout = connect_timeout
        self.macros = {
            **table_names(prefix, schema, '"'),
            "prefix": prefix,
            "schema": schema or "public",
            "now": _NOW,
            "after": f"({_NOW} + :@::float8 * interval '1 second')",
            "age": f"extract(epoch from {_NOW} - @)::float8",
            "seconds_until": f"extract(epoch from @ - {_NOW})::float8",
            "for_update": "FOR UPDATE",
            "skip_locked": "FOR UPDATE SKIP LOCKED",
            "epoch": "extract(epoch from clock_timestamp())::float8",
        }
        self.statements = load_statements(self.name, self.macros)
        self._prepare = True

    def connect(self) -> PostgresTx:
        connection = psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=max(2, round(self._connect_timeout)),
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=20_000,
        )
        return PostgresTx(connection, self.statements, foreign=False, prepare=self._prepare)

    def wrap(self, connection: Any) -> PostgresTx:
        return PostgresTx(connection, self.statements, foreign=True, prepare=False)

    def owns(self, connection: Any) -> bool:
        return isinstance(connection, psycopg.Connection)

    def begin(self, tx: Any) -> None:
        tx.connection.execute("BEGIN")

    def commit(self, tx: Any) -> None:
        tx.connection.execute("COMMIT")

    def rollback(self, tx: Any) -> None:
        if tx.connection.info.transaction_status != pq.TransactionStatus.IDLE:
            tx.connection.execute("ROLLBACK")

    def close(self, tx: Any) -> None:
        tx.connection.close()

    def fault(self, error: BaseException) -> Fault:
        match error:
            case psycopg.errors.UniqueViolation():
                return Fault.DUPLICATE
            case psycopg.errors.UndefinedTable():
                return Fault.MISSING
            case (
                psycopg.errors.DeadlockDetected()
                | psycopg.errors.SerializationFailure()
                | psycopg.errors.LockNotAvailable()
            ):
                return Fault.RETRY
            case (
                psycopg.errors.AdminShutdown()
                | psycopg.errors.CrashShutdown()
                | psycopg.errors.CannotConnectNow()
                | psycopg.errors.IdleInTransactionSessionTimeout()
                | psycopg.InterfaceError()
            ):
                return Fault.LOST
            case psycopg.OperationalError() if error.sqlstate is None:
                return Fault.LOST
            case _:
                return Fault.OTHER

    def time(self, instant: datetime | None) -> datetime | None:
        return instant

    def instant(self, value: datetime | None) -> datetime | None:
        return None if value is None else value.astimezone(UTC)
