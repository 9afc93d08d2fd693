"""A backup of a database that workers drain, restored into another one: all of it runs on there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hammerflow.stores.maintenance.backup_file import BackupReader
from hammerflow.stores.maintenance.backups import Backups
from tests.acceptance.kit import Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_a_backup_under_a_drain_holds_one_moment_and_runs_on(
    shop: Shop, database_kind: str, shop_at: Callable[..., Shop],
    migrated_database: Callable[[str], str], tmp_path: Path,
) -> None:  # fmt: skip
    jobs = shop.send_all("note", ((i, 0.002) for i in range(300)))
    tree = shop.send("fan_out", 40)
    held = shop.send("hold", "gate", 1)
    chain = shop.client.enqueue(shop.call("note", 1) | shop.call("note"))
    with shop.worker(children=2):
        shop.wait_for_run(held)
        until("a third is done", lambda: shop.desk.count("done") > 100)
        Backups(shop.client.store).create(tmp_path / "file", app="shop", version="0")
        shop.open("gate")
        shop.wait_until_quiet()

    copy = shop_at(migrated_database(database_kind))
    with BackupReader(tmp_path / "file") as file:
        restored = Backups(copy.client.store).restore(file, by="", lease=3.0, poison_limit=3)
    copy.desk.check()
    done = copy.desk.count("done")
    assert restored.lost >= 1 and copy.desk.count("leases") == 0
    assert 100 < done < copy.desk.count("jobs")
    copy.open("gate")
    with copy.worker(children=2):
        until("it beats", lambda: copy.desk.sql("SELECT max(beats) FROM {workers}")[0][0] >= 2)
        assert copy.ledger.runs() == [] and copy.desk.count("done") == done

        copy.client.resume()
        copy.wait_until_quiet()

    roots = [*jobs, tree, held]
    assert {copy.job(each).state for each in roots} == {"completed"}
    assert copy.client.result(chain.id).get(timeout=5) == 1
    copy.check()
