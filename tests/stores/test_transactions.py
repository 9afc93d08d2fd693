"""Transactions: a job shares the fate of the caller's own writes, whoever began it."""

from __future__ import annotations

import contextlib
import enum
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from hammerflow.errors import ConfigError
from hammerflow.settings import parse_url
from tests.stores.kit import Desk, desk_at, open_raw, spawned

Migrated = Callable[[str], str]


def insert(desk: Desk, connection: Any, **more: Any) -> bytes:
    """Enqueue in a transaction of the caller."""
    return desk.store.jobs.insert([desk.job(**more)], desk.store.foreign(connection)).ids[0]


def marked(desk: Desk) -> bool:
    return bool(desk.sql("SELECT * FROM marker"))


@pytest.fixture
def table(desk: Desk) -> Desk:
    """A desk whose database has a table of the user's own."""
    desk.sql("CREATE TABLE marker (id INTEGER)")
    return desk


MARK = "INSERT INTO marker VALUES (1)"


# -- our own transaction


def test_a_transaction_commits_at_its_end(table: Desk) -> None:
    job = table.job(unique_key="k")
    with table.store.transaction() as tx:
        tx.connection.cursor().execute(MARK)
        table.store.jobs.insert([job, table.job(delay=5.0)], tx)
        assert not marked(table) and table.count("jobs") == 0
    assert marked(table) and table.count("jobs") == 2
    assert table.state(job.id) == "ready"


def test_a_transaction_is_rolled_back_by_an_error(table: Desk) -> None:
    with pytest.raises(ZeroDivisionError), table.store.transaction() as tx:
        tx.connection.cursor().execute(MARK)
        table.store.jobs.insert([table.job(unique_key="k", queue="new", task="new")], tx)
        raise ZeroDivisionError
    assert not marked(table) and table.count("jobs") == table.count("unique_keys") == 0
    again = table.job(unique_key="k", queue="new", task="new")
    assert table.put(again) == [again.id]
    seen = table.store.jobs.get(again.id)
    assert seen is not None and (seen.queue, seen.task) == ("new", "new")


def test_a_transaction_after_an_error_is_a_fresh_one(table: Desk) -> None:
    for n in range(3):
        with contextlib.suppress(ZeroDivisionError), table.store.transaction() as tx:
            tx.connection.cursor().execute(MARK)
            raise ZeroDivisionError
        assert table.put(table.job()) and table.count("jobs") == n + 1
    assert not marked(table)


def test_a_failed_statement_undoes_the_whole_transaction(table: Desk) -> None:
    """MySQL and SQLite would keep the first half."""
    job = table.job()
    table.put(job)
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"), table.store.transaction() as tx:
        tx.connection.cursor().execute(MARK)
        table.store.jobs.insert([job], tx)
    assert not marked(table)


# -- the caller's transaction, by driver


def sqlite_legacy(desk: Desk) -> Any:
    return sqlite3.connect(parse_url(desk.url).database)


def sqlite_explicit(desk: Desk) -> Any:
    own = sqlite3.connect(parse_url(desk.url).database, isolation_level=None)
    own.row_factory = sqlite3.Row
    own.execute("BEGIN")
    return own


def sqlite_rows(desk: Desk) -> Any:
    own = sqlite3.connect(parse_url(desk.url).database)
    own.row_factory = sqlite3.Row
    return own


def psycopg_plain(desk: Desk) -> Any:
    return psycopg.connect(desk.url)


def psycopg_dicts(desk: Desk) -> Any:
    return psycopg.connect(desk.url, row_factory=psycopg.rows.dict_row)


def psycopg_begun(desk: Desk) -> Any:
    own = psycopg.connect(desk.url, autocommit=True)
    own.execute("BEGIN")
    return own


def psycopg_serializable(desk: Desk) -> Any:
    own = psycopg.connect(desk.url)
    own.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    return own


def pymysql_plain(desk: Desk) -> Any:
    return pymysql.connect(**parse_url(desk.url).arguments)


def pymysql_dicts(desk: Desk) -> Any:
    return pymysql.connect(**parse_url(desk.url).arguments, cursorclass=pymysql.cursors.DictCursor)


def pymysql_begun(desk: Desk) -> Any:
    own = pymysql.connect(**parse_url(desk.url).arguments, autocommit=True)
    own.begin()
    return own


