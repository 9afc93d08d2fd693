"""A SQLite file that is removed or replaced under a process gets no further job."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hammerflow.errors import StoreUnavailable
from tests.stores.kit import Desk, desk_at
from tests.support.waiting import until


@pytest.fixture
def embedded(migrated_database: Callable[[str], str]) -> Iterator[Desk]:
    with desk_at(migrated_database("sqlite")) as desk:
        desk.put(desk.job())
        yield desk


def file_of(desk: Desk) -> Path:
    return Path(desk.settings.url.database)


def backup(desk: Desk) -> Path:
    path = file_of(desk)
    copy = path.with_suffix(".backup")
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    return copy


def one(desk: Desk) -> None:
    desk.store.jobs.insert_one(desk.job())


def in_a_transaction(desk: Desk) -> None:
    with desk.store.transaction() as tx:
        desk.store.jobs.insert([desk.job()], tx)


def read(desk: Desk) -> None:
    desk.store.queues.paused()


def beat(desk: Desk) -> None:
    desk.store.workers.beat(1)


def check_now(desk: Desk) -> None:
    """Let the next use make the checks that are made once a second."""
    for tx in desk.store.database.connections.idle:
        tx.wal_due = 0.0  # type: ignore[attr-defined]


USES = pytest.mark.parametrize("use", [one, in_a_transaction, read, beat])


@USES
def test_a_backup_moved_over_the_file_is_noticed_and_then_used(
    embedded: Desk, use: Callable[[Desk], None]
) -> None:
    copy = backup(embedded)
    embedded.put(embedded.job())
    embedded.hang_up()
    copy.rename(file_of(embedded))

    with pytest.raises(StoreUnavailable, match=r"removed or replaced while this process"):
        use(embedded)

    assert embedded.count("jobs") == 1
    embedded.put(job := embedded.job(queue="new"))
    assert embedded.state(job.id) == "ready"
    assert embedded.count("jobs") == 2
    assert embedded.sql("PRAGMA integrity_check") == [("ok",)]


@USES
def test_a_removed_file_is_not_made_again(embedded: Desk, use: Callable[[Desk], None]) -> None:
    path = file_of(embedded)
    away = path.with_suffix(".away")
    path.rename(away)

    for words in ("removed or replaced", "is gone: put it back", "is gone: put it back"):
        with pytest.raises(StoreUnavailable, match=words):
            use(embedded)
    assert not path.exists()

    away.rename(path)
    use(embedded)


def test_a_file_replaced_during_a_transaction_gets_no_commit(embedded: Desk) -> None:
    copy = backup(embedded)
    with (
        pytest.raises(StoreUnavailable, match="removed or replaced"),
        embedded.store.transaction() as tx,
    ):
        embedded.store.jobs.insert([embedded.job()], tx)
        copy.rename(file_of(embedded))


def test_no_umask_keeps_the_owner_from_a_new_file(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        with desk_at(f"sqlite:///{tmp_path}/new/folder/jobs.db") as desk:
            desk.store.schema.migrate()
            made = [tmp_path / "new", *sorted((tmp_path / "new" / "folder").iterdir())]
            modes = [path.stat().st_mode & 0o777 for path in made]
    finally:
        os.umask(before)

    assert [path.name for path in made] == ["new", "jobs.db", "jobs.db-shm", "jobs.db-wal"]
    assert modes == [0o700, 0o600, 0o600, 0o600]


def test_a_removed_log_is_noticed(embedded: Desk) -> None:
    wal = Path(f"{file_of(embedded)}-wal")
    one(embedded)
    os.rename(wal, wal.with_suffix(".away"))
    check_now(embedded)

    with pytest.raises(StoreUnavailable, match="write-ahead log"):
        one(embedded)


@USES
def test_an_older_copy_that_is_written_over_the_file_is_noticed(
    embedded: Desk, use: Callable[[Desk], None]
) -> None:
    copy = backup(embedded)
    with contextlib.closing(embedded.another()) as other:  # a file with one writer tells nothing
        for store in [embedded.store, other] * 3:
            for _ in range(60):
                store.jobs.insert_one(embedded.job()._replace(args=b"x" * 500))
    embedded.sql("PRAGMA wal_checkpoint")
    use(embedded)
    check_now(embedded)
    use(embedded)
    inode = file_of(embedded).stat().st_ino
    shutil.copyfile(copy, file_of(embedded))
    assert file_of(embedded).stat().st_ino == inode

    def says() -> str:
        check_now(embedded)
        try:
            use(embedded)
        except StoreUnavailable as error:
            return str(error)
        return ""

    until("it is said", lambda: "was written over with an older copy" in says())


def test_checkpoints_and_a_vacuum_replace_no_file(embedded: Desk) -> None:
    with contextlib.closing(embedded.another()) as other:
        for n, store in enumerate([embedded.store, other] * 10):
            for _ in range(20):
                store.jobs.insert_one(embedded.job()._replace(args=b"x" * 500))
            check_now(embedded)
            if n % 4 == 0:
                embedded.sql(["PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"][n % 8 // 4])
            one(embedded)
    assert embedded.count("jobs") == 1 + 20 * 20 + 20


def test_a_link_to_another_file_counts_as_a_replacement(
    migrated_database: Callable[[str], str], tmp_path: Path
) -> None:
    first, second = (Path(migrated_database("sqlite")[len("sqlite:///") :]) for _ in range(2))
    link = tmp_path / "current.db"
    link.symlink_to(first)
    with desk_at(f"sqlite:///{link}") as desk:
        one(desk)
        link.unlink()
        link.symlink_to(second)
        with pytest.raises(StoreUnavailable):
            one(desk)
        one(desk)
        assert desk.count("jobs") == 1
