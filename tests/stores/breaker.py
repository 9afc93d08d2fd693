"""Breaker: ends a process, or its connection, at the n-th thing that it asks of the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pymysql

from hammerflow.stores.database import Database

__all__ = ["Breaker", "Crash", "lost_connection"]


class Crash(BaseException):
    """The process is no more: nothing of it runs after this, not even what ends it well."""


def lost_connection(kind: str) -> Exception:
    """What a driver says of a connection that has gone."""
    if kind == "postgres":
        return psycopg.OperationalError("server closed the connection unexpectedly")
    return pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")


class Breaker:
    """Stands between a store and its driver, and counts BEGIN, COMMIT and every statement.

    Args:
        at: the number at which it breaks; None to count only.
        after: the server has done it, and only its reply is lost; else it never receives it.
        error: what the store sees; a :class:`Crash` for ever after, anything else once.

    Attributes:
        count: how many were asked for.
    """

    def __init__(
        self,
        database: Database,
        *,
        at: int | None = None,
        after: bool = False,
        error: BaseException | None = None,
    ) -> None:
        self.count = 0
        self._at = at
        self._after = after
        self._error = error or Crash()
        self._is_dead = False
        database.close()
        database.dialect = _Dialect(database.dialect, self)  # type: ignore[assignment]

    def do(self, connection: Any, work: Callable[[], Any]) -> Any:
        """Let it through, or break."""
        if self._is_dead:
            raise self._error
        self.count += 1
        if self.count != self._at:
            return work()
        if self._after:
            work()
        connection.close()  # what was not committed is undone
        self._is_dead = isinstance(self._error, Crash)
        raise self._error


class _Tx:
    """A Tx whose statements pass the breaker."""

    def __init__(self, tx: Any, breaker: Breaker) -> None:
        self.tx = tx
        self.breaker = breaker
        self.repeated = False
        self.since: float | None = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.tx, name)
        if name not in ("rows", "run", "many", "script"):
            return found
        return lambda *args, **values: self.breaker.do(
            self.tx.connection, lambda: found(*args, **values)
        )


class _Dialect:
    """A dialect whose transactions pass the breaker."""

    def __init__(self, dialect: Any, breaker: Breaker) -> None:
        self._dialect = dialect
        self._breaker = breaker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def connect(self) -> _Tx:
        return _Tx(self._dialect.connect(), self._breaker)

    def begin(self, tx: _Tx) -> None:
        self._breaker.do(tx.tx.connection, lambda: self._dialect.begin(tx.tx))

    def begin_hurried(self, tx: _Tx, patience: float) -> None:
        self._breaker.do(tx.tx.connection, lambda: self._dialect.begin_hurried(tx.tx, patience))

    def commit(self, tx: _Tx) -> None:
        self._breaker.do(tx.tx.connection, lambda: self._dialect.commit(tx.tx))

    def rollback(self, tx: _Tx) -> None:
        self._dialect.rollback(tx.tx)

    def close(self, tx: _Tx) -> None:
        self._dialect.close(tx.tx)
