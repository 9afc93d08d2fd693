"""The tests' own servers: private, unprivileged, to be killed and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pymysql
import pytest
import redis

from tests.support.servers import MariaDB, Postgres, Redis, open_admin, open_redis


def test_each_test_gets_an_empty_database(
    database_kind: str, fresh_database: Callable[[str], str]
) -> None:
    first, second = fresh_database(database_kind), fresh_database(database_kind)

    assert first != second
    if database_kind != "sqlite":
        with open_admin(first) as admin, admin.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM information_schema.tables "
                "WHERE table_schema NOT IN ('information_schema', 'pg_catalog')"
                if database_kind == "postgres"
                else "SELECT count(*) FROM information_schema.tables "
                "WHERE table_schema = database()"
            )
            assert cursor.fetchone()[0] == 0


def test_a_killed_postgres_starts_again_with_its_data(own_postgres: Postgres) -> None:
    url = own_postgres.create_database("kept")
    with open_admin(url) as admin:
        admin.execute("CREATE TABLE t AS SELECT 7 AS n")

    own_postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        open_admin(url)
    own_postgres.start()

    with open_admin(url) as admin:
        assert admin.execute("SELECT n FROM t").fetchone() == (7,)


def test_a_killed_mariadb_starts_again_with_its_data(own_mariadb: MariaDB) -> None:
    url = own_mariadb.create_database("kept")
    with open_admin(url) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE TABLE t AS SELECT 7 AS n")

    own_mariadb.kill()
    with pytest.raises(pymysql.err.OperationalError):
        open_admin(url)
    own_mariadb.start()

    with open_admin(url) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT n FROM t")
        assert cursor.fetchone() == (7,)


def test_a_mariadb_keeps_its_temporary_tables_apart(own_mariadb: MariaDB) -> None:
    """One that starts removes those of every other one from its folder for them."""
    with open_admin(own_mariadb.url()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT @@tmpdir")
        assert cursor.fetchone() == (str(own_mariadb.folder),)


def test_a_paused_redis_is_silent_until_resumed(own_redis: Redis) -> None:
    with open_redis(own_redis.url(), socket_timeout=0.2) as client:
        client.ping()
        own_redis.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()

        own_redis.resume()

        assert client.ping()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="parent-death signals are Linux's")
def test_servers_die_with_a_killed_test_process(redis_url: str) -> None:
    code = (
        "from tests.support.servers import Redis\nserver = Redis()\nserver.start()\n"
        "print(server.pid, server.port, flush=True)\nimport os, signal\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    pid, port = done.stdout.split()

    deadline = os.times().elapsed + 10
    while Path(f"/proc/{pid}").exists() and os.times().elapsed < deadline:
        if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
            break  # dead, and nobody's to reap in this container

    with pytest.raises(redis.ConnectionError):
        redis.Redis(port=int(port)).ping()
