"""SQLite: connections, parameters and errors of the embedded database."""

from __future__ import annotations

import contextlib
import math
import os
import random
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hammerflow.errors import StoreUnavailable
from hammerflow.introspection.kinds import module_name
from hammerflow.options.checks import EARLIEST, LATEST
from hammerflow.stores.connections.tx_state import TxState
from hammerflow.stores.database import DatabaseReplaced
from hammerflow.stores.dialects.base import (
    NO_TRANSACTION,
    BlockingCursor,
    DriverDialect,
    DriverTx,
)
from hammerflow.stores.statements import Param, Statement

__all__ = ["SQLite", "SQLiteTx"]

#: Seconds between two checks of the write-ahead log and the change counter for a connection.
_WAL_PAUSE = 1.0
#: Seconds for which a change counter must be too low.
_SURE = 0.2
_NOW = "((julianday('now') - 2440587.5) * 86400.0)"


class SQLiteTx(DriverTx):
    """Statements on one sqlite3 connection.

    Attributes:
        file: (device, inode) of the file that it has opened; None for a caller's connection.
        wal: likewise of its write-ahead log, once that was seen.
        wal_due: when to check the log and the counter again, by the monotonic clock.
    """

    file: tuple[int, int] | None = None
    wal: tuple[int, int] | None = None
    wal_due = 0.0

    def _prepare(self) -> None:
        self._texts: dict[tuple[str, tuple[int, ...]], str] = {}
        self._clock = _StatementClock(math.inf)

    def limit(self, seconds: float) -> None:
        """Have each statement fail that works for longer; waits for locks have their own limit."""
        self._clock = _StatementClock(
            seconds
        )  # it does not know this object, which would be a ring
        self.connection.set_progress_handler(self._clock.is_over, _STEPS)

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        self._clock.begun = time.monotonic()
        try:
            return self._execute(name, values).fetchall()
        finally:
            self._clock.begun = math.inf

    def run(self, name: str, /, **values: Any) -> int:
        self._clock.begun = time.monotonic()
        try:
            return self._execute(name, values).rowcount
        finally:
            self._clock.begun = math.inf

    def stream(self, name: str, size: int, /, **values: Any) -> Iterator[list[tuple[Any, ...]]]:
        cursor = self._execute(name, values)
        while rows := cursor.fetchmany(size):
            yield rows

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        key = (name, ())
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _fit(self._statements[name], (), numbered=True)
        done = self.connection.executemany(text, rows)
        if self._bridge is not None:
            self._bridge(done)

    def _execute(self, name: str, values: dict[str, Any]) -> sqlite3.Cursor:
        statement = self._statements[name]
        arguments: list[Any] = []
        sizes: list[int] = []
        for part in statement.parts:
            if isinstance(part, str):
                continue
            value = values[part.name]
            if part.is_list:
                size = _size(len(value))
                sizes.append(size)
                arguments.extend(value)
                if size > len(value):
                    arguments.extend([arguments[-1]] * (size - len(value)))
            else:
                arguments.append(value)
        key = (name, tuple(sizes))
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _fit(statement, sizes, numbered=False)
        cursor = self.connection.cursor()
        if self._bridge is not None:
            cursor = BlockingCursor(self._bridge(cursor), self._bridge)
        else:
            cursor.row_factory = None
        return cursor.execute(text, arguments)  # type: ignore[no-any-return]


class _StatementClock:
    """How long the statement under way has worked; a caller's own statements have no limit."""

    def __init__(self, seconds: float) -> None:
        self.begun = math.inf
        self._seconds = seconds

    def is_over(self) -> bool:
        return time.monotonic() - self.begun > self._seconds


#: Steps of SQLite's virtual machine between two checks of the clock, a few milliseconds.
_STEPS = 100_000


def _size(n: int) -> int:
    """How many placeholders a list of n values gets: one of few sizes (1 to 4, 6, 8, 12, 16 ...),
    as each size is a statement of its own to prepare and cache. The last value fills the rest."""
    if n <= 4:
        return n
    power = 1 << (n - 1).bit_length()
    return power * 3 // 4 if n <= power * 3 // 4 else power


def _fit(statement: Statement, sizes: Iterable[int], *, numbered: bool) -> str:
    out: list[str] = []
    places = iter(sizes)
    order: dict[str, int] = {}
    for part in statement.parts:
        if not isinstance(part, Param):
            out.append(part)
        elif part.is_list:
            out.append(f"IN ({','.join('?' * next(places))})")
        elif numbered:
            out.append(f"?{order.setdefault(part.name, len(order) + 1)}")
        else:
            out.append("?")
    return "".join(out)


