"""A block whose own statements end or spoil its transaction: it says so at the next call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow import Hammerflow, HammerflowError, Workflow, current_job
from hammerflow.errors import StoreUnavailable
from hammerflow.testing import drain
from tests.app.test_transactions import driver_connection, markers

#: What a user calls inside the block.
CALLS: dict[str, Callable[[Hammerflow, Any], Any]] = {
    "delay": lambda app, note: note.delay(2),
    "workflow": lambda app, note: app.enqueue(Workflow("w").add(note.s(2))),
    "many": lambda app, note: app.enqueue_many([note.s(2)]),
    "nothing": lambda app, note: None,
}


def failed_statement(tx: Any) -> None:
    with contextlib.suppress(Exception):
        tx.execute("SELECT missing FROM nowhere")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK"])
def test_a_block_that_ends_its_own_transaction_is_refused(
    app: Hammerflow, note: Any, statement: str, call: str
) -> None:
    reached: list[str] = []

    with (
        pytest.raises(HammerflowError, match="leave COMMIT and ROLLBACK to the block"),
        app.transaction() as tx,
    ):
        note.delay(1)
        tx.execute(statement)
        CALLS[call](app, note)
        reached.append("end")

    assert reached == (["end"] if call == "nothing" else [])  # else nothing more was written
    assert len(app.jobs()) == (statement == "COMMIT")
    note.delay(3)


@pytest.mark.parametrize("begins", ["BEGIN", "START TRANSACTION", "SET autocommit = 1; BEGIN"])
def test_a_block_that_begins_again_is_refused_where_that_commits(
    mariadb_url: str, begins: str
) -> None:
    app = Hammerflow("shop", database=mariadb_url, doorbell="none")
    app.migrate()
    note = app.task(name="note")(lambda x: x)
    for kind in ("execute", "connection"):
        with (
            pytest.raises(HammerflowError, match="BEGIN and DDL on MySQL out of it"),
            app.transaction() as tx,
        ):
            first = note.delay(1)
            for statement in begins.split("; "):
                if kind == "execute":
                    tx.execute(statement)
                else:
                    tx.connection.cursor().execute(statement)
            note.delay(2)

        assert [job.id for job in app.jobs()][:1] == [first.id]  # only what came before
    assert len(app.jobs()) == 2
    with app.transaction() as tx:
        tx.execute("SELECT 1")
        note.delay(3)
        tx.execute("SELECT 1")
    assert len(app.jobs()) == 3
    app.close()


def test_a_block_without_jobs_may_end_its_transaction(app: Hammerflow, note: Any) -> None:
    with app.transaction() as tx:
        tx.execute("INSERT INTO marker VALUES (1)")
        tx.execute("COMMIT")

    assert markers(app) == 1


@pytest.mark.parametrize("call", CALLS)
def test_after_a_failed_statement_postgres_can_only_roll_back(
    app: Hammerflow, note: Any, call: str
) -> None:
    if app.store.dialect != "postgres":
        with app.transaction() as tx:
            failed_statement(tx)
            CALLS[call](app, note)
        assert len(app.jobs()) == (call != "nothing")
        return

    async def main() -> None:
        async with app.transaction() as tx:
            with contextlib.suppress(Exception):
                await tx.execute("SELECT missing FROM nowhere")
            await asyncio.to_thread(CALLS[call], app, note)

    with pytest.raises(HammerflowError, match="a statement of this transaction has failed"):
        asyncio.run(main())
    with contextlib.closing(driver_connection(app.settings.database)) as connection:
        with contextlib.suppress(Exception):
            connection.execute("SELECT missing FROM nowhere")
        with (
            pytest.raises(HammerflowError, match="a statement of this transaction has failed"),
            app.using(connection),
        ):
            note.delay(1)
    assert app.jobs() == []


def test_a_connection_that_the_block_has_closed_is_named(app: Hammerflow, note: Any) -> None:
    for is_last in (True, False):
        with (
            pytest.raises(StoreUnavailable, match="closed.*; (leave its conn|check that it runs)"),
            app.transaction() as tx,
        ):
            note.delay(1)
            tx.connection.close()
            if not is_last:
                note.delay(2)

    assert app.jobs() == []
    note.delay(3)


def test_a_body_that_commits_in_its_transaction_fails(app: Hammerflow, note: Any) -> None:
    @app.task(in_transaction=True, max_attempts=1)
    def charge() -> None:
        current_job().connection.cursor().execute("COMMIT")

    result = charge.delay()
    drain(app)

    with pytest.raises(HammerflowError, match="leave COMMIT and ROLLBACK to the block"):
        result.get(timeout=0)


def test_a_deadlock_whose_error_is_swallowed_ends_the_block(mariadb_url: str) -> None:
    app = Hammerflow("shop", database=mariadb_url, doorbell="none")
    app.migrate()
    note = app.task(name="note")(lambda x: x)
    lock = "UPDATE pair SET x = x WHERE x = %s"
    held = threading.Event()

    def other() -> None:
        with contextlib.closing(driver_connection(mariadb_url)) as connection:
            cursor = connection.cursor()  # it has written more rows, so it lives on
            cursor.executemany("INSERT INTO pair VALUES (%s)", [(x,) for x in range(10, 60)])
            cursor.execute(lock, (2,))
            held.set()
            cursor.execute(lock, (1,))

    with contextlib.closing(driver_connection(mariadb_url)) as connection:
        connection.cursor().execute("CREATE TABLE pair (x INTEGER PRIMARY KEY)")
        connection.cursor().execute("INSERT INTO pair VALUES (1), (2)")
        connection.commit()
    thread = threading.Thread(target=other)
    with (
        pytest.raises(HammerflowError, match="let the error of a deadlock leave it"),
        app.transaction() as tx,
    ):
        note.delay(1)
        tx.execute(lock, (1,))
        thread.start()
        assert held.wait(30)
        with pytest.raises(Exception, match="Deadlock"):
            tx.execute(lock, (2,))
        note.delay(2)
    thread.join()

    assert app.jobs() == []
    app.close()
