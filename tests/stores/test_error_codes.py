"""The table of error codes: every code is provoked on a real server, or says why it cannot be."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hammerflow.errors import NotEncodable, StoreUnavailable
from hammerflow.stores.connections.error_codes import ADVICE, TABLES, UNKNOWN, Advice, ErrorKind
from hammerflow.stores.dialects.sqlite import SQLite
from tests.conftest import _migrate, _name, _shared_url
from tests.stores.kit import Desk, desk_at, open_raw
from tests.support.servers import PROCESSES, create_database, drop_database, ends_idle_sessions
from tests.support.waiting import until

Provoke = Callable[[Desk, Any], object]


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Desk]]:
    """One desk of each kind for all codes."""
    with contextlib.ExitStack() as stack:
        made: dict[str, Desk] = {}

        def desk_of(kind: str) -> Desk:
            if kind not in made:
                url = f"sqlite:///{tmp_path_factory.mktemp('codes')}/codes.db"
                if kind != "sqlite":
                    name = _name("codes")
                    url = create_database(_shared_url(kind), name)
                    stack.callback(drop_database, _shared_url(kind), name)
                _migrate(url)
                made[kind] = stack.enter_context(desk_at(url))
            return made[kind]

        yield desk_of


def sql(*statements: str) -> Provoke:
    """Statements of which the last one fails."""

    def run(desk: Desk, tx: Any) -> None:
        for statement in statements:
            text = statement.replace("{", desk.settings.prefix).replace("}", "")
            tx.connection.cursor().execute(text)

    return run


def closed(desk: Desk, tx: Any) -> None:
    tx.connection.close()
    tx.rows("clock")


_TWICE = "INSERT INTO {migrations} SELECT * FROM {migrations}"

# -- PostgreSQL


def stale_plan(desk: Desk, tx: Any) -> None:
    desk.sql("CREATE TABLE plan_of (a int)")
    for _ in range(2):
        tx.connection.execute("SELECT * FROM plan_of", prepare=True).fetchall()
        desk.sql("ALTER TABLE plan_of ADD COLUMN b int")


def failed_block(desk: Desk, tx: Any) -> None:
    with tx.connection.transaction():
        with contextlib.suppress(Exception):
            tx.connection.execute("SELECT 1/0")
        tx.connection.execute("SELECT 1")


def timed_out_when_idle(*statements: str) -> Provoke:
    def run(desk: Desk, tx: Any) -> None:
        pid = tx.connection.info.backend_pid
        for statement in statements:
            tx.connection.execute(statement)
        seen = f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"
        until("the session is ended", lambda: not desk.sql(seen))
        tx.connection.execute("SELECT 1")

    return run


def write_conflict(desk: Desk, tx: Any) -> None:
    tx.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    sql("SELECT * FROM {migrations}")(desk, tx)
    change = "UPDATE {migrations} SET name = name"
    desk.sql(change)
    sql(change)(desk, tx)


def locked_table(desk: Desk, tx: Any) -> None:
    with contextlib.closing(open_raw(desk.url)) as other, other.transaction():
        other.execute(f"LOCK TABLE {desk.settings.prefix}done")
        sql("SET lock_timeout = 10", "SELECT * FROM {done}")(desk, tx)


POSTGRES: Mapping[str, Provoke] = {
    "": closed,
    "0A000": stale_plan,
    "21": sql("SELECT (SELECT 1 UNION SELECT 2)"),
    "22": sql("SELECT 1/0"),
    "23": sql("INSERT INTO {migrations} VALUES (NULL, 'x', now())"),
    "23505": sql(_TWICE),
    "25": failed_block,
    "25006": sql("SET default_transaction_read_only = on", _TWICE),
    "25P03": timed_out_when_idle("SET idle_in_transaction_session_timeout = 10", "BEGIN"),
    "26": sql("EXECUTE nothing"),
    "3F": sql("CREATE TABLE nowhere.t (a int)"),
    "40": write_conflict,
    "42": sql("SELECT missing FROM {jobs}"),
    "42501": sql("SET ROLE pg_monitor", "SELECT * FROM {jobs}"),
    "42P01": sql("SELECT * FROM missing"),
    "42P05": sql("PREPARE twice AS SELECT 1", "PREPARE twice AS SELECT 1"),
    "54": sql("CREATE TEMPORARY TABLE wide (a text)", "CREATE INDEX ON wide (a)",
              "INSERT INTO wide SELECT string_agg(md5(i::text), '') FROM generate_series(1,999) i"),
    "55": sql("CREATE TEMPORARY SEQUENCE numbers", "SELECT currval('numbers')"),
    "55P03": locked_table,
    "57": sql("SELECT pg_terminate_backend(pg_backend_pid())"),
    "57014": sql("SET statement_timeout = 10", "SELECT pg_sleep(20)"),
    "57P05": timed_out_when_idle("SET idle_session_timeout = 10"),
    "P0": sql("DO $$ BEGIN RAISE EXCEPTION 'no'; END $$"),
}  # fmt: skip

# -- MariaDB


def changed_record(desk: Desk, tx: Any) -> None:
    sql("SET SESSION innodb_snapshot_isolation = ON, tx_isolation = 'REPEATABLE-READ'", "BEGIN",
        "SELECT * FROM {migrations}")(desk, tx)  # fmt: skip
    desk.sql("UPDATE {migrations} SET name = CONCAT(name, 'x')")
    sql("SELECT * FROM {migrations} FOR UPDATE")(desk, tx)


def locked_row(desk: Desk, tx: Any) -> None:
    with contextlib.closing(open_raw(desk.url)) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT * FROM {desk.settings.prefix}migrations FOR UPDATE")
        sql("SET SESSION innodb_lock_wait_timeout = 1", "BEGIN",
            "SELECT * FROM {migrations} FOR UPDATE /*M! NOWAIT */")(desk, tx)  # fmt: skip


def deadlock(desk: Desk, tx: Any) -> None:
    """The one that has written less is the victim."""
    desk.sql("CREATE TABLE crossed (a INT PRIMARY KEY, b INT) ENGINE = InnoDB")
    desk.sql("INSERT INTO crossed VALUES (1, 1), (2, 2), (3, 3), (4, 4)")
    with contextlib.closing(open_raw(desk.url)) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE crossed SET b = 0 WHERE a >= 2")
        sql("BEGIN", "SELECT * FROM crossed WHERE a = 1 FOR UPDATE")(desk, tx)
        crossing = threading.Thread(
            target=cursor.execute, args=("UPDATE crossed SET b = 0 WHERE a = 1",)
        )
        crossing.start()
        try:
            sql("SELECT * FROM crossed WHERE a = 2 FOR UPDATE")(desk, tx)
        finally:
            crossing.join()


def killed(what: str, statement: str) -> Provoke:
    """Another session kills this statement, or its session."""

    def run(desk: Desk, tx: Any) -> None:
        thread = tx.connection.thread_id()
        timer = threading.Thread(target=_kill, args=(desk.url, what, thread))
        timer.start()
        try:
            sql(statement)(desk, tx)
        finally:
            timer.join()

    return run


def _kill(url: str, what: str, thread: int) -> None:
    seen = f"SELECT 1 FROM {PROCESSES} WHERE id = {thread} AND info LIKE '%sleep%'"
    with desk_at(url) as other:
        until("it sleeps", lambda: other.sql(seen))
        other.sql(f"KILL {what} {thread}")


def nobody_listens(desk: Desk, tx: Any) -> None:
    import pymysql

    pymysql.connect(host="127.0.0.1", port=1)


def as_guest(right: str, *statements: str, limit: str = "") -> Provoke:
    """Statements of a user who has one right only."""

    def run(desk: Desk, tx: Any) -> None:
        import pymysql

        desk.sql("DROP USER IF EXISTS hammerflow_codes")
        desk.sql(f"CREATE USER hammerflow_codes@'%' IDENTIFIED BY '' {limit}")
        desk.sql(f"GRANT {right} TO hammerflow_codes@'%'")
        connection = tx.connection
        try:
            with contextlib.closing(
                pymysql.connect(host=connection.host, port=connection.port, user="hammerflow_codes",
                                database=connection.db.decode())
            ) as guest:  # fmt: skip
                sql(*statements)(desk, type("Tx", (), {"connection": guest}))
        finally:
            desk.sql("DROP USER hammerflow_codes")

    return run


_INTO = "INSERT INTO {migrations} VALUES "
_FOREIGN = "CREATE TABLE {} (a INT, FOREIGN KEY (a) REFERENCES {} (a))"  # MySQL 8 skips a column's

MYSQL: Mapping[str, Provoke] = {
    "0": closed,
    "1020": changed_record,
    "1205": locked_row,
    "1213": deadlock,
    "2003": nobody_listens,
    "2013": killed("CONNECTION", "SELECT sleep(20)"),
    "1226": as_guest("SELECT ON *.*", *["SELECT 1"] * 5, limit="WITH MAX_QUERIES_PER_HOUR 3"),
    "1792": sql("START TRANSACTION READ ONLY", _TWICE),
    "1317": killed("QUERY", "SELECT sleep(20) FROM {migrations} UNION SELECT sleep(20)"),
    "1969": sql("SET /*M! max_statement_time = 0.01 */ /*!50708 max_execution_time = 10 */",
                "SELECT /*M! sleep(20) */ /*!50708 benchmark(1000000000, sha2('a', 256)) */"
                " FROM {migrations}"),
    "1142": as_guest("SELECT (version) ON {migrations}", "SELECT * FROM {jobs}"),
    "1143": as_guest("SELECT (version) ON {migrations}", "SELECT name FROM {migrations}"),
    "1146": sql("SELECT * FROM missing"),
    "1054": sql("SELECT missing FROM {jobs}"),
    "1364": sql("INSERT INTO {jobs} (id) VALUES ('x')"),
    "1062": sql(_TWICE),
    "1048": sql(f"{_INTO} (NULL, 'x', now())"),
    "1264": sql(f"{_INTO} (99999999999, 'x', now())"),
    "1292": sql(f"{_INTO} (900, 'x', 'noon')"),
    "1366": sql(f"{_INTO} ('many', 'x', now())"),
    "1406": sql(f"{_INTO} (900, REPEAT('x', 300), now())"),
    "1451": sql("CREATE TABLE up (a INT PRIMARY KEY)",
                _FOREIGN.format("down", "up"),
                "INSERT INTO up VALUES (1)", "INSERT INTO down VALUES (1)", "DELETE FROM up"),
    "1452": sql("CREATE TABLE above (a INT PRIMARY KEY)",
                _FOREIGN.format("below", "above"), "INSERT INTO below VALUES (1)"),
    "1644": sql("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'"),
    "1690": sql("SELECT 9223372036854775807 + 1"),
    "4025": sql("CREATE TABLE positive (a INT CHECK (a > 0))", "INSERT INTO positive VALUES (0)"),
}  # fmt: skip

# -- SQLite


def other_writer(desk: Desk, tx: Any) -> None:
    with contextlib.closing(open_raw(desk.url)) as other:
        other.execute("BEGIN IMMEDIATE")
        sql("PRAGMA busy_timeout = 0", "BEGIN IMMEDIATE")(desk, tx)


def interrupted(desk: Desk, tx: Any) -> None:
    tx.connection.set_progress_handler(lambda: 1, 1)
    sql("SELECT * FROM {jobs}")(desk, tx)


def limited(desk: Desk, tx: Any) -> None:
    tx.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100)
    tx.connection.execute("SELECT ?", ("x" * 1000,))


def denied(desk: Desk, tx: Any) -> None:
    tx.connection.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
    sql("SELECT * FROM {jobs}")(desk, tx)


def open_file(content: bytes | None) -> Provoke:
    """A file of this content as the database; None: a folder in its place."""

    def run(desk: Desk, tx: Any) -> None:
        path = Path(desk.url.removeprefix("sqlite:///")).parent / f"odd-{len(content or b'')}"
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        SQLite(str(path), prefix="p_").connect()

    return run


def corrupt(desk: Desk, tx: Any) -> None:
    path = Path(desk.url.removeprefix("sqlite:///")).with_name("corrupt.db")
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE t (a)")
        made.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 100)
        made.commit()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with contextlib.closing(sqlite3.connect(path)) as spoiled:
        spoiled.execute("SELECT count(a) FROM t").fetchall()


SQLITE: Mapping[str, Provoke] = {
    "closed database": closed,
    "1": sql("GIVE ME ALL"),
    "no such table": sql("SELECT * FROM missing"),
    "no such column": sql("SELECT missing FROM {jobs}"),
    "5": other_writer,
    "8": sql("PRAGMA query_only = ON", "DELETE FROM {jobs}"),
    "9": interrupted,
    "11": corrupt,
    "13": sql("PRAGMA max_page_count = 1", "CREATE TABLE large (a)",
              "INSERT INTO large VALUES (zeroblob(100000))"),
    "14": open_file(None),
    "18": limited,
    "19": sql("INSERT INTO {migrations} (version) VALUES (900)"),
    "1555": sql(_TWICE),
    "2067": sql("CREATE TEMPORARY TABLE u (a UNIQUE)", "INSERT INTO u VALUES (1), (1)"),
    "20": sql("INSERT INTO {migrations} VALUES ('many', 'x', 0)"),
    "23": denied,
    "26": open_file(b"this is a text" * 100),
}  # fmt: skip

#: What MySQL raises in place of MariaDB's code; None: it does nothing of the kind.
ON_MYSQL = {"1020": None, "1969": "3024", "4025": "3819"}
#: Codes that a test of a whole worker provokes, with that test.
ELSEWHERE = {
    ("mysql", "1290"): "test_read_only.py::test_a_database_that_turns_read_only_costs_two_lines",
}
PROVOKED = {"sqlite": SQLITE, "postgres": POSTGRES, "mysql": MYSQL}
CASES = [
    pytest.param(kind.replace("mysql", "mariadb"), code, id=f"{kind}-{code.replace(' ', '_')}")
    for kind, codes in PROVOKED.items()
    for code in codes
]


@pytest.mark.parametrize(("database", "code"), CASES)
def test_a_code_is_provoked_and_means_what_the_table_says(
    desks: Callable[[str], Desk], database: str, code: str
) -> None:
    desk = desks(database)
    dialect: Any = desk.store.database.dialect
    expected: str | None = code
    if database == "mariadb" and "MariaDB" not in desk.sql("SELECT version()")[0][0]:
        expected = ON_MYSQL.get(code, code)
    if expected is None:
        pytest.skip("MySQL has no such error")
    if code == "57P05" and not ends_idle_sessions(desk.url):
        pytest.skip("this server ends no idle session")
    tx = dialect.connect()
    try:
        with pytest.raises(Exception) as caught:
            PROVOKED[dialect.name][code](desk, tx)
    finally:
        with contextlib.suppress(Exception):
            dialect.close(tx)
    said = f"{dialect.codes(caught.value)}: {caught.value!r}"
    table = TABLES[dialect.name]
    assert next((c for c in dialect.codes(caught.value) if c in table), None) == expected, said
    assert dialect.meaning(caught.value) is table[expected]


def test_every_code_is_provoked_or_says_why_not() -> None:
    for dialect, codes in TABLES.items():
        provoked = {*PROVOKED[dialect], *(code for kind, code in ELSEWHERE if kind == dialect)}
        assert provoked == {code for code, meant in codes.items() if not meant.untested}


def test_what_is_in_no_table_is_unknown_and_what_no_column_takes_is_data() -> None:
    dialect = SQLite("x.db", prefix="p_")

    assert dialect.meaning(RuntimeError("what?")) is UNKNOWN
    assert dialect.meaning(sqlite3.OperationalError("no code")) is UNKNOWN
    with pytest.raises(UnicodeError) as caught:
        "\ud800".encode()
    for error in (NotEncodable("no"), OverflowError(), caught.value):
        assert dialect.meaning(error).kind is ErrorKind.DATA


def test_every_state_of_the_database_comes_with_advice() -> None:
    waits = (ErrorKind.CONTENTION, ErrorKind.LOST, ErrorKind.STATE, ErrorKind.NO_TABLE)
    bare = [
        (dialect, code)
        for dialect, codes in TABLES.items()
        for code, meant in codes.items()
        if (meant.kind in waits) is (meant.advice is Advice.NONE)
    ]

    assert bare == []
    of_files = {code.advice for code in TABLES["sqlite"].values() if not code.untested}
    assert not [advice for advice in of_files if "server's log" in ADVICE.get(advice, "")]
    assert set(ADVICE) == set(Advice) - {Advice.NONE}


def test_a_file_that_may_not_be_written_asks_for_no_grant(tmp_path: Path) -> None:
    with desk_at(f"sqlite:///{tmp_path}/x.db") as desk:
        desk.store.schema.migrate()
        words = pytest.raises(StoreUnavailable, match="user may write the file and its folder$")
        with words, desk.store.transaction() as tx:
            tx.connection.execute("PRAGMA query_only = ON")
            desk.store.jobs.insert([desk.job()], tx)


def test_tables_that_are_gone_are_one_sentence(desk: Desk) -> None:
    desk.put(desk.job())
    desk.store.schema.drop()

    for use in (lambda: desk.put(desk.job()), desk.store.jobs.promote, desk.store.queues.paused):
        with pytest.raises(StoreUnavailable, match="; run hammerflow migrate; where it") as caught:
            use()
        assert "\n" not in str(caught.value)
    with (
        pytest.raises(StoreUnavailable, match="run hammerflow migrate"),
        desk.store.transaction() as tx,
    ):
        desk.store.jobs.insert([desk.job()], tx)

    desk.store.schema.migrate()
    desk.put(desk.job())