DRIVERS = {
    "sqlite": [sqlite_legacy, sqlite_explicit, sqlite_rows],
    "postgres": [psycopg_plain, psycopg_dicts, psycopg_begun, psycopg_serializable],
    "mariadb": [pymysql_plain, pymysql_dicts, pymysql_begun],
}
CALLERS = [
    pytest.param(kind, connect, id=connect.__name__)
    for kind, connects in DRIVERS.items()
    for connect in connects
]


@pytest.fixture
def caller(kind: str, connect: Callable[[Desk], Any], migrated_database: Migrated) -> Iterator[Any]:
    """(desk, a caller's connection) of one driver."""
    with desk_at(migrated_database(kind)) as desk:
        desk.sql("CREATE TABLE marker (id INTEGER)")
        with contextlib.closing(connect(desk)) as own:
            yield desk, own


@pytest.mark.parametrize(("kind", "connect"), CALLERS)
def test_a_job_exists_once_the_caller_commits(caller: tuple[Desk, Any]) -> None:
    desk, own = caller
    own.cursor().execute(MARK)
    ids = [insert(desk, own, queue=f"q{n}", unique_key=f"k{n}", delay=n) for n in (0, 5)]
    assert desk.count("jobs") == 0
    own.cursor().execute("COMMIT")
    assert marked(desk) and desk.states(ids) == ["ready", "scheduled"]


@pytest.mark.parametrize(("kind", "connect"), CALLERS)
def test_no_job_exists_once_the_caller_rolls_back(caller: tuple[Desk, Any]) -> None:
    desk, own = caller
    own.cursor().execute(MARK)
    insert(desk, own, queue="fresh", task="fresh", unique_key="k")
    own.cursor().execute("ROLLBACK")
    assert not marked(desk) and desk.count("jobs") == desk.count("unique_keys") == 0
    job = desk.job(queue="fresh", task="fresh", unique_key="k")
    assert desk.put(job) == [job.id]  # what was remembered of the names still holds
    seen = desk.store.jobs.get(job.id)
    assert seen is not None and (seen.queue, seen.task) == ("fresh", "fresh")


@pytest.mark.parametrize(("kind", "connect"), CALLERS)
def test_the_callers_cursors_stay_as_they_were(caller: tuple[Desk, Any]) -> None:
    desk, own = caller
    factory = getattr(own, "row_factory", getattr(own, "cursorclass", None))
    insert(desk, own)
    assert getattr(own, "row_factory", getattr(own, "cursorclass", None)) is factory
    cursor = own.cursor()
    cursor.execute("SELECT 1 AS one")
    assert list(cursor.fetchone()) in (["one"], [1])


@pytest.mark.parametrize(("kind", "connect"), CALLERS)
def test_a_settle_joins_the_callers_transaction(caller: tuple[Desk, Any]) -> None:
    desk, own = caller
    (job,) = desk.run(desk.job())
    kid = desk.child(job, 0)
    tx = desk.store.foreign(own)
    assert desk.store.jobs.settle(1, [(job, spawned(kid))], tx).ended == [job.id]
    own.cursor().execute("ROLLBACK")
    assert desk.state(job.id) == "running" and desk.count("jobs") == 1


def test_an_autocommitting_connection_is_refused(desk: Desk) -> None:
    with contextlib.closing(open_raw(desk.url)) as own:
        with pytest.raises(ConfigError, match=r"autocommit mode and no transaction is open"):
            desk.store.foreign(own)
        own.cursor().execute("BEGIN")
        insert(desk, own)
        own.cursor().execute("COMMIT")
        with pytest.raises(ConfigError, match=r"begin a transaction first"):
            desk.store.foreign(own)
    assert desk.count("jobs") == 1


def test_a_connection_of_another_database_is_refused(desk: Desk) -> None:
    class Strange:
        pass

    others: list[Any] = [Strange(), None, "connection"]
    if desk.kind != "sqlite":
        others.append(sqlite3.connect(":memory:"))
    for other in others:
        with pytest.raises(ConfigError, match=r"cannot carry jobs of (sqlite|postgresql|mysql)://"):
            desk.store.foreign(other)
        if isinstance(other, sqlite3.Connection):
            other.close()


