"""How many connections one process opens, who gets them, and what happens where there are none."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from psycopg import pq

from hammerflow.errors import StoreUnavailable
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from hammerflow.stores.database import Tx
from hammerflow.stores.store import Store
from tests.stores.kit import Desk, desk_at
from tests.support.servers import open_admin
from tests.support.waiting import until

Migrated = Callable[[str], str]


def in_threads(count: int, work: Callable[[], object]) -> list[BaseException]:
    """Run in many threads at once; their errors."""
    barrier, faults = threading.Barrier(count), []

    def run() -> None:
        try:
            barrier.wait()
            work()
        except BaseException as error:  # noqa: BLE001 - shown by the caller
            faults.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


@contextlib.contextmanager
def store_of(desk: Desk, **settings: object) -> Iterator[Store]:
    """A second store on the desk's database."""
    store = desk.another(**settings)
    try:
        yield store
    finally:
        store.close()


def test_many_threads_share_few_connections(desk: Desk) -> None:
    seen: set[int] = set()  # the objects stay alive: the pool keeps them open
    with store_of(desk, max_connections=4) as store:

        def work() -> None:
            for _ in range(10):
                store.database.unit(lambda tx: seen.add(id(tx.connection)))
                store.jobs.insert_one(desk.job())

        assert in_threads(30, work) == []
        assert len(seen) <= 4 and store.database.connections.open_now <= 4
    assert store.database.connections.open_now == 0
    assert desk.count("jobs") == 300


def test_open_transactions_leave_a_connection_for_calls(migrated_database: Migrated) -> None:
    with (
        desk_at(migrated_database("postgres")) as desk,
        store_of(desk, max_connections=3, pool_timeout=0.2) as store,
    ):
        with store.transaction(), store.transaction():
            for _ in range(3):
                store.jobs.insert_one(desk.job())
            words = "no connection was free for 0.2 s: all 3 .* raise max_connections"
            with pytest.raises(StoreUnavailable, match=words), store.transaction():
                pass
            store.clock()
        with store.transaction(), store.transaction():
            pass


def test_the_longest_waiter_is_served_first(migrated_database: Migrated) -> None:
    order: list[int] = []
    with (
        desk_at(migrated_database("postgres")) as desk,
        store_of(desk, max_connections=2, pool_timeout=30) as store,
    ):
        waiting = store.database.connections.waiting

        def block(number: int) -> None:
            with store.transaction():
                order.append(number)

        threads = [threading.Thread(target=block, args=(number,)) for number in range(5)]
        with store.transaction():
            for number, thread in enumerate(threads):
                thread.start()
                until("it waits", lambda n=number: len(waiting) == n + 1)
        for thread in threads:
            thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_what_signals_interrupt_leaves_room(desk: Desk) -> None:
    def interrupted(_: Tx) -> None:
        raise KeyboardInterrupt

    with store_of(desk, max_connections=2, pool_timeout=0.2) as store:
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                store.database.unit(interrupted)
            with pytest.raises(KeyboardInterrupt), store.transaction() as tx:
                interrupted(tx)
        store.jobs.insert_one(desk.job())


def test_a_fork_while_all_are_in_use_has_connections_of_its_own(
    migrated_database: Migrated,
) -> None:
    with (
        desk_at(migrated_database("postgres")) as desk,
        store_of(desk, max_connections=2, pool_timeout=30) as store,
    ):
        with store.transaction():
            thread = threading.Thread(target=store.transaction().__enter__)
            thread.daemon = True
            thread.start()
            until("it waits", lambda: len(store.database.connections.waiting) == 1)
            if (pid := os.fork()) == 0:
                with contextlib.suppress(BaseException):
                    with store.transaction():
                        store.jobs.insert_one(desk.job())
                    os._exit(store.database.connections.open_now)
                os._exit(99)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
        thread.join()


