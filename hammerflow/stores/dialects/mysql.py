"""MySQL and MariaDB by PyMySQL: connections, parameters and errors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from hammerflow.errors import MissingExtra, NotEncodable
from hammerflow.stores.connections.tx_state import TxState
from hammerflow.stores.dialects.base import NO_TRANSACTION, DriverDialect, DriverTx
from hammerflow.stores.statements import Param

try:
    import pymysql
    from pymysql.constants import CLIENT, SERVER_STATUS
except ImportError as error:  # pragma: no cover - shown by the packaging test
    raise MissingExtra(package="PyMySQL", extra="mysql", what="a mysql:// URL") from error

__all__ = ["MySQL", "MySQLTx"]

_NOW = "UTC_TIMESTAMP(6)"
#: Characters of one multi-row INSERT, where the server's max_allowed_packet is not less.
_PACKET = 4 << 20
#: Characters of a statement from which max_allowed_packet is asked for, once for each connection.
_LARGE = 64 << 10
_LOCK_WAIT_TIMEOUT, _NO_SAVEPOINT = 1205, 1305
#: Inserts that meet no lock and that no later statement of their transaction reads: they are sent
#: with the COMMIT, which saves a round trip.
_LAST = frozenset({"outbox_insert"})
#: InnoDB has rolled back the whole transaction: a deadlock, a full table of locks.
_ROLLED_BACK = {1206, 1213}
#: Servers count the time of a wait for a lock in whole seconds, so a hurried transaction waits for
#: one in MySQL. In MariaDB it asks again and again; but not with SKIP LOCKED, an error then.
#: DELETE meets the locks of others, too: InnoDB reads the rows between two of a list.
_AT_ONCE = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR "
_GLANCE = 0.002  # seconds at most between two tries of a statement that met a lock


class _Literals(dict[type, Callable[[Any], str]]):
    """How a value of each type is written; one of a subclass (a StrEnum) like its base."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        base = next(base for base in kind.__mro__ if base in self)
        self[kind] = self[base]
        return self[base]


