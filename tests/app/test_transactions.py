"""Jobs in the caller's transaction: the job exists if and only if the caller's row does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow, HammerflowError, group
from hammerflow.settings import parse_url
from hammerflow.testing import drain
from tests.notifiers.kit import Listening


class Rolled(Exception):
    """Rolls a transaction back."""


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


class AsyncSession:
    """Stands for what a connection of an async driver looks like."""

    async def commit(self) -> None: ...


def _of_module(name: str) -> Any:
    return type("Connection", (), {"__module__": f"{name}.connection"})()


@pytest.mark.parametrize("given", [AsyncSession(), *map(_of_module, ("asyncpg", "aiomysql"))])
def test_the_wrong_block_for_a_connection_is_refused_with_the_right_one(
    app: Hammerflow, note: Any, given: Any
) -> None:
    async def use(connection: Any) -> None:
        async with app.using(connection):
            await note.adelay(1)

    with pytest.raises(ConfigError, match="write `async with app.using"), app.using(given):
        note.delay(1)
    remedy = {"sqlite": "aiosqlite", "postgres": "AsyncConnection", "mysql": "PyMySQL"}
    with pytest.raises(ConfigError, match=rf"{remedy[app.store.dialect]}.*tx\.execute"):
        asyncio.run(use(given))
    plain = driver_connection(app.settings.database)
    for connection in (plain, object()):
        with pytest.raises(ConfigError, match="write `with app.using"):
            asyncio.run(use(connection))
    plain.close()
    assert app.jobs() == []


@asynccontextmanager
async def async_driver(url: str) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    parsed = parse_url(url)
    if parsed.dialect == "sqlite":
        import aiosqlite

        connection: Any = await aiosqlite.connect(parsed.database)
    else:
        import psycopg

        connection = await psycopg.AsyncConnection.connect(parsed.conninfo)
    yield connection, connection.execute
    await connection.close()


@asynccontextmanager
async def async_core(url: str) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(async_sqlalchemy_url(url))
    async with engine.connect() as connection:
        yield connection, lambda sql: connection.execute(sqlalchemy.text(sql))
    await engine.dispose()


@asynccontextmanager
async def async_session(url: str) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    import sqlalchemy
    from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

    engine = create_async_engine(async_sqlalchemy_url(url))
    async with async_sessionmaker(engine)() as session:
        yield session, lambda sql: session.execute(sqlalchemy.text(sql))
    await engine.dispose()


def async_sqlalchemy_url(url: str) -> str:
    return sqlalchemy_url(url).replace("sqlite://", "sqlite+aiosqlite://")


@pytest.mark.parametrize("way", [async_driver, async_core, async_session])
def test_using_a_callers_async_transaction(app: Hammerflow, note: Any, way: Any) -> None:
    if app.store.dialect == "mysql":
        pytest.skip("hammerflow takes no async driver of MySQL, and says so")

    async def enqueue(number: int) -> None:
        await note.adelay(number)
        await note.options(delay=60, unique_key="k").adelay(2)
        await asyncio.gather(*(note.adelay(i) for i in range(3)))
        await app.aenqueue(note.s(1) | note.s())
        await app.aenqueue(group(note.s(1), note.s(2)))
        await app.aenqueue_many(note.s(i) for i in range(3))
        await asyncio.to_thread(note.delay, 4)
        with pytest.raises(HammerflowError, match="adelay"):
            note.delay(5)

    async def main() -> None:
        async with way(app.settings.database) as (connection, execute):
            await execute("INSERT INTO marker VALUES (1)")
            async with app.using(connection):
                await enqueue(1)
            await connection.rollback()
            assert await asyncio.to_thread(written, app) == (0, 0)

            await execute("INSERT INTO marker VALUES (2)")
            async with app.using(connection) as tx:
                await enqueue(2)
                cursor = await tx.execute("SELECT count(*) FROM marker")
                assert (await cursor.fetchone())[0] == 1
            await connection.commit()
            assert await asyncio.to_thread(written, app) == (1, 13)

    asyncio.run(main())


def written(app: Hammerflow) -> tuple[int, int]:
    return markers(app), len(app.jobs())


def test_a_cancelled_call_leaves_the_callers_connection_usable(postgres_url: str) -> None:
    app = Hammerflow("shop", database=postgres_url)
    app.migrate()
    unique = app.task(name="note")(lambda x: x).options(unique_key="k")

    async def main() -> None:
        async with async_driver(postgres_url) as (connection, _), app.transaction():
            await unique.adelay(1)

            async def second() -> None:
                async with app.using(connection):
                    await unique.adelay(2)

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(second(), 0.3)
            await connection.rollback()
            assert (await (await connection.execute("SELECT 7")).fetchone()) == (7,)

    asyncio.run(main())
    assert len(app.jobs()) == 1
    app.close()


def test_a_plain_call_in_a_callers_transaction_stops_no_loop_for_long(
    app: Hammerflow, note: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if app.store.dialect == "sqlite":
        pytest.skip("the busy timeout of the caller's connection bounds the wait")
    monkeypatch.setattr("hammerflow.enqueue.transaction.PATIENCE", 0.3)
    unique = note.options(unique_key="k")
    first, second = (driver_connection(app.settings.database) for _ in range(2))

    async def request(connection: Any, entered: asyncio.Event, go_on: asyncio.Event) -> None:
        with app.using(connection):
            unique.delay(1)
            entered.set()
            await go_on.wait()
        connection.commit()

    async def main() -> None:
        entered, go_on = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(request(first, entered, go_on))
        await entered.wait()
        with pytest.raises(HammerflowError, match="kept the event loop waiting"):
            await request(second, entered, go_on)
        go_on.set()
        await task

    asyncio.run(main())

    assert len(app.jobs()) == 1
    first.close()
    second.close()