@contextlib.contextmanager
def guest_of(kind: str, url: str, most: int) -> Iterator[str]:
    """The URL for an account of the server that may have ``most`` connections."""
    with contextlib.closing(open_admin(url)) as admin, admin.cursor() as cursor:
        if kind == "postgres":
            cursor.execute(f"CREATE ROLE hf_few LOGIN CONNECTION LIMIT {most}")
            cursor.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO hf_few")
            guest = url.replace("//postgres@", "//hf_few@")
        else:
            cursor.execute(f"CREATE USER hf_few@'%' IDENTIFIED BY 'few' "
                           f"WITH MAX_USER_CONNECTIONS {most}")  # fmt: skip
            cursor.execute("GRANT ALL ON *.* TO hf_few@'%'")
            guest = url.replace("//hammerflow:hammerflow@", "//hf_few:few@")
        try:
            yield guest
        finally:
            if kind == "postgres":
                cursor.execute("DROP OWNED BY hf_few")
                cursor.execute("DROP ROLE hf_few")
            else:
                cursor.execute("DROP USER hf_few@'%'")


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_the_servers_limit_is_waited_for(kind: str, migrated_database: Migrated) -> None:
    url = migrated_database(kind)
    with desk_at(url) as desk, guest_of(kind, url, 3) as guest:
        one, two = (open_store(Settings(database=guest, pool_timeout=30)) for _ in range(2))

        def work() -> None:
            for store in (one, two):
                store.jobs.insert_one(desk.job())
                store.close()  # or the first would keep all three

        assert in_threads(15, work) == []
        assert desk.count("jobs") == 30
        others = [open_admin(guest) for _ in range(3)]
        with pytest.raises(StoreUnavailable, match="too many connections|max_user_connections"):
            open_store(Settings(database=guest, pool_timeout=0.1)).clock()
        timer = threading.Timer(0.3, others[0].close)
        timer.start()
        one.jobs.insert_one(desk.job())
        timer.join()
        one.close()
        for other in others[1:]:
            other.close()


@contextlib.contextmanager
def german_postgres(answers: list[tuple[str, str]]) -> Iterator[str]:
    """A PostgreSQL server that refuses each connection with the next of these SQLSTATEs and texts,
    and goes on with the last; its URL."""

    def serve(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            while struct.unpack("!I", peer.recv(4, socket.MSG_PEEK))[0] == 8:
                peer.recv(8)
                peer.sendall(b"N")  # neither TLS nor GSSAPI
            peer.recv(1000)
            code, text = answers.pop(0) if len(answers) > 1 else answers[0]
            body = f"SFATAL\0VFATAL\0C{code}\0M{text}\0\0".encode()
            peer.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                serve(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"postgresql://me@127.0.0.1:{listener.getsockname()[1]}/shop"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.skipif(
    sys.platform != "linux" or pq.version() < 170000, reason="libpq's trace does not show it"
)
def test_the_servers_limit_is_known_in_any_language() -> None:
    full = ("53300", "tut mir leid, schon zu viele Verbindungen")
    wrong = ("28P01", "Passwort-Authentifizierung für Benutzer »me« fehlgeschlagen")
    with german_postgres([full, full, full, wrong]) as url:
        database = open_store(Settings(database=url, pool_timeout=20)).database
        with pytest.raises(StoreUnavailable, match=r"Passwort.*check that it runs"):
            database.run("migrations_applied")  # it waited until the server had another answer
    with german_postgres([full]) as url:
        database = open_store(Settings(database=url, pool_timeout=0.1)).database
        with pytest.raises(StoreUnavailable, match=r"schon zu viele.*raise the server.s limit"):
            database.run("migrations_applied")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_never_greets_is_given_up_after_the_time_to_connect(scheme: str) -> None:
    """It hangs, or another program has the port; far less than the time-out of a statement."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://me@127.0.0.1:{listener.getsockname()[1]}/shop"
        settings = Settings(database=url, connect_timeout=1, statement_timeout=60)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="check that it runs"):
            open_store(settings).clock()
        assert time.monotonic() - began < 40


def test_a_connection_that_was_interrupted_serves_nobody_else(desk: Desk) -> None:
    """The request may reach the server after the statement, and would end the next one."""
    database = desk.store.database
    with pytest.raises(RuntimeError), desk.store.transaction() as tx:
        tx.rows("clock")
        database.interrupt(tx)
        raise RuntimeError
    assert tx not in database.connections.idle
    assert desk.put(desk.job())