@pytest.mark.usefixtures("servers")
def test_a_mysql_connection_in_another_character_set_is_refused(
    migrated_database: Migrated,
) -> None:
    with (
        desk_at(migrated_database("mariadb")) as desk,
        contextlib.closing(
            pymysql.connect(**parse_url(desk.url).arguments, charset="latin1")
        ) as own,
        pytest.raises(ConfigError, match="connect with charset='utf8mb4'"),
    ):
        desk.store.foreign(own)


# -- SQLAlchemy


@pytest.fixture
def engine(table: Desk) -> Iterator[sqlalchemy.Engine]:
    url = table.url.replace("postgresql:", "postgresql+psycopg:").replace(
        "mysql:", "mysql+pymysql:"
    )
    engine = sqlalchemy.create_engine(url)
    yield engine
    engine.dispose()


def test_a_sqlalchemy_connection_carries_jobs(table: Desk, engine: sqlalchemy.Engine) -> None:
    for commit in (False, True):
        with engine.connect() as own:
            own.execute(sqlalchemy.text(MARK))
            insert(table, own, unique_key="k")
            own.commit() if commit else own.rollback()
        assert (marked(table), table.count("jobs")) == (commit, int(commit))


def test_a_sqlalchemy_session_carries_jobs(table: Desk, engine: sqlalchemy.Engine) -> None:
    for commit in (False, True):
        with Session(engine) as own:
            insert(table, own)
            own.execute(sqlalchemy.text(MARK))
            own.commit() if commit else own.rollback()
        assert (marked(table), table.count("jobs")) == (commit, int(commit))


def test_a_scoped_session_and_a_savepoint_carry_jobs(
    table: Desk, engine: sqlalchemy.Engine
) -> None:
    own = scoped_session(sessionmaker(engine))
    insert(table, own)
    if table.kind != "sqlite":  # pysqlite's own savepoints are a known trap
        with contextlib.suppress(ZeroDivisionError), own.begin_nested():
            insert(table, own)
            raise ZeroDivisionError
    own.commit()
    own.remove()
    assert table.count("jobs") == 1


def test_an_autocommitting_sqlalchemy_connection_is_refused(
    table: Desk, engine: sqlalchemy.Engine
) -> None:
    mode = {"isolation_level": "AUTOCOMMIT"}
    with (
        engine.connect().execution_options(**mode) as own,
        pytest.raises(ConfigError, match="autocommit"),
    ):
        table.store.foreign(own)


# -- between callers


def test_names_of_a_rolled_back_insert_are_written_again(desk: Desk) -> None:
    with contextlib.suppress(ZeroDivisionError), desk.store.transaction() as tx:
        desk.store.jobs.insert([desk.job(queue="a", task="b")], tx)
        raise ZeroDivisionError
    desk.put(job := desk.job(queue="a", task="b"))
    seen = desk.store.jobs.get(job.id)
    assert seen is not None and (seen.queue, seen.task) == ("a", "b")


def test_a_key_of_an_open_transaction_is_waited_for(desk: Desk) -> None:
    first, second = desk.job(unique_key="k"), desk.job(unique_key="k")
    answers: list[bytes] = []
    with desk.store.transaction() as tx:
        desk.store.jobs.insert([first], tx)
        thread = threading.Thread(target=lambda: answers.extend(desk.put(second)))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(20)
    assert answers == [first.id]


def test_an_id_inserted_twice_at_once_exists_once(desk: Desk) -> None:
    job = desk.job()
    answers: list[bytes] = []

    def again() -> None:
        answers.extend(desk.store.jobs.insert([job], check_ids=True).ids)

    with desk.store.transaction() as tx:
        desk.store.jobs.insert([job], tx)
        thread = threading.Thread(target=again)
        thread.start()
        thread.join(0.3)
    thread.join(20)
    assert answers == [job.id] and desk.count("jobs") == 1


def test_names_that_are_enum_members_are_texts(desk: Desk) -> None:
    class Name(enum.StrEnum):
        MAIL = "mail"
        KEY = "key"

    job = desk.job(queue=Name.MAIL, task=Name.MAIL, unique_key=Name.KEY)
    desk.put(job)
    seen = desk.store.jobs.get(job.id)
    assert seen is not None
    assert (seen.queue, seen.task, seen.unique_key) == ("mail", "mail", "key")
