"""Backups: equal rows in any database, one moment of a busy one, and files that are not whole."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hammerflow.errors import HammerflowError
from hammerflow.jobs.outcome import Completed
from hammerflow.stores.maintenance.backup_file import BackupReader, BackupWriter
from hammerflow.stores.maintenance.backups import BACKED_UP, Backups, Restored
from hammerflow.stores.pauses import PauseKind
from hammerflow.stores.statements import TABLES
from hammerflow.stores.tables import snapshot
from tests.stores.kit import Desk, desk_at

#: Each pair of kinds once, in two rounds.
ROUNDS = (
    ("postgres", "sqlite", "mariadb", "postgres"),
    ("postgres", "mariadb", "sqlite", "postgres"),
)


def create(desk: Desk, path: Path) -> None:
    Backups(desk.store).create(path, app="shop", version="0")


def restore(desk: Desk, path: Path, **more: Any) -> Restored:
    with BackupReader(path) as file:
        return Backups(desk.store).restore(
            file, by="ann", lease=30.0, poison_limit=3, **more
        )  # fmt: skip


def rows_of(desk: Desk, table: str) -> list[tuple[Any, ...]]:
    copy = Backups(desk.store).copies()[table]
    with snapshot(desk.store.database) as tx:
        found = [row for rows in tx.stream(copy.to_read(), 2) for row in rows]
    return sorted(found, key=str)


def extreme(type_: str, number: int, place: int) -> Any:
    """A value that a database or a file could get wrong."""
    moment = datetime(2026, 11, 27, 8, 0, 0, 999_999, UTC)
    return {
        "bigint": 2**63 - 1 - number - place, "integer": 2**31 - 1 - number,
        "smallint": 2**15 - 1 - number, "float8": 0.1 + number,
        "text": f"ö'\\\n\U0001f600{number}", "bytea": bytes(range(256)) * 20,
        "uuid": uuid.UUID(int=2**128 - 1 - number * 100 - place).bytes,
        "timestamptz": moment + timedelta(microseconds=number),
    }[type_]  # fmt: skip


def fill(desk: Desk, table: str) -> None:
    """Two rows, the second one with NULL where that may be."""
    copy = Backups(desk.store).copies()[table]
    types = list(copy.types.items())
    required = {
        row[0]
        for row in desk.sql(
            "SELECT attname FROM pg_attribute WHERE attnotnull AND attrelid = "
            f"'{copy.full_name}'::regclass"
        )
    }
    rows = [
        tuple(
            None if number and name not in required else extreme(type_, number, place)
            for place, (name, type_) in enumerate(types)
        )
        for number in range(2)
    ]
    desk.store.database.unit(lambda tx: tx.many(copy.to_write([*copy.types]), rows))


def test_each_table_is_backed_up_or_left_out_for_a_reason() -> None:
    assert set(TABLES) - set(BACKED_UP) == {
        "job_states", "migrations", "limit_locks", "workers", "worker_tasks", "worker_requests",
        "clients", "alerting", "alerts", "alert_messages", "worker_losses",
    }  # fmt: skip


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("kinds", ROUNDS, ids="-".join)
def test_all_values_survive_a_tour_of_the_databases(
    kinds: tuple[str, ...], migrated_database: Callable[[str], str], tmp_path: Path
) -> None:
    with desk_at(migrated_database(kinds[0])) as first:
        for table in BACKED_UP:
            fill(first, table)
        wanted = {table: rows_of(first, table) for table in BACKED_UP}
        create(first, tmp_path / "0")
    for number, kind in enumerate(kinds[1:]):
        with desk_at(migrated_database(kind)) as desk:
            # The leases of the first fill are of workers that are gone.
            _restore_rows(desk, tmp_path / f"{number}")
            create(desk, tmp_path / f"{number + 1}")
            if number == len(kinds) - 2:
                found = {table: rows_of(desk, table) for table in BACKED_UP}

    found["pauses"] = [row for row in found["pauses"] if row[0] != 0]
    assert found == wanted


def _restore_rows(desk: Desk, path: Path) -> None:
    """Without the rescue, which moves what was running."""
    backups = Backups(desk.store)
    with BackupReader(path) as file, desk.store.database.transaction() as tx:
        backups._replace(tx, file)


def test_a_snapshot_sees_nothing_of_what_is_committed_later(desk: Desk) -> None:
    desk.put(*(desk.job() for _ in range(3)))
    copies = Backups(desk.store).copies()
    with snapshot(desk.store.database) as tx:
        desk.end(*desk.claim())
        desk.put(desk.job())
        counts = {
            table: sum(map(len, tx.stream(copies[table].to_read(), 2)))
            for table in ("jobs", "ready", "leases", "done")
        }

    assert counts == {"jobs": 3, "ready": 3, "leases": 0, "done": 0}


def test_what_ran_is_lost_and_nothing_starts_before_the_resume(
    desk: Desk, database_kind: str, migrated_database: Callable[[str], str], tmp_path: Path
) -> None:
    desk.register()
    done, running, *rest = desk.run(*(desk.job(unique_key=f"k{i}") for i in range(5)))
    desk.end(done)
    later = desk.put(desk.job(delay=3600.0))[0]
    create(desk, tmp_path / "file")
    with desk_at(migrated_database(database_kind)) as copy:
        restored = restore(copy, tmp_path / "file")

        assert restored.lost == 4
        assert copy.state(done.id) == "completed" and copy.state(later) == "scheduled"
        assert copy.states([running.id, *(job.id for job in rest)]) == ["ready"] * 4
        assert copy.errors(running.id) == [("lost", 1)]
        assert desk.sql("SELECT * FROM {unique_keys}") == copy.sql("SELECT * FROM {unique_keys}")
        (pause,) = copy.store.pauses.list()
        assert pause.kind == "app" and pause.paused_by == "ann"
        copy.register()
        assert copy.claim() == []

        assert copy.store.pauses.resume(PauseKind.APP)
        again = copy.claim()

        assert {job.lease for job in again} == {2} and len(again) == 4
        assert copy.settle((running, Completed(None))).stale == {running.id}
        copy.end(*again)
        copy.check()


def test_a_copy_tells_nobody_what_the_original_has_told(desk: Desk, tmp_path: Path) -> None:
    columns = "name, kind, config, filters, app, wanted, position, state, created_at, term, sent"
    for state in ("running", "stopped"):
        values = f"'{state}', 'file', '[]', '[]', 'shop', 1, 5, '{state}', 0, 1, 0, 0"
        desk.sql(f"INSERT INTO {{sinks}} ({columns}, failures) VALUES ({values})")
    nothing = "x''" if desk.kind == "sqlite" else "''"
    for number in (3, 1, 2):
        values = f"{number}, 0, {number}, {nothing}"
        desk.sql(f"INSERT INTO {{outbox}} (seq, at, n, pack) VALUES ({values})")
    create(desk, tmp_path / "file")

    restore(desk, tmp_path / "file", replace=True)

    assert sorted(desk.sql("SELECT name, state FROM {sinks}")) == [
        ("running", "paused"), ("stopped", "stopped"),
    ]  # fmt: skip
    assert desk.count("outbox") == 0 and desk.sql("SELECT position FROM {relay}") == [(6,)]


def test_a_restore_needs_an_empty_database_without_workers(desk: Desk, tmp_path: Path) -> None:
    desk.put(desk.job())
    create(desk, tmp_path / "file")
    extra = desk.put(desk.job())[0]

    with pytest.raises(HammerflowError, match=r"not empty \(it has rows in jobs, ready\)"):
        restore(desk, tmp_path / "file")
    desk.register()
    with pytest.raises(HammerflowError, match="1 worker of this database is alive"):
        restore(desk, tmp_path / "file", replace=True)
    assert desk.store.pauses.list() == [] and desk.count("jobs") == 2

    desk.store.workers.leave(1)
    restore(desk, tmp_path / "file", replace=True)
    assert desk.count("jobs") == 1 and desk.places(extra) == []


def test_a_failed_restore_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.put(desk.job())
    create(desk, tmp_path / "file")
    with BackupReader(tmp_path / "file") as file, BackupWriter(tmp_path / "bad", file.head) as bad:
        for table, rows in file.packs():
            bad.add(table, rows + rows)  # the keys are there twice
        bad.finish()
    kept = desk.put(desk.job())[0]

    with pytest.raises(Exception, match="(?i)unique|duplicate"):
        restore(desk, tmp_path / "bad", replace=True)

    assert desk.store.pauses.list() == [] and desk.state(kept) == "ready"


def test_a_backup_that_fails_leaves_no_file(desk: Desk, tmp_path: Path) -> None:
    desk.sql("ALTER TABLE {replays} RENAME TO {hidden}")
    try:
        with pytest.raises(HammerflowError, match="has no table"):
            create(desk, tmp_path / "another")
    finally:
        desk.sql("ALTER TABLE {hidden} RENAME TO {replays}")

    assert [path.name for path in tmp_path.iterdir() if "another" in path.name] == []


@pytest.fixture
def backup(migrated_database: Callable[[str], str], tmp_path: Path) -> Path:
    with desk_at(migrated_database("sqlite")) as desk:
        desk.put(*(desk.job() for _ in range(10)))
        create(desk, tmp_path / "whole")
    return tmp_path / "whole"


def test_a_file_that_is_not_whole_is_refused(backup: Path) -> None:
    whole = backup.read_bytes()
    damaged = backup.with_name("damaged")
    for length in (0, 10, 18, 60, len(whole) // 2, len(whole) - 1):
        damaged.write_bytes(whole[:length])
        with pytest.raises(HammerflowError, match="cut short|is not a backup"):
            BackupReader(damaged)
    for place in range(20, len(whole), len(whole) // 50):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(HammerflowError, match="has changed since|is cut short"):
            BackupReader(damaged)
    damaged.write_bytes(whole + b"more")
    with pytest.raises(HammerflowError, match="cut short"):
        BackupReader(damaged)


def test_a_backup_is_its_owners_and_replaces_no_file(backup: Path, desk: Desk) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    with pytest.raises(HammerflowError, match="exists already"):
        create(desk, backup)
    with pytest.raises(FileNotFoundError) as lost:
        create(desk, backup.parent / "no" / "place")
    assert lost.value.filename == str(backup.parent / "no" / "place")
    assert [path.name for path in backup.parent.glob("*.part")] == []