class MySQLTx(DriverTx):
    """Statements on one PyMySQL connection.

    Values are written into the text as literals: PyMySQL has no prepared statements and would do
    the same, but more slowly; here one table says how each type is written, and bytes are hex
    literals, in which nothing needs to be escaped.
    """

    def _prepare(self) -> None:
        self._limit = 0
        self.is_lent = self.is_own = False
        self._last = ""  # an INSERT that goes with the COMMIT
        self.patience: float | None = None  # seconds to wait for a lock, of a hurried transaction
        self.is_mariadb = "MariaDB" in str(self.connection.server_version)
        self._cursor = self.connection.cursor(pymysql.cursors.Cursor)  # a caller's may give dicts
        self._literals = _Literals({
            type(None): lambda _: "NULL", bool: lambda value: "1" if value else "0",
            int: int.__repr__, float: repr, bytes: _literal_bytes, str: self.connection.escape,
        })  # fmt: skip

    def lend(self) -> Any:
        """Set a savepoint first: a BEGIN of the user commits without a word, and drops it."""
        if not self.is_lent and not self.foreign:
            self._send_last()
            self.run("lend")
            self.is_lent = True
        return self.connection

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        self._execute(name, values)
        return list(self._cursor.fetchall())

    def run(self, name: str, /, **values: Any) -> int:
        count = self._execute(name, values)
        while self._cursor.nextset():  # of a block with several statements
            pass
        return count

    def stream(self, name: str, size: int, /, **values: Any) -> Iterator[list[tuple[Any, ...]]]:
        usual, self._cursor = self._cursor, self.connection.cursor(pymysql.cursors.SSCursor)
        try:
            self._execute(name, values)
            while rows := self._cursor.fetchmany(size):
                yield list(rows)
            self._cursor.close()
        finally:
            self._cursor = usual

    def script(self, text: str) -> None:
        connection = self.connection
        timeout, connection._read_timeout = connection._read_timeout, None  # as long as it takes
        try:
            super().script(text)
        finally:
            connection._read_timeout = timeout

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        statement = self._statements[name]
        template = "".join(
            "%s" if isinstance(part, Param) else part.replace("%", "%%") for part in statement.row
        )
        head = f"{statement.before_row}VALUES "
        literal = self._literals
        pieces: list[str] = []
        size, most = 0, _LARGE
        for row in rows:
            piece = template % tuple([literal[type(value)](value) for value in row])
            size += len(piece)
            if size > most:
                most = min(_PACKET, self._max_packet() // 2)
            if size > most and pieces:
                self._send(head + ",".join(pieces) + statement.tail, name)
                pieces, size = [], len(piece)
            pieces.append(piece)
        if not pieces:
            return
        text = head + ",".join(pieces) + statement.tail
        if name in _LAST and self.is_own and not self.is_lent and len(text) < _LARGE:
            self._send_last()
            self._last = text
        else:
            self._send(text, name)

    def commit(self) -> None:
        """Commit, with what was kept for the end in the same packet."""
        text, self._last = self._last, ""
        if not text:
            self.connection.commit()
            return
        self._cursor.execute(f"{text};COMMIT")
        while self._cursor.nextset():
            pass

    def begins(self, *, is_own: bool) -> None:
        """A transaction begins or ends; what was kept for the end of another one is dropped."""
        self.is_own, self._last = is_own, ""

    def _send_last(self) -> None:
        if self._last:
            text, self._last = self._last, ""
            self._cursor.execute(text)

    def _send(self, text: str, name: str) -> int:
        """Run a statement. The server answers one that is too large by closing the connection."""
        if self._last:
            self._send_last()
        if len(text) > _LARGE:
            size, most = len(text.encode()), self._max_packet()
            if size >= most - 1:
                raise NotEncodable(
                    f"the database takes statements of {most:,} bytes, and this one has {size:,}, "
                    "two for each byte of arguments or result: raise max_allowed_packet on the "
                    "server, or lower max_payload"
                )
        if (
            self.patience is not None
            and self.is_mariadb
            and name != "done_insert"
            and "SKIP LOCKED" not in text[-20:]
        ):
            text = _AT_ONCE + text
        try:
            return int(self._cursor.execute(text))
        except pymysql.OperationalError as error:
            if self.patience is None or error.args[0] != _LOCK_WAIT_TIMEOUT:
                raise
            return self._send_again(text, self.patience, error)

    def _send_again(self, text: str, patience: float, error: Exception) -> int:
        """Try a statement that met a lock until that is free, or the patience is over."""
        until = time.monotonic() + patience
        while time.monotonic() < until and self._can_go_on():
            time.sleep(random.random() * _GLANCE)
            try:
                return int(self._cursor.execute(text))
            except pymysql.OperationalError as again:
                if again.args[0] != _LOCK_WAIT_TIMEOUT:
                    raise
        raise error

    def _can_go_on(self) -> bool:
        """Whether the transaction is open still, which innodb_rollback_on_timeout decides."""
        return self.is_mariadb and bool(self.rows("in_transaction")[0][0])

    def _max_packet(self) -> int:
        if not self._limit:
            self._limit = int(self.rows("max_packet")[0][0])
        return self._limit

    def _execute(self, name: str, values: dict[str, Any]) -> int:
        literal = self._literals
        out: list[str] = []
        for part in self._statements[name].parts:
            if not isinstance(part, Param):
                out.append(part)
            elif part.is_list:
                inner = ",".join([literal[type(value)](value) for value in values[part.name]])
                out.append(f"IN ({inner or 'NULL'})")
            else:
                value = values[part.name]
                out.append(literal[type(value)](value))
        return self._send("".join(out), name)


def _literal_bytes(value: bytes) -> str:
    return "0x" + value.hex() if value else "''"


class _Connection(pymysql.connections.Connection):  # type: ignore[misc, unused-ignore]
    """Waits no longer for a server's greeting than for its socket, reads the system's certificates
    once, and not for each connection (30 ms of CPU), and knows when an error has ended the
    transaction, which only the next answer would tell."""

    _contexts: ClassVar[dict[str, Any]] = {}
    _read_timeout: float | None
    _write_timeout: float | None

    def connect(self, sock: Any = None) -> None:
        statement = self._read_timeout, self._write_timeout
        self._read_timeout = self._write_timeout = self.connect_timeout
        try:
            super().connect(sock)
        finally:
            self._read_timeout, self._write_timeout = statement

    def _read_query_result(self, unbuffered: bool = False) -> Any:
        try:
            return super()._read_query_result(unbuffered)  # type: ignore[misc, unused-ignore]
        except pymysql.OperationalError as error:
            if error.args[0] in _ROLLED_BACK:
                self.server_status &= ~SERVER_STATUS.SERVER_STATUS_IN_TRANS
            raise

    def _create_ssl_ctx(self, sslp: Any) -> Any:
        if not isinstance(sslp, dict):
            return super()._create_ssl_ctx(sslp)  # type: ignore[misc, unused-ignore]
        key = repr(sorted(sslp.items()))
        if key not in self._contexts:
            self._contexts[key] = super()._create_ssl_ctx(sslp)  # type: ignore[misc, unused-ignore]
        return self._contexts[key]


class MySQL(DriverDialect):
    """A MySQL or MariaDB server with InnoDB; READ COMMITTED."""

    name = "mysql"
    tx_type = MySQLTx
    connection_type = pymysql.connections.Connection

    def __init__(
        self,
        arguments: Mapping[str, Any],
        *,
        prefix: str,
        connect_timeout: float = 5.0,
        statement_timeout: float = 60.0,
    ) -> None:
        timeouts = dict.fromkeys(("read_timeout", "write_timeout"), statement_timeout)
        self._arguments = {"connect_timeout": connect_timeout, **timeouts, **arguments}
        macros = {
            "now": _NOW,
            "after": f"TIMESTAMPADD(MICROSECOND, ROUND(:@::float8 * 1000000), {_NOW})",
            "age": f"(TIMESTAMPDIFF(MICROSECOND, @, {_NOW}) / 1000000e0)",
            "epoch_of": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', @) / 1000000e0)",
            "seconds_until": f"(TIMESTAMPDIFF(MICROSECOND, {_NOW}, @) / 1000000e0)",
            "for_update": "FOR UPDATE",
            "for_share": "LOCK IN SHARE MODE",
            "lock_of": "FOR UPDATE",
            "skip_locked": "FOR UPDATE SKIP LOCKED",
            "epoch": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000e0)",
            "by_primary": "FORCE INDEX (PRIMARY)",
            "table": "ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        }
        super().__init__(prefix, None, "`", macros)

    def connect(self) -> MySQLTx:
        flags = CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS
        connection = _Connection(
            **self._arguments, charset="utf8mb4", autocommit=True, client_flag=flags
        )
        tx = MySQLTx(connection, self.statements, foreign=False)
        try:
            tx.run("session")
        except BaseException:
            self.close(tx)
            raise
        return tx

    def unfit(self, connection: Any) -> str | None:
        if connection.charset != "utf8mb4":
            return f"its character set is {connection.charset}; connect with charset='utf8mb4'"
        status = connection.server_status or 0
        if connection.get_autocommit() and not status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            return NO_TRANSACTION
        return None

    def state(self, tx: Any) -> TxState:
        """MySQL commits before DDL, and rolls back at a deadlock."""
        status = tx.connection.server_status
        is_open = tx.foreign or status & SERVER_STATUS.SERVER_STATUS_IN_TRANS
        return TxState.OPEN if is_open else TxState.ENDED

    def interrupt(self, tx: Any) -> None:
        other = self.connect()
        try:
            other.run("kill_query", thread=tx.connection.thread_id())
        finally:
            self.close(other)

    def begin(self, tx: Any) -> None:
        tx.is_lent = False
        tx.begins(is_own=True)
        tx.connection.begin()

    def begin_snapshot(self, tx: Any) -> None:
        tx.connection._read_timeout = None  # a statement takes as long as it takes
        tx.run("begin_snapshot")

    def begin_hurried(self, tx: Any, patience: float) -> None:
        if tx.is_mariadb:
            self.begin(tx)
        else:
            tx.begins(is_own=False)
            tx.run("begin_hurried")
        tx.patience = patience

    def commit(self, tx: Any) -> None:
        if tx.is_lent and tx.has_jobs:
            self._take_back(tx)
        self._end(tx, "commit_hurried", tx.commit)

    def _take_back(self, tx: Any) -> None:
        try:
            tx.run("take_back")
        except pymysql.OperationalError as error:
            if error.args[0] == _NO_SAVEPOINT:
                TxState.ENDED.check()
            raise

    def rollback(self, tx: Any) -> None:
        tx.begins(is_own=False)
        self._end(tx, "rollback_hurried", tx.connection.rollback)

    def _end(self, tx: Any, hurried: str, usual: Callable[[], None]) -> None:
        if tx.patience is None or tx.is_mariadb:
            usual()
        else:
            tx.run(hurried)
        tx.begins(is_own=False)
        tx.patience = None

    def close(self, tx: Any) -> None:
        tx.connection._force_close()  # without COM_QUIT: the peer may be gone

    def is_full(self, error: BaseException) -> bool:
        return isinstance(error, pymysql.Error) and bool(error.args) and error.args[0] in _FULL

    def words(self, error: BaseException) -> str:
        """The server's sentence and its number, without the tuple around them."""
        if isinstance(error, pymysql.Error) and len(error.args) == 2:
            return " ".join(f"{error.args[1]} ({error.args[0]})".split())
        return super().words(error)

    def codes(self, error: BaseException) -> Sequence[str]:
        """The errno; the driver's own errors mostly have none."""
        if not isinstance(error, pymysql.Error):
            return ()
        code = error.args[0] if error.args else None
        if isinstance(code, int):
            return (str(code),)
        # The replies are out of order, or the connection is closed.
        return ("0",) if isinstance(error, pymysql.InternalError | pymysql.InterfaceError) else ()

    def time(self, instant: datetime | None) -> str | None:
        return None if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def instant(self, value: datetime | None) -> datetime | None:
        # PyMySQL returns the text of a date such as 0000-00-00
        return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


#: MySQL's error codes: too many connections of all, of an account, in an account's resources.
_FULL = {1040, 1203, 1226}
