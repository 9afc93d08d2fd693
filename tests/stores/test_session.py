"""The session of hammerflow's own connections: what is pinned, and what is kept as given."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hammerflow.errors import ConfigError, StoreUnavailable
from hammerflow.jobs.outcome import Failed, Failure
from hammerflow.settings import Settings, parse_url
from hammerflow.stores import open_store
from hammerflow.stores.statements import Statement
from tests.stores.kit import Desk, desk_at
from tests.support.servers import MariaDB, open_admin

Fresh = Callable[[str], str]
TEXTS = ("Müller", "clé", "日本", "🐦", "back\\slash 'n \"quote")


@contextlib.contextmanager
def role_at(url: str, *settings: str) -> Iterator[str]:
    """The URL for a role that owns everything and has these settings."""
    with open_admin(url) as admin:
        admin.execute("CREATE ROLE hf_guest LOGIN SUPERUSER")
        for setting in settings:
            admin.execute(f"ALTER ROLE hf_guest SET {setting}")
        try:
            yield url.replace("//postgres@", "//hf_guest@")
        finally:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hf_guest'"
            )
            admin.execute("REASSIGN OWNED BY hf_guest TO postgres")
            admin.execute("DROP ROLE hf_guest")  # fmt: skip


def encoded(url: str, encoding: str) -> str:
    """The URL of a database of the server with this encoding, in place of the given one."""
    name = parse_url(url).database
    with open_admin(url.replace(f"/{name}", "/postgres")) as admin:
        admin.execute(f'DROP DATABASE "{name}"')
        admin.execute(f"CREATE DATABASE \"{name}\" ENCODING '{encoding}' TEMPLATE template0 "
                      "LC_COLLATE 'C' LC_CTYPE 'C'")  # fmt: skip
    return url


def check_texts(desk: Desk) -> None:
    """Names, keys, failures and reasons come back as they were written."""
    for text in TEXTS:
        job = desk.job(queue=text, unique_key=text, trace=text)
        assert desk.put(job) == [job.id]
        assert desk.put(desk.job(queue=text, unique_key=text)) == [job.id]
        (claimed,) = desk.claim(queue=text)
        desk.settle((claimed, Failed(Failure("failed", "E", text, text))))
        shown = desk.store.jobs.get(job.id)
        assert shown is not None and (shown.queue, shown.errors[0].message) == (text, text)
    assert {queue.name for queue in desk.store.queues.list()} >= set(TEXTS)


@pytest.mark.parametrize("where", ["SQL_ASCII", "role", "PGCLIENTENCODING", "server options"])
def test_every_text_is_kept_whatever_the_encodings(
    where: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        url = postgres_url
        if where == "SQL_ASCII":
            url = encoded(url, where)
        elif where == "role":
            url = stack.enter_context(role_at(url, "client_encoding = 'LATIN1'"))
        elif where == "PGCLIENTENCODING":
            monkeypatch.setenv(where, "LATIN1")
        else:
            monkeypatch.setenv("PGOPTIONS", "-c client_encoding=SQL_ASCII")
        desk = stack.enter_context(desk_at(url))
        desk.store.schema.migrate()
        check_texts(desk)


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "WIN1252"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    encoding: str, postgres_url: str
) -> None:
    store = open_store(Settings(database=encoded(postgres_url, encoding)))
    with pytest.raises(ConfigError, match=f"its encoding is {encoding}.*ENCODING 'UTF8'"):
        store.schema.migrate()


@pytest.mark.parametrize("way", ["PGOPTIONS", "service in the URL", "PGSERVICE", "URL", "role"])
def test_tables_are_made_on_the_search_path_that_was_given(
    way: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, url = "-c search_path=tenant_a", postgres_url
    service = tmp_path / "services"
    service.write_text(f"[shop]\noptions={given}\nkeepalives_idle=77\nconnect_timeout=9\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    with open_admin(url) as admin, contextlib.ExitStack() as stack:
        admin.execute("CREATE SCHEMA tenant_a")
        admin.execute("DROP SCHEMA public")
        match way:
            case "PGOPTIONS":
                monkeypatch.setenv("PGOPTIONS", given)
            case "PGSERVICE":
                monkeypatch.setenv("PGSERVICE", "shop")
            case "service in the URL":
                url += "?service=shop"
            case "URL":
                url += "?options=-c%20search_path%3Dtenant_a&keepalives_idle=77"
            case _:
                url = stack.enter_context(role_at(url, "search_path = tenant_a"))
        with desk_at(url) as desk:
            desk.store.schema.migrate()
            desk.store.jobs.insert_one(desk.job())
            with desk.store.transaction() as tx:
                values = {option.keyword: option.val for option in tx.connection.pgconn.info}
        assert admin.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE "
                             "'hammerflow%'").fetchall() == [("tenant_a",)]  # fmt: skip
        assert values[b"keepalives_idle"] == (b"10" if way in ("PGOPTIONS", "role") else b"77")
        assert values[b"keepalives_count"] == b"3"


HOSTILE = (
    "statement_timeout = 5000", "lock_timeout = 1", "default_transaction_isolation = serializable",
    "standard_conforming_strings = off", "TimeZone = 'Asia/Tokyo'", "enable_seqscan = on",
    "jit = on", "bytea_output = escape", "DateStyle = 'German'", "IntervalStyle = sql_standard",
    "extra_float_digits = -4",
)  # fmt: skip
SHOWN = ("statement_timeout", "lock_timeout", "default_transaction_isolation", "TimeZone", "jit")


def shown(desk: Desk) -> list[str]:
    """The session's settings of the names in SHOWN."""
    with desk.store.transaction() as tx:
        return [tx.connection.execute(f"SHOW {name}").fetchone()[0] for name in SHOWN]


