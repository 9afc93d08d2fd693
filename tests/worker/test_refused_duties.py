"""A worker whose own statements the database refuses: a state, whatever the error says."""

from __future__ import annotations

import signal

from tests.acceptance.kit import Shop
from tests.stores.kit import Desk
from tests.worker.test_settler import refuse


def test_duties_that_are_refused_cost_two_lines(shop: Shop) -> None:
    with shop.worker() as worker:
        held = shop.send("hold", "gate", 7)
        shop.wait_for_run(held)
        refuse(shop.desk, "leases", "1 = 1")  # no claim
        waiting = shop.send("note", 5)
        worker.wait_for_log("the database refuses work")
        assert "not this one" in worker.log
        assert "look for a trigger, constraint or column that was changed" in worker.log
        shop.open("gate")
        assert held.get(timeout=20) == 7  # others are not held up
        _allow(shop.desk, "leases")
        assert waiting.get(timeout=20) == 5
        worker.wait_for_log("the database is back")
    lines = [line for line in worker.log.splitlines() if " database[" in line]
    assert len(lines) == 2 and "Traceback" not in worker.log, worker.log
    assert shop.kinds(waiting) == []


def test_a_worker_whose_row_may_not_be_deleted_ends(shop: Shop) -> None:
    with shop.worker() as worker:
        refuse(shop.desk, "workers", "1 = 1", "DELETE")
        worker.signal(signal.SIGTERM)
        assert worker.process.wait(20) == 1
        assert "could not deregister" in worker.log and "Traceback" not in worker.log


def _allow(desk: Desk, table: str) -> None:
    if desk.kind == "postgres":
        desk.sql(f"DROP TRIGGER refuse ON {{{table}}}")
    else:
        desk.sql(f"DROP TRIGGER refuse_{table}")
