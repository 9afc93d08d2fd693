"""A pool of databases with the current schema: emptied after a test and used by the next one.

To make a database costs a server 0.3 s of CPU, to empty one a tenth of that. One that a test has
left in any other shape, or that anybody is still connected to, is dropped.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from tests.support.servers import PROCESSES, drop_database, open_admin

__all__ = ["DatabasePool"]

#: Seconds that sessions get to end after a test has closed them.
_PATIENCE = 0.2
#: Uses after which a database is dropped: each leaves a little in the server's catalog.
_USES = 100
_Row = tuple[Any, ...]


class _Server(Protocol):
    def shape(self) -> object:
        """All that a test may change of a database but its rows."""

    def strangers(self) -> int:
        """How many others are connected to it."""

    def rows(self, table: str) -> list[_Row]: ...

    def filled(self) -> list[str]:
        """The tables that may hold rows."""

    def empty(self, tables: list[str], seeds: Mapping[str, list[_Row]]) -> None:
        """Remove all rows of these tables, and write the seeds again."""


class DatabasePool:
    """Databases of one server.

    Args:
        server_url: of the server.
        make: makes a database of a name, with the current schema; gives its URL.
    """

    def __init__(self, server_url: str, make: Callable[[str], str]) -> None:
        self._server_url = server_url
        self._make = make
        self._free: list[str] = []
        self._uses: dict[str, int] = {}
        self._shape: object = None
        self._seeds: dict[str, list[_Row]] = {}

    def take(self, name: str) -> str:
        """The URL of a database as a migration leaves it; ``name`` is for a new one."""
        url = self._free.pop() if self._free else self._new(name)
        self._uses[url] += 1
        return url

    def give(self, url: str) -> None:
        """Empty a database for the next test, or drop it."""
        if self._uses[url] < _USES and self._is_emptied(url):
            self._free.append(url)
        else:
            self._drop(url)

    def close(self) -> None:
        """Drop those that are free."""
        while self._free:
            self._drop(self._free.pop())

    def _new(self, name: str) -> str:
        url = self._make(name)
        self._uses[url] = 0
        if self._shape is None:
            with _opened(url) as server:
                self._shape = server.shape()
                self._seeds = {table: server.rows(table) for table in server.filled()}
        return url

    def _is_emptied(self, url: str) -> bool:
        with contextlib.suppress(Exception), _opened(url) as server:  # else it is dropped
            until = time.monotonic() + _PATIENCE
            while server.strangers():
                if time.monotonic() > until:
                    return False
                time.sleep(0.005)
            if server.shape() == self._shape:
                server.empty(server.filled(), self._seeds)
                return True
        return False

    def _drop(self, url: str) -> None:
        del self._uses[url]
        drop_database(self._server_url, url.partition("?")[0].rpartition("/")[2])


@contextlib.contextmanager
def _opened(url: str) -> Iterator[_Server]:
    with contextlib.closing(open_admin(url)) as admin:
        yield (_Postgres if url.startswith("postgres") else _MariaDB)(admin)


class _Postgres:
    _OURS = "n.nspname !~ '^(pg_|information_schema)'"

    def __init__(self, admin: Any) -> None:
        self._admin = admin

    def _all(self, text: str) -> list[_Row]:
        found: list[_Row] = self._admin.execute(text).fetchall()
        return found

    def strangers(self) -> int:
        return int(
            self._all(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )[0][0]
        )

    def shape(self) -> object:
        return [
            self._all(text) for text in (
                "SELECT nspname, nspacl::text FROM pg_namespace ORDER BY 1",
                f"""SELECT n.nspname, c.relname, c.relkind, c.relacl::text, c.reloptions::text,
                      c.relowner, c.relhastriggers, a.attname, a.atttypid, a.attnotnull, a.attnum,
                      pg_get_expr(d.adbin, d.adrelid)
                    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
                    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
                    WHERE {self._OURS} ORDER BY 1, 2, a.attnum""",
                f"""SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE {self._OURS} ORDER BY 1""",
                """SELECT setconfig::text FROM pg_db_role_setting s
                   JOIN pg_database d ON d.oid = s.setdatabase
                   WHERE d.datname = current_database()""",
                """SELECT datacl::text, datconnlimit, datallowconn FROM pg_database
                   WHERE datname = current_database()""",
                "SELECT conname FROM pg_constraint ORDER BY 1",
                "SELECT evtname FROM pg_event_trigger",
                "SELECT pubname FROM pg_publication",
                # What ANALYZE has written stays when a table is emptied, and changes plans.
                "SELECT count(*) FROM pg_statistic WHERE starelid >= 16384",
            )
        ]  # fmt: skip

    def filled(self) -> list[str]:
        return [
            name for name, in self._all(
                f"""SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c
                    JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE {self._OURS} AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0
                    ORDER BY 1"""
            )
        ]  # fmt: skip

    def rows(self, table: str) -> list[_Row]:
        return self._all(f"SELECT * FROM {table}")

    def empty(self, tables: list[str], seeds: Mapping[str, list[_Row]]) -> None:
        with self._admin.transaction():
            if tables:
                self._admin.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
            for table, rows in seeds.items():
                for row in rows:
                    places = ", ".join(["%s"] * len(row))
                    self._admin.execute(f"INSERT INTO {table} VALUES ({places})", row)


class _MariaDB:
    def __init__(self, admin: Any) -> None:
        self._admin = admin
        self._name = self._all("SELECT DATABASE()")[0][0]
        self._counted: list[str] = []

    def _all(self, text: str, values: tuple[Any, ...] = ()) -> list[_Row]:
        with self._admin.cursor() as cursor:
            cursor.execute(text, values)
            return list(cursor.fetchall())

    def strangers(self) -> int:
        text = f"SELECT count(*) FROM {PROCESSES} WHERE db = %s AND id <> CONNECTION_ID()"
        return int(self._all(text, (self._name,))[0][0])

    def shape(self) -> object:
        made = []
        for name, kind in sorted(self._all("SHOW FULL TABLES")):
            text = self._all(f"SHOW CREATE TABLE `{name}`")[0][1]
            plain = re.sub(r" AUTO_INCREMENT=\d+", "", text).replace(f"`{self._name}`.", "")
            if plain != text and "AUTO_INCREMENT=" in text:
                self._counted.append(name)
            made.append((name, kind, plain))
        other = [self._all(f"SHOW {kind}") for kind in ("TRIGGERS", "EVENTS")]
        return (
            made,
            other,
            self._all(f"SHOW CREATE DATABASE `{self._name}`")[0][1].partition("/*")[2],
        )

    def filled(self) -> list[str]:
        tables = [n for n, kind in sorted(self._all("SHOW FULL TABLES")) if kind == "BASE TABLE"]
        parts = (f"SELECT '{t}' FROM DUAL WHERE EXISTS (SELECT 1 FROM `{t}`)" for t in tables)
        return [name for (name,) in self._all(" UNION ALL ".join(parts))]

    def rows(self, table: str) -> list[_Row]:
        return self._all(f"SELECT * FROM `{table}`")

    def empty(self, tables: list[str], seeds: Mapping[str, list[_Row]]) -> None:
        with self._admin.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            for table in tables:
                cursor.execute(f"DELETE FROM `{table}`")
            for table, rows in seeds.items():
                for row in rows:
                    places = ", ".join(["%s"] * len(row))
                    cursor.execute(f"INSERT INTO `{table}` VALUES ({places})", row)
            cursor.execute("COMMIT")
            for table in self._counted:
                cursor.execute(f"ALTER TABLE `{table}` AUTO_INCREMENT = 1")
