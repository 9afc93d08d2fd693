"""PostgreSQL by psycopg: connections, parameters and errors."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hammerflow.errors import ConfigError, MissingExtra
from hammerflow.options.checks import LATEST
from hammerflow.stores.connections.tx_state import TxState
from hammerflow.stores.dialects.base import (
    NO_TRANSACTION,
    BlockingCursor,
    DriverDialect,
    DriverTx,
)
from hammerflow.stores.statements import Param, Statement
from hammerflow.text import safe_repr

try:
    import psycopg
    from psycopg import pq

    from hammerflow.stores.dialects.postgres_answers import is_answer, sqlstate_of_connecting
    from hammerflow.stores.dialects.postgres_arrays import ADAPTERS, Adapter, register
except ImportError as error:  # pragma: no cover - shown by the packaging test
    raise MissingExtra(package="psycopg", extra="postgres", what="a postgresql:// URL") from error

__all__ = ["Postgres", "PostgresTx"]

_NOW = "statement_timestamp()"
#: What a TCP connection does about a peer that has gone: seconds, and milliseconds for the last.
_KEEPALIVE = {
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}  # fmt: skip
#: Encodings of a database that hold every text as it was sent: UTF-8, and bytes of any kind.
_ENCODINGS = {"UTF8", "SQL_ASCII"}

#: 53300 by its texts, and PgBouncer's; the server may say it in another language.
_TOO_MANY = "53300"
_FULL = re.compile(
    r"too many (clients|connections)|remaining connection slots|no more connections allowed"
)
#: Seconds that it may take to find out why a server refuses, where the URL gives a time-out.
_ASK_SECONDS = 5.0
#: Seconds, beyond the longest time of a statement, after which a server that is silent is left.
_LATE = 2.0


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


class _ImpatientConnection(psycopg.Connection[Any]):
    """Gives up on a server that does not answer hammerflow's own statements.

    psycopg would wait forever: a server that is stopped, or whose disk hangs, still acknowledges
    bytes, so keepalives and tcp_user_timeout pass, and it does not end a statement itself.
    """

    tx: PostgresTx | None = None
    seconds = 0.0  # for which it may be silent

    def wait(self, gen: Any, *args: Any) -> Any:
        """As psycopg's, but bounded while a statement of ``tx`` is under way."""
        if self.tx is not None and self.tx.since is not None:
            gen = _bounded(gen, self.seconds)
        return super().wait(gen, *args)


