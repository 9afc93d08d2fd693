"""A worker whose SQLite file is replaced by a backup says so, and serves the file that is there."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from tests.acceptance.kit import Shop


def test_a_worker_serves_the_backup_that_was_moved_over_its_file(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    path = Path(shop.client.settings.url.database)
    copy = path.with_suffix(".backup")
    with shop.worker() as worker:
        shop.send("note", 1).get(timeout=15)
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        shop.desk.hang_up()
        copy.rename(path)
        worker.wait_for_log("was removed or replaced while this process had it open")
        shop.client.close()
        assert shop.send("note", 2).get(timeout=30) == 2