class SQLite(DriverDialect):
    """The embedded database: WAL, full durability, one writer at a time."""

    name = "sqlite"
    tx_type = SQLiteTx
    connection_type = sqlite3.Connection
    one_writer = True

    def __init__(
        self, path: str, *, prefix: str, busy_timeout: float = 5.0, statement_timeout: float = 60.0
    ) -> None:
        self.path = path
        self._statement_timeout = statement_timeout
        self._was_opened = False
        self._watched: dict[tuple[int, int], _Counter] = {}
        self._busy = busy_timeout
        macros = {
            "now": _NOW,
            "after": f"({_NOW} + :@::float8)",
            "age": f"({_NOW} - @)",
            "epoch_of": "@",
            "seconds_until": f"(@ - {_NOW})",
            **dict.fromkeys(
                ("for_update", "for_share", "lock_of", "skip_locked", "by_primary"), ""
            ),
            "epoch": _NOW,
        }
        super().__init__(prefix, None, '"', macros)

    def connect(self) -> SQLiteTx:
        if self._was_opened and not os.path.exists(self.path):
            raise StoreUnavailable(  # sqlite3 would make an empty file
                f"the SQLite file {self.path} is gone: put it back, or restart this process to "
                "begin with an empty one"
            )
        if not os.path.exists(self.path):
            with contextlib.suppress(OSError):  # SQLite says what is wrong
                _make_usable(Path(self.path))
        connection = sqlite3.connect(
            self.path, timeout=self._busy, isolation_level=None, check_same_thread=False,
            cached_statements=256,
        )  # fmt: skip
        try:
            _write_ahead(connection, self._busy)
            connection.execute("PRAGMA synchronous = FULL")  # in WAL, NORMAL may lose a commit
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        tx = SQLiteTx(connection, self.statements, foreign=False)
        tx.limit(self._statement_timeout)
        tx.file, self._was_opened = _file_at(self.path), True
        return tx

    def check(self, tx: Any) -> None:
        """A removed or replaced file takes what is written with it: its inode is compared before
        each commit and read, and that of the write-ahead log and the change counter once a second.
        """
        if tx.file is None:
            return
        if _file_at(self.path) != tx.file:
            self._set_aside_old_log(tx)
            raise DatabaseReplaced(
                f"the SQLite file {self.path} was removed or replaced while this process had it "
                "open: nothing was written; the next call opens the file that is there now"
            )
        now = time.monotonic()
        if now >= tx.wal_due:
            tx.wal_due = now + _WAL_PAUSE
            found = _file_at(f"{self.path}-wal")
            if tx.wal is None:
                tx.wal = found
            elif found != tx.wal:
                raise DatabaseReplaced(
                    f"the write-ahead log {self.path}-wal was removed or replaced while this "
                    "process had it open, so the last commits may be lost: stop all processes, "
                    "then run: sqlite3 FILE 'PRAGMA integrity_check'"
                )

            if self._is_written_over(tx.file, now):
                raise DatabaseReplaced(
                    f"the SQLite file {self.path} was written over with an older copy while this "
                    "process had it open, and its write-ahead log does not belong to that copy: "
                    f"stop all processes, delete {self.path}-wal and {self.path}-shm, then copy "
                    "it again"
                )

    def _is_written_over(self, file: tuple[int, int], now: float) -> bool:
        if file not in self._watched:
            self._watched[file] = _Counter(file)
        return self._watched[file].is_behind(now)

    def _set_aside_old_log(self, tx: Any) -> None:
        """Rename the log of the old file, which SQLite would replay into the new one."""
        if tx.wal is None or not os.path.exists(self.path):
            return
        if _file_at(f"{self.path}-wal") == tx.wal:
            for name in ("wal", "shm"):
                with contextlib.suppress(FileNotFoundError):  # another process was first
                    os.rename(f"{self.path}-{name}", f"{self.path}-{name}-of-replaced-file")

    def unfit(self, connection: Any) -> str | None:
        mode = getattr(connection, "autocommit", _LEGACY)  # of Python 3.12 and later
        alone = connection.isolation_level is None if mode == _LEGACY else mode
        return NO_TRANSACTION if alone and not connection.in_transaction else None

    def owns_async(self, connection: Any) -> bool:
        """Whether it is a connection of aiosqlite."""
        return module_name(type(connection)).partition(".")[0] == "aiosqlite"

    def interrupt(self, tx: Any) -> None:
        tx.connection.interrupt()

    def begin(self, tx: Any) -> None:
        tx.connection.execute("BEGIN IMMEDIATE")

    def begin_snapshot(self, tx: Any) -> None:
        tx.connection.execute(self.statements["begin_snapshot"].text)
        tx.rows("migrations_applied")

    def commit(self, tx: Any) -> None:
        # Every delay() runs through here: the usual case of check() is spelled out.
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            self.check(tx)
        else:
            if (found.st_dev, found.st_ino) != tx.file or time.monotonic() >= tx.wal_due:
                self.check(tx)
        tx.connection.execute("COMMIT")

    def rollback(self, tx: Any) -> None:
        if tx.connection.in_transaction:
            tx.connection.execute("ROLLBACK")

    def state(self, tx: Any) -> TxState:
        try:
            is_open = tx.foreign or tx.connection.in_transaction
        except sqlite3.ProgrammingError:  # it is closed: the next statement says so
            return TxState.OPEN
        return TxState.OPEN if is_open else TxState.ENDED

    def codes(self, error: BaseException) -> Sequence[str]:
        """The extended and the primary result code; the driver's own errors have none."""
        if not isinstance(error, sqlite3.Error):
            return ()
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # the driver's own: a value or text of a wrong type, a closed connection
            is_closed = isinstance(error, sqlite3.ProgrammingError) and _CLOSED in str(error)
            return ("18",) if isinstance(error, sqlite3.DataError) else (_CLOSED,) * is_closed
        if code == sqlite3.SQLITE_ERROR:
            return *[text for text in _SCHEMA if text in str(error)], "1"
        return str(code), str(code & 0xFF)

    def time(self, instant: datetime | None) -> float | None:
        return None if instant is None else instant.timestamp()

    def instant(self, value: float | None) -> datetime | None:
        if not isinstance(value, int | float):  # SQLite stores any type in any column
            return None
        within = min(max(value, EARLIEST.timestamp()), LATEST.timestamp())
        return datetime.fromtimestamp(within, UTC)