def _bounded(gen: Any, seconds: float) -> Generator[Any, Any, Any]:
    """A generator that psycopg drives, which fails once nothing has come for so long."""
    deadline = 0.0  # from the first time on that it was driven in vain
    try:
        state = next(gen)
        while True:
            ready = yield state
            if ready:
                deadline = 0.0
            elif not deadline:
                deadline = time.monotonic() + seconds
            elif time.monotonic() > deadline:
                raise psycopg.OperationalError(f"the server has not answered for {seconds:g} s")
            state = gen.send(ready)
    except StopIteration as end:
        return end.value


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
        kind = psycopg.RawCursor if self._bridge is None else psycopg.AsyncRawCursor
        cursor = self._new_cursor(kind)
        self._cursor: Any = cursor if self._bridge is None else BlockingCursor(cursor, self._bridge)

    def _new_cursor(self, kind: Any) -> Any:
        cursor = kind(self.connection, row_factory=psycopg.rows.tuple_row)
        cursor.format = pq.Format.BINARY
        register(cursor.adapters)
        return cursor

    def stream(self, name: str, size: int, /, **values: Any) -> Iterator[list[tuple[Any, ...]]]:
        fitted = _fit(self._statements[name])
        arguments = [
            adapt(values[key]) if adapt else values[key]
            for key, adapt in zip(fitted.names, fitted.adapters, strict=True)
        ]
        rows = self._new_cursor(psycopg.RawCursor).stream(fitted.text, arguments, binary=True)
        while page := list(itertools.islice(rows, size)):
            yield page

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
        self.connection.execute("SET LOCAL statement_timeout = 0")  # an index may take its time
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
        self,
        conninfo: str,
        *,
        prefix: str,
        schema: str | None,
        connect_timeout: float = 5.0,
        statement_timeout: float = 60.0,
    ) -> None:
        self._conninfo = conninfo
        self._given = _parameters(conninfo)
        self._statement_timeout = statement_timeout
        self._defaults: dict[str, Any] = {
            "connect_timeout": max(2, round(connect_timeout)), **_KEEPALIVE,
        }  # fmt: skip
        self._defaults = {k: v for k, v in self._defaults.items() if k not in self._given}
        self._refusals: dict[str, bool] = {}  # by what the server said
        self._must_ask = "service" in self._given or "PGSERVICE" in os.environ
        macros = {
            "schema": schema or "",
            "now": _NOW,
            "after": f"({_NOW} + :@::float8 * interval '1 second')",
            "age": f"extract(epoch from {_NOW} - @)::float8",
            "epoch_of": "extract(epoch from @)::float8",
            "seconds_until": f"extract(epoch from @ - {_NOW})::float8",
            "for_update": "FOR UPDATE",
            "for_share": "FOR SHARE",
            "lock_of": "FOR UPDATE OF @",
            "skip_locked": "FOR UPDATE SKIP LOCKED",
            "by_primary": "",
            "epoch": "extract(epoch from clock_timestamp())::float8",
        }
        super().__init__(prefix, schema, '"', macros)

    def connect(self) -> PostgresTx:
        try:
            connection = self._connect()
        except psycopg.ProgrammingError as error:  # of the value of an option
            raise ConfigError(f"the postgresql URL cannot be used: {error}") from None
        try:
            if fault := _encoding_fault(connection):
                raise ConfigError(f"the database cannot be used: {fault}")
            return self._prepared(connection)
        except BaseException:
            connection.close()
            raise

    def _connect(self) -> Any:
        """No options are given here, so that libpq reads those of the URL, of a service file and of
        PGOPTIONS as it does for psql."""
        if self._must_ask:  # what the service gives, only an open connection tells
            with psycopg.connect(self._conninfo, autocommit=True) as probe:
                given = {option.keyword for option in probe.pgconn.info if option.val is not None}
            self._defaults = {k: v for k, v in self._defaults.items() if k.encode() not in given}
            self._must_ask = False
        try:
            return _ImpatientConnection.connect(
                self._conninfo, autocommit=True, client_encoding="UTF8", **self._defaults
            )
        except psycopg.OperationalError as error:
            if not self.is_full(error) and is_answer(error) and self._is_full_by_code(str(error)):
                error.sqlstate = _TOO_MANY
            raise

    def _is_full_by_code(self, text: str) -> bool:
        """Whether a server that refuses connections has no more of them, in whatever language; it
        is asked once for each text."""
        if text not in self._refusals:
            conninfo = psycopg.conninfo.make_conninfo(self._conninfo, **self._defaults)
            seconds = float(self._defaults.get("connect_timeout", _ASK_SECONDS))
            self._refusals[text] = sqlstate_of_connecting(conninfo, seconds) == _TOO_MANY
        return self._refusals[text]

    def _prepared(self, connection: Any) -> PostgresTx:
        connection.prepare_threshold, threshold = None, connection.prepare_threshold
        tx = PostgresTx(connection, self.statements, foreign=False)
        # Nobody cuts a connection that is not open yet, so its first answer has the time of one.
        connection.tx = tx
        connection.seconds = float(self._defaults.get("connect_timeout", _ASK_SECONDS))
        # A differing process id shows a pooler in between: each transaction may run in another
        # session. So none is set up, and nothing is prepared: there, other statements may have the
        # same names.
        timeout = f"{round(self._statement_timeout * 1000)}ms"
        if tx.rows("session", pid=connection.info.backend_pid, statement_timeout=timeout):
            connection.prepare_threshold = threshold
            tx.prepares = True
        connection.seconds = self._statement_timeout + _LATE
        return tx

    def unfit(self, connection: Any) -> str | None:
        if fault := _encoding_fault(connection):
            return fault
        idle = connection.info.transaction_status == pq.TransactionStatus.IDLE
        return NO_TRANSACTION if connection.autocommit and idle else None

    def owns_async(self, connection: Any) -> bool:
        return isinstance(connection, psycopg.AsyncConnection)

    def state(self, tx: Any) -> TxState:
        """After an error PostgreSQL answers COMMIT with ROLLBACK, and not with an error."""
        status = tx.connection.info.transaction_status
        if status == pq.TransactionStatus.INERROR:
            return TxState.FAILED
        is_idle = status == pq.TransactionStatus.IDLE
        return TxState.ENDED if is_idle and not tx.foreign else TxState.OPEN

    def interrupt(self, tx: Any) -> None:
        tx.connection.cancel_safe(timeout=2.0)

    def begin(self, tx: Any) -> None:
        tx.command("BEGIN")

    def begin_snapshot(self, tx: Any) -> None:
        tx.command(self.statements["begin_snapshot"].text)

    def commit(self, tx: Any) -> None:
        tx.command("COMMIT")

    def rollback(self, tx: Any) -> None:
        if tx.connection.info.transaction_status != pq.TransactionStatus.IDLE:
            tx.command("ROLLBACK")

    def is_full(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.OperationalError) and (
            error.sqlstate == _TOO_MANY or bool(_FULL.search(str(error)))
        )

    def words(self, error: BaseException) -> str:
        """The server's sentences without the statement, or libpq's without its questions."""
        if isinstance(error, psycopg.Error) and (text := error.diag.message_primary):
            detail = error.diag.message_detail
            return " ".join(f"{text}; {detail.rstrip('.')}".split() if detail else text.split())
        lines = str(error).splitlines()
        return " ".join(" ".join(line for line in lines if not line.startswith("\t")).split())

    def codes(self, error: BaseException) -> Sequence[str]:
        """The SQLSTATE and its class; the driver's own errors have none."""
        if not isinstance(error, psycopg.Error):
            return ()
        if error.sqlstate:
            return error.sqlstate, error.sqlstate[:2]
        if isinstance(error, psycopg.DataError):  # a NUL in a text
            return ("22",)
        if self.is_full(error):
            return (_TOO_MANY,)
        return ("",) if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else ()

    def time(self, instant: datetime | None) -> datetime | None:
        return instant

    def instant(self, value: datetime | None) -> datetime | None:
        try:
            return None if value is None else value.astimezone(UTC)
        except OverflowError:  # within a day of the end of time
            return LATEST


