"""How soon a worker claims again what a claim has passed over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from hammerflow.ids import name_id
from tests.acceptance.kit import Shop


def test_a_job_that_was_passed_over_does_not_wait_for_the_poll(
    migrated_database: Callable[[str], str], shop_at: Callable[[str], Shop]
) -> None:
    """On MariaDB a lock hides it, and nobody rings when that is gone."""
    shop = shop_at(migrated_database("mariadb"))
    hidden = shop.send("note", "hidden")
    queue_id = name_id("default")
    with contextlib.closing(shop.desk.another()) as client, client.transaction() as tx:
        assert tx.rows("take_ready", queue_id=queue_id, priority_order=2, id=hidden.id.bytes)
        shop.worker(poll=60)
        other = shop.send("note", "other")
        assert other.get(timeout=30) == "other"
        assert shop.desk.state(hidden.id.bytes) == "ready"
    begun = time.monotonic()
    assert hidden.get(timeout=50) == "hidden"
    assert time.monotonic() - begun < 40