class _Counter:
    """The change counter of a file, by which an older copy is known that was written over it.

    That keeps the inode, as with cp. SQLite only ever raises the counter, and a checkpoint brings
    the newest one (https://sqlite.org/fileformat.html, 1.3.7). It is read through a descriptor that
    SQLite has open: to close one of our own would release all locks that SQLite holds on the file
    in this process (https://sqlite.org/howtocorrupt.html, 2.2).

    Args:
        file: (device, inode).
    """

    def __init__(self, file: tuple[int, int]) -> None:
        self._file = file
        self._descriptor = -1
        self._highest = 0
        self._behind_since: float | None = None

    def is_behind(self, now: float) -> bool:
        """Whether it has been lower than before for a while, as a single look may meet a page that
        is just written. Said once."""
        counter = self._read()
        if counter is None or counter >= self._highest:
            self._highest, self._behind_since = counter or self._highest, None
            return False
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since < _SURE:
            return False
        self._highest, self._behind_since = counter, None
        return True

    def _read(self) -> int | None:
        """None where no descriptor is found, or the file has no header yet."""
        try:
            if not self._is_open(self._descriptor):
                listed = map(int, os.listdir("/dev/fd"))
                self._descriptor = next(filter(self._is_open, listed), -1)
            found = os.pread(self._descriptor, 4, 24)
        except OSError:
            return None
        return int.from_bytes(found, "big") if len(found) == 4 else None

    def _is_open(self, descriptor: int) -> bool:
        try:
            status = os.fstat(descriptor)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._file


#: sqlite3.LEGACY_TRANSACTION_CONTROL: the connection's isolation_level says when it begins one.
_LEGACY = -1
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
#: What the driver says of a connection that somebody has closed.
_CLOSED = "closed database"
#: What SQLITE_ERROR, the code for all bad SQL, says where the tables do not fit.
_SCHEMA = "no such table", "no such column"


def _write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    """Put the file into WAL mode, which the file remembers; retry for up to ``seconds``.

    WAL, so that readers never block the writer. Connections that open a fresh file at the same
    time may each hold a read lock and ask for the write lock. SQLite then fails one of them at
    once, without its busy timeout, as waiting would be a deadlock (sqlite3_busy_handler).
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _primary_code(error) not in _BUSY or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.001, 0.02))


def _make_usable(path: Path) -> None:
    """Make an empty file and its folders so that their owner may use them, whatever the umask is;
    SQLite gives the mode of the file to its log as well."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was first
            folder.mkdir()
            folder.chmod(folder.stat().st_mode | 0o700)
    with contextlib.suppress(FileExistsError):
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o644)
        os.fchmod(fd, os.fstat(fd).st_mode | 0o600)
        os.close(fd)


def _file_at(path: str) -> tuple[int, int] | None:
    """(device, inode) of the file at a path, None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
