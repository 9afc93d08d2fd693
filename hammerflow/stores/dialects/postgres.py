"""PostgreSQL by psycopg: connections, parameters and errors."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hammerflow.errors import MissingExtra
from hammerflow.options.checks import LATEST
from hammerflow.stores.dialects.base import (
    NO_TRANSACTION,
    BlockingCursor,
    DriverDialect,
    DriverTx,
)
from hammerflow.stores.statements import Param, Statement

try:
    import psycopg
    from psycopg import pq

    from hammerflow.stores.dialects.postgres_arrays import ADAPTERS, Adapter, register
except ImportError as error:  # pragma: no cover - shown by the packaging test
    raise MissingExtra(package="psycopg", extra="postgres", what="a postgresql:// URL") from error

__all__ = ["Postgres", "PostgresTx"]

_NOW = "statement_timestamp()"
#: Every statement has an index, and must use it. A generic plan made while a hot table is small
#: would go on to scan it (measured: 255 instead of 15 microseconds a settled job); a plan from
#: statistics older than a backlog would read and sort all of it (a claim of 100 out of 300 000:
#: 120-585 ms instead of 2-19). Compiling a statement of a millisecond does not pay.
_PLANNER = "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off"
#: Milliseconds that a statement waits for a lock, as on MySQL: a holder that never ends (a caller
#: that waits for this very statement) must not stop it without limit.
_LOCKS = "-c lock_timeout=10000"


class _Fitted:
    """A statement's text with $1, $2 ..., and for each of them its value's name and adapter."""

    __slots__ = ("adapters", "names", "text")

    def __init__(self) -> None:
        self.text = ""
        self.names: list[str] = []
        self.adapters: list[Adapter | None] = []

    def place(self, name: str, type_: str) -> str:
        if name not in self.names:
            self.names.append(name)
            self.adapters.append(ADAPTERS.get(type_))
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
    """INSERT ... VALUES (...) for many rows: the same expressions over one array a column.

    One statement whatever the number of rows: prepared once, sent in one round trip.
    """
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


class PostgresTx(DriverTx):
    """Statements on one psycopg connection.

    Attributes:
        prepares: prepare each statement at its first use. Off on a caller's connection, whose
            session is the caller's.
    """

    prepares = False

    def _prepare(self) -> None:
        self._fitted: dict[str, _Fitted] = {}
        self._fitted_many: dict[str, _Fitted] = {}
        kind: Any = psycopg.RawCursor if self._bridge is None else psycopg.AsyncRawCursor
        cursor = kind(self.connection, row_factory=psycopg.rows.tuple_row)
        cursor.format = pq.Format.BINARY
        register(cursor.adapters)
        self._cursor: Any = cursor if self._bridge is None else BlockingCursor(cursor, self._bridge)

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        return self._execute(name, values).fetchall()  # type: ignore[no-any-return]

    def run(self, name: str, /, **values: Any) -> int:
        return self._execute(name, values).rowcount  # type: ignore[no-any-return]

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        fitted = self._fitted_many.get(name)
        if fitted is None:
            fitted = self._fitted_many[name] = _fit_many(self._statements[name])
        values = [
            adapt(column) if adapt else list(column)
            for adapt, column in zip(fitted.adapters, zip(*rows, strict=True), strict=True)
        ]
        self._send(fitted.text, values)

    def script(self, text: str) -> None:
        self.connection.execute(text)

    def _execute(self, name: str, values: dict[str, Any]) -> Any:
        fitted = self._fitted.get(name)
        if fitted is None:
            fitted = self._fitted[name] = _fit(self._statements[name])
        arguments = [
            adapt(values[key]) if adapt else values[key]
            for key, adapt in zip(fitted.names, fitted.adapters, strict=True)
        ]
        return self._send(fitted.text, arguments)

    def _send(self, text: str, arguments: list[Any]) -> Any:
        self.since = time.monotonic()
        try:
            return self._cursor.execute(text, arguments, prepare=self.prepares)
        finally:
            self.since = None

    def command(self, text: str) -> None:
        """Begin or end a transaction, watched as any statement (see ``cut``)."""
        self.since = time.monotonic()
        try:
            self.connection.execute(text)
        finally:
            self.since = None

    def cut(self) -> None:
        # A duplicate of the descriptor: closing it leaves psycopg's own open.
        with socket.socket(fileno=os.dup(self.connection.fileno())) as peer:
            peer.shutdown(socket.SHUT_RDWR)


class Postgres(DriverDialect):
    """A PostgreSQL server; READ COMMITTED, one statement for a claim or a settle."""

    name = "postgres"
    tx_type = PostgresTx
    connection_type = psycopg.Connection

    def __init__(
        self, conninfo: str, *, prefix: str, schema: str | None, connect_timeout: float = 5.0
    ) -> None:
        self._conninfo = conninfo
        self._connect_timeout = connect_timeout
        macros = {
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
        super().__init__(prefix, schema, '"', macros)

    def connect(self) -> PostgresTx:
        try:
            given = psycopg.conninfo.conninfo_to_dict(self._conninfo).get("options") or ""
            connection = self._connect(options=f"{_PLANNER} {_LOCKS} {given}".rstrip())
        except psycopg.OperationalError as error:
            if "startup parameter" not in str(error):
                raise
            connection = self._connect()  # a PgBouncer that takes no options
        connection.prepare_threshold, threshold = None, connection.prepare_threshold
        tx = PostgresTx(connection, self.statements, foreign=False)
        tx.prepares = True
        # A differing process id shows a pooler in between: each transaction may run on another
        # server, where other statements are prepared under the same names. So none is prepared.
        if tx.rows("backend_pid") == [(connection.info.backend_pid,)]:
            connection.prepare_threshold = threshold
        return tx

    def _connect(self, **more: Any) -> Any:
        seconds = max(2, round(self._connect_timeout))
        return psycopg.connect(
            self._conninfo, autocommit=True, connect_timeout=seconds, keepalives_idle=10,
            keepalives_interval=5, keepalives_count=3, tcp_user_timeout=20_000, **more,
        )  # fmt: skip

    def unfit(self, connection: Any) -> str | None:
        idle = connection.info.transaction_status == pq.TransactionStatus.IDLE
        return NO_TRANSACTION if connection.autocommit and idle else None

    def owns_async(self, connection: Any) -> bool:
        return isinstance(connection, psycopg.AsyncConnection)

    def can_commit(self, tx: Any) -> bool:
        """After an error PostgreSQL answers COMMIT with ROLLBACK, and not with an error."""
        return bool(tx.connection.info.transaction_status != pq.TransactionStatus.INERROR)

    def interrupt(self, tx: Any) -> None:
        tx.connection.cancel_safe(timeout=2.0)

    def begin(self, tx: Any) -> None:
        tx.command("BEGIN")

    def commit(self, tx: Any) -> None:
        tx.command("COMMIT")

    def rollback(self, tx: Any) -> None:
        if tx.connection.info.transaction_status != pq.TransactionStatus.IDLE:
            tx.command("ROLLBACK")

    def codes(self, error: BaseException) -> Sequence[str]:
        """The SQLSTATE and its class; the driver's own errors have none."""
        if not isinstance(error, psycopg.Error):
            return ()
        if error.sqlstate:
            return error.sqlstate, error.sqlstate[:2]
        if isinstance(error, psycopg.DataError):  # a NUL in a text
            return ("22",)
        return ("",) if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else ()

    def time(self, instant: datetime | None) -> datetime | None:
        return instant

    def instant(self, value: datetime | None) -> datetime | None:
        try:
            return None if value is None else value.astimezone(UTC)
        except OverflowError:  # within a day of the end of time
            return LATEST
