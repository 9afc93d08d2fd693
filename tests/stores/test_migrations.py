"""Migrations: once, twice, by several at once, killed anywhere and begun again."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hammerflow.errors import SchemaMismatch, StoreUnavailable
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from hammerflow.stores.dialects.sqlite import SQLite
from hammerflow.stores.statements import read_migrations
from tests.stores.kit import Desk, desk_at, open_raw
from tests.support.servers import PROCESSES

Fresh = Callable[[str], str]


@pytest.fixture
def bare(database_url: str) -> Iterator[Desk]:
    """A store over an empty database; the test runs once for each kind."""
    with desk_at(database_url) as desk:
        yield desk


def works(desk: Desk) -> None:
    """A job can be put in, run and ended."""
    (job,) = desk.run(desk.job())
    assert desk.end(job).ended == [job.id]
    assert desk.state(job.id) == "completed"


def test_a_fresh_database_is_migrated(bare: Desk) -> None:
    schema = bare.store.schema
    assert schema.applied() == []
    pending = schema.pending()
    assert [step.version for step in pending] == [1] and "CREATE" in pending[0].sql
    assert schema.migrate() == pending
    assert schema.applied() == [1] and schema.pending() == []
    schema.check()
    works(bare)


def test_a_second_migration_does_nothing(bare: Desk) -> None:
    bare.store.schema.migrate()
    works(bare)
    assert bare.store.schema.migrate() == []
    assert bare.count("migrations") == 1 and bare.count("jobs") == 1


def test_threads_may_migrate_at_once(bare: Desk) -> None:
    barrier, done, faults = threading.Barrier(4), [], []

    def migrator() -> None:
        store = bare.another()
        try:
            barrier.wait()
            done.append(len(store.schema.migrate()))
        except BaseException as error:  # noqa: BLE001 - shown below
            faults.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=migrator) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [] and sorted(done) == [0, 0, 0, 1]
    works(bare)


def test_connections_may_open_a_fresh_file_at_once(tmp_path: Path) -> None:
    """Each wants the file in WAL mode; without a wait of our own, one round of fourteen fails."""
    failures: list[BaseException] = []

    def opener(dialect: SQLite, barrier: threading.Barrier) -> None:
        barrier.wait()
        try:
            dialect.close(dialect.connect())
        except sqlite3.Error as error:
            failures.append(error)

    for number in range(80):
        dialect = SQLite(str(tmp_path / f"{number}.db"), prefix="hf_")
        barrier = threading.Barrier(6)
        threads = [threading.Thread(target=opener, args=(dialect, barrier)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


PROGRAM = """
import sys
from hammerflow.settings import Settings
from hammerflow.stores import open_store
store = open_store(Settings(database=sys.argv[1]))
sys.stdin.read()
print(len(store.schema.migrate()))
store.schema.check()
"""


def test_processes_may_migrate_at_once(bare: Desk) -> None:
    command = [sys.executable, "-c", PROGRAM, bare.url]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in answers] == ["", "", ""]
    assert sorted(count.strip() for count, _ in answers) == ["0", "0", "1"]
    works(bare)


def test_a_database_without_tables_is_refused(bare: Desk) -> None:
    with pytest.raises(SchemaMismatch, match=r"has no hammerflow tables: run hammerflow migrate$"):
        bare.store.schema.check()


def test_a_newer_major_version_is_refused(bare: Desk) -> None:
    bare.store.schema.migrate()
    for version in (2, 99):  # later steps of this major version: it can be worked with
        bare.sql(f"UPDATE {{migrations}} SET version = {version} WHERE version > 1")
        bare.store.schema.check()
    bare.sql("INSERT INTO {migrations} SELECT 100, name, applied_at FROM {migrations}")
    with pytest.raises(SchemaMismatch, match=r"schema version 100, .*: upgrade hammerflow$"):
        bare.store.schema.check()


def test_a_migration_that_is_missing_is_named(bare: Desk) -> None:
    bare.store.schema.migrate()
    bare.sql("UPDATE {migrations} SET version = 2")
    with pytest.raises(SchemaMismatch, match=r"lacks migration 1: run hammerflow migrate$"):
        bare.store.schema.check()


def test_a_migration_that_fails_leaves_no_half_behind(bare: Desk) -> None:
    if bare.kind == "mysql":
        return  # there it is resumed instead, below
    bare.sql("CREATE TABLE {job_states} (stranger INTEGER)")  # in the way of the view
    if bare.kind == "sqlite":
        bare.store.schema.migrate()  # IF NOT EXISTS: nothing fails
        return
    words = "cannot be migrated: .* already exists; the tables are not those that its list"
    with pytest.raises(StoreUnavailable, match=words):
        bare.store.schema.migrate()
    assert bare.store.schema.applied() == []
    bare.sql("DROP TABLE {job_states}")
    bare.store.schema.migrate()
    works(bare)


@pytest.mark.usefixtures("servers")
def test_a_mysql_migration_killed_at_any_statement_is_resumed(fresh_database: Fresh) -> None:
    """DDL commits by itself there; each round stops one statement later, then goes on."""
    count = read_migrations("mysql")[0][2].count(";\n")
    assert count > 15
    for stop in range(0, count, 3):
        with desk_at(fresh_database("mariadb")) as desk:
            script = desk.store.schema.pending()[0].sql.split(";\n")
            desk.store.schema._known = []
            desk.store.schema.migrate()  # the table of migrations, and nothing else
            for statement in script[:stop]:
                desk.sql(statement.replace("{", "").replace("}", ""))
            with contextlib.closing(desk.another()) as other:
                assert [step.version for step in other.schema.migrate()] == [1]
            works(desk)


@pytest.mark.usefixtures("servers")
def test_a_connection_killed_in_a_migration_is_resumed(fresh_database: Fresh) -> None:
    with desk_at(fresh_database("mariadb")) as desk:
        stop = threading.Event()

        def killer() -> None:
            with contextlib.closing(open_raw(desk.url)) as own, own.cursor() as cursor:
                while not stop.wait(0.02):
                    cursor.execute(
                        f"SELECT id FROM {PROCESSES}"
                        " WHERE db = database() AND id <> connection_id()"
                    )
                    for (number,) in cursor.fetchall():
                        with contextlib.suppress(Exception):
                            cursor.execute(f"KILL {number}")

        thread = threading.Thread(target=killer)
        thread.start()
        try:
            for _ in range(5):
                with contextlib.suppress(StoreUnavailable):
                    desk.store.schema.migrate()
        finally:
            stop.set()
            thread.join()
        desk.store.schema.migrate()
        desk.store.schema.check()
        works(desk)


@pytest.mark.usefixtures("servers")
def test_a_failed_migration_lets_go_of_its_lock(fresh_database: Fresh) -> None:
    with desk_at(fresh_database("mariadb")) as desk:
        known = desk.store.schema._known
        broken = [type(known[0])(1, "broken", "CREATE TABEL x (y INT)")]
        desk.store.schema._known = broken
        with pytest.raises(Exception, match="syntax"):
            desk.store.schema.migrate()
        with contextlib.closing(desk.another()) as other:
            assert len(other.schema.migrate()) == 1  # it need not wait
        works(desk)


def test_a_prefix_keeps_two_sets_of_tables_apart(bare: Desk) -> None:
    stores = [bare.another(prefix=prefix) for prefix in ("", "a_", "b_")]
    for store in stores:
        store.schema.migrate()
        store.schema.check()
    for n, store in enumerate(stores):
        store.jobs.insert([bare.job() for _ in range(n + 1)])
    assert [len(store.jobs.list()) for store in stores] == [1, 2, 3]
    assert len(bare.sql("SELECT id FROM jobs")) == 1 and len(bare.sql("SELECT id FROM b_jobs")) == 3
    stores[1].schema.drop()
    stores[1].schema.drop()
    assert stores[1].schema.applied() == []
    assert [len(store.jobs.list()) for store in (stores[0], stores[2])] == [1, 3]
    for store in stores:
        store.close()


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("schema", ["shop", "user", "_1", None])
def test_a_postgres_schema_is_a_setting(fresh_database: Fresh, schema: str | None) -> None:
    url = fresh_database("postgres")
    store = open_store(Settings(database=url, schema=schema))
    with contextlib.closing(open_raw(url)) as own, contextlib.closing(store):
        store.schema.migrate()
        store.schema.check()
        with desk_at(url) as desk:
            store.jobs.insert([desk.job()])
        (place,) = own.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename = 'hammerflow_jobs'"
        ).fetchall()
        assert place == (schema or "public",)
        assert len(store.jobs.list()) == 1


@pytest.mark.usefixtures("servers")
def test_a_schema_that_exists_needs_no_right_to_create_one(fresh_database: Fresh) -> None:
    url = fresh_database("postgres")
    role = f"guest_{url.rpartition('/')[2]}"
    with contextlib.closing(open_raw(url)) as own:
        own.execute(f"CREATE ROLE {role} LOGIN")
        try:
            own.execute(f"CREATE SCHEMA shop AUTHORIZATION {role}")
            guest = url.replace("postgres@", f"{role}@")
            store = open_store(Settings(database=guest, schema="shop"))
            store.schema.migrate()
            store.schema.check()
            store.close()
            aside = open_store(
                Settings(database=guest + "?options=-csearch_path%3Dshop", prefix="x_")
            )
            aside.schema.migrate()  # no schema named: where the search path leads
            aside.schema.check()
            aside.close()
            assert own.execute("SELECT to_regclass('shop.x_jobs') IS NOT NULL").fetchone()[0]
        finally:
            own.execute(f"DROP OWNED BY {role} CASCADE")
            own.execute(f"DROP ROLE {role}")
