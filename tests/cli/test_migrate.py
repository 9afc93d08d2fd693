"""``hammerflow migrate``: fresh, again, and only planned, on each database."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hammerflow.errors import StoreUnavailable
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from tests.cli.conftest import Run
from tests.stores.kit import open_raw


def test_migrate_makes_the_tables_once(run: Run, database_url: str) -> None:
    first = run("--database", database_url, "migrate")
    again = run("--database", database_url, "migrate")
    listed = run("--database", database_url, "job", "list")

    assert first.out.startswith("applied 0001_")
    assert first.out.endswith(again.out) and again.out.endswith("is up to date\n")
    assert (listed.code, listed.out) == (0, "no matching jobs\n")


def test_the_plan_runs_nothing(run: Run, database_url: str) -> None:
    plan = run("--database", database_url, "migrate", "--plan", "--json").json
    text = run("--database", database_url, "migrate", "--plan").out
    applied = run("--database", database_url, "migrate", "--json").json
    after = run("--database", database_url, "migrate", "--plan", "--json").json

    assert [step["name"] for step in plan["pending"]] == applied["applied"]
    assert "CREATE TABLE" in text
    assert after == {"pending": []}


def test_planning_makes_no_file(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fresh.db"

    assert "CREATE TABLE" in run("migrate", "--plan", "--database", url).out

    assert not (tmp_path / "fresh.db").exists()


def test_a_missing_migration_is_one_sentence(run: Run, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).touch()

    ended = run("--database", database_url, "job", "list")

    assert ended.code == 1
    assert "run hammerflow migrate" in ended.err
    assert ended.err.count("\n") == 1


def test_a_newer_schema_is_refused(run: Run, sqlite_url: str) -> None:
    store = open_store(Settings(database=sqlite_url))
    store.schema.migrate()
    store.database.unit(lambda tx: tx.run("migration_insert", version=901, name="far"))
    store.close()

    ended = run("--database", sqlite_url, "migrate")

    assert ended.code == 1
    assert "upgrade hammerflow" in ended.err


def test_torn_down_tables_leave_nothing_behind(database_url: str) -> None:
    store = open_store(Settings(database=database_url, prefix="own_"))
    kept = open_store(Settings(database=database_url, prefix="kept_"))
    store.schema.migrate()
    kept.schema.migrate()

    store.schema.drop()
    store.schema.drop()

    names = tables(database_url)
    assert not [name for name in names if name.startswith("own_")]
    assert "kept_jobs" in names
    store.close()
    kept.close()


def tables(url: str) -> list[str]:
    """All tables and views of a database, in order."""
    with contextlib.closing(open_store(Settings(database=url))) as store:
        sql = "SELECT table_name FROM information_schema.tables"
        if store.dialect == "mysql":
            sql += " WHERE table_schema = DATABASE()"  # other tests have databases here, too
        if store.dialect == "sqlite":
            sql = "SELECT name FROM sqlite_master"
        with store.transaction() as tx:
            cursor = tx.connection.cursor()
            cursor.execute(sql)
            return sorted(row[0] for row in cursor.fetchall())


@pytest.fixture
def guest_url(migrated_database: Callable[[str], str], request: pytest.FixtureRequest) -> Any:
    """The URL of a user who may use the tables but make none."""
    url = migrated_database(request.param)
    name, kind = f"guest_{os.getpid()}", request.param
    with contextlib.closing(open_raw(url)) as admin:
        cursor = admin.cursor()
        database = url.rpartition("/")[2]
        if kind == "postgres":
            cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            cursor.execute(f"CREATE ROLE {name} LOGIN")
            cursor.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {name}")
        else:
            cursor.execute(f"GRANT SELECT, INSERT ON `{database}`.* TO {name}@'%' IDENTIFIED BY ''")
        scheme, _, rest = url.partition("://")
        yield f"{scheme}://{name}@{rest.partition('@')[2]}"
        if kind == "postgres":
            cursor.execute(f"DROP OWNED BY {name}")
        cursor.execute(f"DROP {'ROLE' if kind == 'postgres' else 'USER'} {name}")


def _obey(guest_url: str, advice: str) -> None:
    """Run the statement that doctor has printed, as the administrator."""
    scheme, _, rest = guest_url.partition("://")
    user = "postgres" if scheme == "postgresql" else "hammerflow:hammerflow"
    with contextlib.closing(open_raw(f"{scheme}://{user}@{rest.partition('@')[2]}")) as admin:
        admin.cursor().execute(advice.partition("run: ")[2])


@pytest.mark.usefixtures("postgres_url", "mariadb_url")
@pytest.mark.parametrize("guest_url", ["postgres", "mariadb"], indirect=True)
def test_an_application_user_needs_no_right_to_make_tables(
    run: Run, guest_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = run("--database", guest_url, "migrate")
    monkeypatch.setenv("HAMMERFLOW_PREFIX", "other_")
    first = run("--database", guest_url, "migrate")

    assert (again.code, again.err) == (0, "")
    assert again.out.endswith("is up to date\n")
    assert (first.code, first.err.count("\n")) == (1, 1)
    assert "run hammerflow migrate as a user who may create tables" in first.err

    monkeypatch.delenv("HAMMERFLOW_PREFIX")
    doctor = run("--database", guest_url, "doctor", "--json")
    ((status, says, advice),) = [
        (check["status"], check["says"], check["advice"])
        for check in doctor.json["checks"]
        if check["name"] == "rights"
    ]
    assert (doctor.code, status) == (1, "fail")
    assert "denied" in says
    assert re.search(r"run: GRANT .*SELECT, INSERT, UPDATE, DELETE ON .* TO '?guest_", advice)
    _obey(guest_url, advice)
    again = run("--database", guest_url, "doctor", "--json")
    assert ("rights", "ok") in [(c["name"], c["status"]) for c in again.json["checks"]]


@pytest.mark.usefixtures("postgres_url", "mariadb_url")
@pytest.mark.parametrize("guest_url", ["postgres", "mariadb"], indirect=True)
def test_a_missing_right_names_the_table(guest_url: str) -> None:
    told = pytest.raises(StoreUnavailable, match=r"denied.*hammerflow_workers.*must GRANT SELECT")
    with contextlib.closing(open_store(Settings(database=guest_url))) as store, told:
        store.workers.beat(1)
