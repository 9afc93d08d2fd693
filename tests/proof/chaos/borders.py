"""Borders: faults of a database and a host that go on running but are not as they were."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from tests.acceptance.kit import Shop, Worker
from tests.stores.kit import open_raw
from tests.support.servers import PROCESSES, Postgres, Server, open_admin

__all__ = ["PLAIN", "BorderFaults", "Fault", "of_a_plain_user", "send"]

#: The user of clients and workers on MariaDB: an administrator may write to a read-only server.
PLAIN = "plain"

#: Does its work, and says what it has done; None if it could not.
Fault: TypeAlias = Callable[[], str | None]

_LOCKS = ("leases", "waiting", "workflows", "ready")


class BorderFaults:
    """Holds locks as a client, refuses writes, cancels statements; stops and kills fork servers,
    blocks the pipe of a log, and takes the last descriptors away.

    Args:
        mend_later: takes what is broken, seconds, and what mends it.
        is_broken: whether that is broken now.
        pick: an awake worker, if there is one.
    """

    def __init__(
        self,
        shop: Shop,
        choices: random.Random,
        server: Server | None,
        *,
        mend_later: Callable[[str, float, Callable[[], Any]], None],
        is_broken: Callable[[str], bool],
        pick: Callable[[], Worker | None],
    ) -> None:
        self._shop = shop
        self._choices = choices
        self._server = server
        self._mend_later = mend_later
        self._is_broken = is_broken
        self._pick = pick

    def faults(self) -> list[tuple[Fault, float]]:
        """Each with its weight."""
        found: list[tuple[Fault, float]] = [
            (self._hold_locks, 2), (self._kill_fork_server, 1), (self._stop_fork_server, 0.5),
            (self._block_log, 1), (self._fill_descriptors, 1),
        ]  # fmt: skip
        if self._server is not None:
            found += [(self._cancel_statements, 2), (self._turn_read_only, 0.7)]
        return found

    # -- the database

    def _hold_locks(self) -> str | None:
        """A client with an open transaction, which has locked rows that settles need."""
        table = "all" if self._server is None else self._choices.choice(_LOCKS)
        if self._is_broken(f"locks of {table}"):
            return None
        try:
            connection = open_raw(self._shop.desk.url)
        except Exception:  # noqa: BLE001 - the database may be down by another fault
            return None
        try:
            cursor = connection.cursor()
            if self._server is None:
                cursor.execute("BEGIN IMMEDIATE")
            else:
                skip = "FOR UPDATE SKIP LOCKED"
                name = self._shop.desk.settings.prefix + table
                cursor.execute("BEGIN")
                cursor.execute(f"SELECT * FROM {name} LIMIT 5 {skip}")
                cursor.fetchall()
        except Exception:  # noqa: BLE001 - as above
            connection.close()
            return None
        seconds = self._choices.uniform(0.1, 1.5 if self._server is None else 4.0)
        self._mend_later(f"locks of {table}", seconds, lambda: _end(connection))
        return "locks held by a client"

    def _cancel_statements(self) -> str | None:
        """What a time-out of the server does: the statements under way end with an error."""
        desk = self._shop.desk
        with contextlib.suppress(Exception):  # the database may be down by another fault
            if desk.kind == "postgres":
                desk.sql(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state <> 'idle' "
                    "AND pid <> pg_backend_pid() AND datname = current_database()"
                )
            else:
                rows = desk.sql(
                    f"SELECT id FROM {PROCESSES} WHERE command = 'Query' AND id <> connection_id()"
                )
                for (number,) in rows:
                    with contextlib.suppress(Exception):  # it has ended by itself
                        desk.sql(f"KILL QUERY {number}")
            return "statements cancelled"
        return None

    def _turn_read_only(self) -> str | None:
        """As a primary after a failover; the user of clients and workers may not pass."""
        if self._is_broken("read-only") or self._is_broken("server"):
            return None
        if not self._set_read_only("on"):
            return None

        def mend() -> None:
            if not self._set_read_only("off"):  # down by another fault, or ended in the meantime
                self._mend_later("read-only", 0.3, mend)

        self._mend_later("read-only", self._choices.uniform(0.3, 3.0), mend)
        return "database read-only"

    def _set_read_only(self, how: str) -> bool:
        server = self._server
        assert server is not None
        try:
            with contextlib.closing(open_admin(server.url())) as connection:
                cursor = connection.cursor()
                if isinstance(server, Postgres):
                    cursor.execute(f"ALTER SYSTEM SET default_transaction_read_only = {how}")
                    cursor.execute("SELECT pg_reload_conf()")
                else:
                    cursor.execute(f"SET GLOBAL read_only = {how}")
        except Exception:  # noqa: BLE001 - the database may be down by another fault
            return False
        return True

    # -- the host

    def _kill_fork_server(self) -> str | None:
        pid = self._fork_server()
        return "fork server killed" if pid and send(pid, signal.SIGKILL) else None

    def _stop_fork_server(self) -> str | None:
        pid = self._fork_server()
        if pid is None or not send(pid, signal.SIGSTOP):
            return None
        seconds = self._choices.uniform(0.5, 15.0)  # the worker kills it after some ten
        self._mend_later(f"fork server {pid}", seconds, lambda: send(pid, signal.SIGCONT))
        return "fork server stopped"

    def _fork_server(self) -> int | None:
        worker = self._pick()
        forkers = sorted(worker.fork_servers()) if worker is not None else []
        return self._choices.choice(forkers) if forkers else None

    def _block_log(self) -> str | None:
        worker = self._pick()
        if worker is None or worker.log_reader is None or "worker started" not in worker.log:
            return None
        reader = worker.log_reader.pid
        if self._is_broken(f"log {reader}") or not send(reader, signal.SIGSTOP):
            return None
        seconds = self._choices.uniform(0.5, 5.0)
        self._mend_later(f"log {reader}", seconds, lambda: send(reader, signal.SIGCONT))
        return "log blocked"

    def _fill_descriptors(self) -> str | None:
        """The supervisor can open nothing more, as if a leak had taken the last descriptors."""
        worker = self._pick()
        if worker is None or "worker started" not in worker.log:  # no Python starts without any
            return None
        if self._is_broken(f"descriptors {worker.pid}"):
            return None
        pid = worker.pid
        try:
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (_next_descriptor(pid), hard))
        except (OSError, ValueError):  # it has just ended
            return None

        def mend() -> None:
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

        self._mend_later(f"descriptors {pid}", self._choices.uniform(0.3, 3.0), mend)
        return "descriptors used up"


def of_a_plain_user(server: Server, url: str) -> str:
    """The URL with a user whom a read-only server stops."""
    if isinstance(server, Postgres):
        return url
    with contextlib.closing(open_admin(server.url())) as connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE USER IF NOT EXISTS {PLAIN}@'%'")
        cursor.execute(f"GRANT ALL ON *.* TO {PLAIN}@'%'")
        rights = "/*M! READ_ONLY ADMIN, */ /*!80000 CONNECTION_ADMIN, */ SUPER"
        cursor.execute(f"REVOKE {rights} ON *.* FROM {PLAIN}@'%'")
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{PLAIN}@{rest.rpartition('@')[2]}"


def _next_descriptor(pid: int) -> int:
    """The number that the next file would get."""
    used = {int(name) for name in os.listdir(Path("/proc", str(pid), "fd"))}
    return next(number for number in range(len(used) + 1) if number not in used)


def _end(connection: Any) -> None:
    with contextlib.suppress(Exception):  # the server may have ended it
        connection.rollback()
    with contextlib.suppress(Exception):
        connection.close()


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False if the process has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