def _parameters(conninfo: str) -> dict[str, Any]:
    """What a URL gives, by libpq's names.

    Raises:
        ConfigError: libpq does not know an option, or hammerflow cannot work with its value.
    """
    try:
        given = psycopg.conninfo.conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError as error:
        reason, colon, quoted = " ".join(str(error).split()).partition(': "')
        if quoted[:-1] in dict(parse_qsl(urlsplit(conninfo).query, keep_blank_values=True)):
            reason += colon + quoted  # an option's name; else libpq may quote the password
        raise ConfigError(
            f"the postgresql URL cannot be used: {reason}; the PostgreSQL manual lists its options "
            'under "Parameter Key Words"'
        ) from None
    encoding = str(given.get("client_encoding") or "UTF8")
    if encoding.lower().replace("-", "") not in ("utf8", "unicode"):
        raise ConfigError(
            f"the postgresql URL's client_encoding must be UTF8, not {safe_repr(encoding)}: "
            "hammerflow sends every text in UTF-8"
        )
    return given


def _encoding_fault(connection: Any) -> str | None:
    """Why texts would not come back as they were sent, as a clause; a server may tell nothing."""
    session = connection.info.parameter_status("client_encoding")
    if session not in ("UTF8", None):
        return f"the session's encoding is {session}; connect with client_encoding=UTF8"
    database = connection.info.parameter_status("server_encoding")
    if database is not None and database not in _ENCODINGS:
        return (
            f"its encoding is {database}, which cannot hold every text; "
            "use a database that was made with ENCODING 'UTF8'"
        )
    return None
