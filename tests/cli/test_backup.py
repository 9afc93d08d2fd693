"""``hammerflow backup``: create, list and restore."""

from __future__ import annotations

from pathlib import Path

from hammerflow import Hammerflow
from tests.cli.conftest import WORKER, Run, claim


def test_a_backup_is_created_listed_and_restored(
    run: Run, shop: Hammerflow, folder: Path, sqlite_url: str
) -> None:
    for number in range(3):
        shop.tasks["shop.add"].delay(number, 2)
    claim(shop)
    (folder / "backups").mkdir()

    made = run("backup", "create", "backups", "--json").json
    listed = run("backup", "list", "backups")
    Path(made["file"]).with_name("bad.hfbackup").write_bytes(b"hammerflow-backup\nand no more")
    bad = run("backup", "list", "backups", "--json")
    run("--database", sqlite_url, "migrate")
    trial = run("--database", sqlite_url, "backup", "restore", made["file"], "--dry-run")
    restored = run("--database", sqlite_url, "backup", "restore", made["file"])

    assert made["rows"]["jobs"] == 3 and made["dialect"] == shop.store.dialect
    assert listed.out.split()[:7] == ["FILE", "CREATED", "APP", "DIALECT", "JOBS", "MIB", "STATUS"]
    assert "3" in listed.out and " ok\n" in listed.out
    assert [each["is_ok"] for each in bad.json] == [False, True]
    assert bad.code == 1 and "1 of 2 backups cannot be restored" in bad.err
    assert trial.out.startswith("would restore 3 jobs")
    assert "3 jobs had been running, and lost an attempt" in restored.out
    assert "hammerflow app resume" in restored.out
    jobs = run("--database", sqlite_url, "job", "list", "--json").json
    assert [job["state"] for job in jobs] == ["ready"] * 3
    assert "was restored" in run("--database", sqlite_url, "app", "pauses").out


def test_tables_of_another_version_are_named(run: Run, shop: Hammerflow) -> None:
    with shop.transaction() as tx:
        tx.execute("DROP TABLE hammerflow_limits")

    ended = run("backup", "create", "file")

    assert ended.code == 1 and "has no table limits, so its tables are those of" in ended.err
    assert not Path("file").exists()


def test_what_a_restore_would_delete_is_asked_for(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    run("backup", "create", "file")

    again = run("backup", "create", "file")
    alive = run("backup", "restore", "file")
    embedded_shop.store.workers.leave(WORKER)
    full = run("backup", "restore", "file")
    asked = run("backup", "restore", "file", "--replace")
    done = run("backup", "restore", "file", "--replace", "--yes", "--json")

    assert "file exists already" in again.err
    assert "1 worker of this database is alive" in alive.err
    assert "not empty (it has rows in jobs, ready)" in full.err and "--replace" in full.err
    assert "delete 1 job of" in asked.err and "give --yes" in asked.err
    assert done.json["paused"] and done.json["rows"]["jobs"] == 1
