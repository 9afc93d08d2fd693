"""Jobs in the caller's transaction: the job exists if and only if the caller's row does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow
from hammerflow.settings import parse_url
from hammerflow.testing import drain
from tests.notifiers.kit import Listening


class Rolled(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def note(app: Hammerflow) -> Any:
    @app.task
    def note(x: int) -> int:
        return x

    with app.transaction() as tx:
        tx.execute("CREATE TABLE marker (x INTEGER)")
    return note


def markers(app: Hammerflow) -> int:
    with app.transaction() as tx:
        return int(tx.execute("SELECT count(*) FROM marker").fetchone()[0])


def test_what_is_enqueued_commits_with_the_transactions_own_sql(app: Hammerflow, note: Any) -> None:
    with app.transaction() as tx:
        tx.execute("INSERT INTO marker VALUES (1)")
        note.delay(1)
        app.enqueue_many(note.s(i) for i in range(3))

    assert (markers(app), len(app.jobs())) == (1, 4)


def test_an_error_rolls_both_back(app: Hammerflow, note: Any) -> None:
    with pytest.raises(Rolled), app.transaction() as tx:
        tx.execute("INSERT INTO marker VALUES (1)")
        note.delay(1)
        note.apply_async((1,), countdown=5)
        raise Rolled

    assert (markers(app), len(app.jobs())) == (0, 0)
    note.delay(2)
    assert len(app.jobs()) == 1


def test_an_inner_transaction_joins_the_outer_one(app: Hammerflow, note: Any) -> None:
    with pytest.raises(Rolled), app.transaction():
        with app.transaction():
            note.delay(1)
        raise Rolled

    assert app.jobs() == []


def driver_connection(url: str) -> Any:
    parsed = parse_url(url)
    if parsed.dialect == "sqlite":
        return sqlite3.connect(parsed.database)
    if parsed.dialect == "postgres":
        import psycopg

        return psycopg.connect(parsed.conninfo)
    import pymysql

    return pymysql.connect(**parsed.arguments)


@contextmanager
def driver(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    connection = driver_connection(url)
    yield connection, lambda sql: connection.cursor().execute(sql)
    connection.close()


@contextmanager
def core(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        yield connection, lambda sql: connection.execute(sqlalchemy.text(sql))
    engine.dispose()


@contextmanager
def session(url: str) -> Iterator[tuple[Any, Callable[[str], Any]]]:
    import sqlalchemy
    from sqlalchemy.orm import Session

    engine = sqlalchemy.create_engine(sqlalchemy_url(url))
    with Session(engine) as session:
        yield session, lambda sql: session.execute(sqlalchemy.text(sql))
    engine.dispose()


def sqlalchemy_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    return f"{driver.get(scheme, scheme)}://{rest}"


@pytest.mark.parametrize("way", [driver, core, session])
def test_using_a_callers_transaction(app: Hammerflow, note: Any, way: Any) -> None:
    with way(app.settings.database) as (connection, execute):
        execute("INSERT INTO marker VALUES (1)")
        with app.using(connection):
            note.delay(1)
            note.apply_async((2,), countdown=60, unique_key="k")
        connection.rollback()
        assert (markers(app), len(app.jobs())) == (0, 0)

        execute("INSERT INTO marker VALUES (2)")
        with app.using(connection):
            note.delay(1)
            note.apply_async((2,), countdown=60, unique_key="k")
        connection.commit()
        assert (markers(app), len(app.jobs())) == (1, 2)


def test_another_drivers_connection_is_refused(app: Hammerflow, note: Any) -> None:
    with pytest.raises(ConfigError, match="cannot carry jobs"), app.using(object()):
        note.delay(1)


def test_what_a_body_enqueues_in_its_transaction_rings_after_the_commit(sqlite_url: str) -> None:
    app = Hammerflow("shop", database=sqlite_url)

    @app.task(queue="other")
    def second() -> None: ...

    @app.task(in_transaction=True)
    def first() -> None:
        second.delay()

    first.delay()
    listening = Listening(app.notifier, "other")

    assert drain(app, limit=1) == 1

    listening.comes()
    assert [job.task.rpartition(".")[2] for job in app.jobs(state="ready")] == ["second"]
    listening.close()
    app.close()