def test_a_postgresql_session_is_the_same_whatever_its_role_sets(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with role_at(postgres_url, *HOSTILE) as url:
        with desk_at(url, statement_timeout=9) as desk:
            desk.store.schema.migrate()
            check_texts(desk)
            assert shown(desk) == ["9s", "10s", "read committed", "UTC", "off"]
        monkeypatch.setenv(
            "PGOPTIONS",
            "-c statement_timeout=7s -c TimeZone=Europe/Rome --lock_timeout=8s -c jit=1",
        )
        with desk_at(url, statement_timeout=9) as desk:
            assert shown(desk) == ["7s", "8s", "read committed", "Europe/Rome", "on"]


def test_what_a_postgresql_url_cannot_mean_is_refused() -> None:
    for place, words in (
        ("h/d?foo=1", '"foo"'),
        ("h/d?client_encoding=latin1", "client_encoding must be UTF8, not 'latin1'"),
        ("h/d?keepalive_idle=1", '"keepalive_idle"'),
        ("[::1]x,h/d", "unexpected character"),
        ("h/d?password=s3cret=1&foo=1", "extra key/value separator"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            open_store(Settings(database=f"postgresql://shop:s3cret@{place}"))
        assert "s3cret" not in str(caught.value)
    open_store(Settings(database="postgresql://h/d?client_encoding=utf-8&connect_timeout=3"))
    with pytest.raises(ConfigError, match="bad value for connect_timeout: 'abc'"):
        open_store(Settings(database="postgresql://h/d?connect_timeout=abc")).clock()


def test_a_callers_postgresql_connection_must_speak_utf8(migrated_database: Fresh) -> None:
    with (
        desk_at(migrated_database("postgres")) as desk,
        psycopg.connect(desk.url, client_encoding="LATIN1") as connection,
        pytest.raises(ConfigError, match="encoding is LATIN1; connect with"),
    ):
        desk.store.foreign(connection)


#: Variables that MariaDB and MySQL call by different names.
ISOLATION = "/*M! tx_isolation */ /*!50708 transaction_isolation */"
LONGEST = "/*M! max_statement_time */ /*!50708 max_execution_time */"


@contextlib.contextmanager
def poor_user(kind: str, url: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """The URL for a user who lacks what the jobs need when a session begins, and what mends that.

    MySQL tells a session of changed rights on its database no more, and PostgreSQL not of changed
    settings of its role.
    """
    name = parse_url(url).database
    with contextlib.closing(open_admin(url)) as admin, admin.cursor() as cursor:
        if kind == "postgres":
            with role_at(url, "search_path = nowhere") as guest:
                yield guest, lambda: cursor.execute("ALTER ROLE hf_guest RESET search_path")
            return
        cursor.execute("CREATE USER hf_poor@'%' IDENTIFIED BY 'poor'")
        cursor.execute(f"GRANT SELECT ON `{name}`.* TO hf_poor@'%'")
        grant = f"GRANT INSERT, UPDATE, DELETE ON `{name}`.* TO hf_poor@'%'"
        try:
            yield (
                url.replace("//hammerflow:hammerflow@", "//hf_poor:poor@"),
                lambda: cursor.execute(grant),
            )
        finally:
            cursor.execute("DROP USER hf_poor@'%'")


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_what_was_mended_outside_reaches_the_next_call(kind: str, migrated_database: Fresh) -> None:
    url = migrated_database(kind)
    with (
        desk_at(url) as desk,
        poor_user(kind, url) as (guest, mend),
        contextlib.closing(open_store(Settings(database=guest))) as store,
    ):
        taken = [store.database.connections.take() for _ in range(3)]
        for tx in taken:
            store.database.connections.give(tx)  # they stay idle
        with pytest.raises(StoreUnavailable, match="denied|does not exist"):
            store.jobs.insert_one(desk.job())
        mend()
        store.jobs.insert_one(desk.job())
        assert desk.count("jobs") == 1


#: Of the server, of an account's session, and of the account.
GLOBALS = (
    "sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'", "time_zone = '+09:00'",
    "lock_wait_timeout = 1", f"{ISOLATION} = 'SERIALIZABLE'",
    "collation_server = latin1_german1_ci",
    "collation_connection = latin1_german1_ci", f"{LONGEST} = 5", "sql_safe_updates = 1",
    "init_connect = 'SET sql_select_limit = 1, completion_type = 1, sql_auto_is_null = 1'",
)  # fmt: skip
VARIABLES = (
    "@@sql_mode, @@time_zone, /*M! @@tx_isolation */ /*!50708 @@transaction_isolation */,"
    " @@sql_select_limit, /*M! @@max_statement_time */ /*!50708 @@max_execution_time */"
)


def test_a_mariadb_session_is_the_same_whatever_its_server_sets(
    own_mariadb: MariaDB, tmp_path: Path
) -> None:
    with contextlib.closing(open_admin(own_mariadb.url())) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE DATABASE shop CHARACTER SET latin1 COLLATE latin1_german1_ci")
        cursor.execute("CREATE USER guest@'%' IDENTIFIED BY 'guest'")
        cursor.execute("GRANT ALL ON shop.* TO guest@'%'")
        for setting in GLOBALS:
            cursor.execute(f"SET GLOBAL {setting}")
    options = tmp_path / "options"
    options.write_text(f"[client]\nport = {own_mariadb.port}\nhost = 127.0.0.1\n")
    url = f"mysql://guest:guest@/shop?read_default_file={options}"
    with contextlib.closing(open_store(Settings(database=url))) as store:
        store.schema.migrate()
    with desk_at(f"mysql://guest:guest@127.0.0.1:{own_mariadb.port}/shop") as desk:
        check_texts(desk)
        with desk.store.transaction() as tx, tx.connection.cursor() as cursor:
            cursor.execute(f"SELECT {VARIABLES}, @@character_set_connection")
            strict = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"
            isolation, unlimited = "READ-COMMITTED", 18446744073709551615
            assert cursor.fetchone() == (strict, "+00:00", isolation, unlimited, 0, "utf8mb4")


SLOW = {
    "sqlite": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
        "SELECT count(*) FROM n"
    ),
    "postgres": "SELECT pg_sleep(600)",
    "mysql": "SELECT SLEEP(600)",
}  # fmt: skip


def test_a_statement_ends_after_its_timeout(migrated_url: str) -> None:
    with desk_at(migrated_url, statement_timeout=0.3) as desk:
        statements: Any = desk.store.database.dialect.statements
        statements["clock"] = Statement("clock", SLOW[desk.kind])
        with pytest.raises((StoreUnavailable, psycopg.errors.QueryCanceled, sqlite3.Error)):
            desk.store.clock()
        assert desk.put(desk.job())
