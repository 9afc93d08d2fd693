"""Bookmarks: on PostgreSQL a claim goes on where the last one ended, and yet overlooks nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hammerflow.ids import first_id_at, name_id, new_id
from hammerflow.stores.claiming.claims import Claims, ScanThresholds
from tests.stores.kit import Desk, desk_at, open_raw
from tests.stores.test_plans import CLAIM, pages_read
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("servers")]

#: Every full scan counts as slow, as next to millions of dead entries, and is then put off.
SLOW = ScanThresholds(slow=-1.0, late=1.0, share=1e9, longest=3600.0)
NEVER_SLOW = ScanThresholds(slow=1e9)


def _aged() -> bytes:
    """An id of ten seconds ago, below the bookmarks that a full scan sets."""
    return first_id_at(time.time() - 10)[:6] + new_id()[6:]


class Reader:
    """Claims of one more process on the desk's database, under thresholds of its own."""

    def __init__(self, desk: Desk, thresholds: ScanThresholds) -> None:
        self._claims = Claims(desk.store.database, desk.store.names.outbox, thresholds)

    def claim(self, limit: int = 100, *, thorough: bool = False) -> list[bytes]:
        """The ids of the jobs claimed."""
        claimed = self._claims.claim(
            1, queue="q", task_ids=[name_id("t")], limit=limit, thorough=thorough
        )
        return [job.id for job in claimed]

    def learn(self, desk: Desk) -> None:
        """Claim until full scans are known to be slow: the second one confirms the first."""
        for _ in range(3):
            desk.put(job := desk.job())
            assert self.claim() == [job.id]


def test_an_old_snapshot_does_not_slow_down_the_claims_of_new_jobs(
    migrated_database: Callable[[str], str],
) -> None:
    """Entries of claimed jobs stay in the index while somebody may still see them."""
    url = migrated_database("postgres")
    with desk_at(url) as desk:
        reader = Reader(desk, SLOW)
        old = desk.job()
        snapshot = open_raw(url)
        snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT 1")
        for _ in range(20):
            desk.put(*(desk.job() for _ in range(1_000)))
            while found := reader.claim(500):
                last = found[-1]
        desk.put(old, *(fresh := [desk.job() for _ in range(4)]))
        ways = [
            pages_read(desk, "claim", {**CLAIM, "priority_orders": [*range(5)], "worker_id": 1,
                                       "bookmarks": [bookmark] * 5})
            for bookmark in (bytes(16), last)
        ]  # fmt: skip
        assert reader.claim() == [job.id for job in fresh]  # it went by the bookmarks
        snapshot.close()
    assert ways[1] * 3 < ways[0], ways


def test_what_comes_in_below_the_bookmarks_waits_for_the_next_full_scan(
    migrated_database: Callable[[str], str],
) -> None:
    with desk_at(migrated_database("postgres")) as desk:
        reader = Reader(desk, SLOW)
        old, older = desk.job(id=_aged()), desk.job(id=_aged())
        reader.learn(desk)
        desk.put(old, fresh := desk.job())
        assert reader.claim() == [fresh.id]
        assert reader.claim(thorough=True) == [old.id]
        desk.put(older)
        assert reader.claim() == []


def test_a_full_scan_that_was_put_off_comes_in_the_end(
    migrated_database: Callable[[str], str],
) -> None:
    with desk_at(migrated_database("postgres")) as desk:
        reader = Reader(desk, ScanThresholds(slow=-1.0, late=1.0, longest=0.2))
        old = desk.job(id=_aged())
        reader.learn(desk)
        desk.put(old)
        until("the full scan", lambda: reader.claim() == [old.id])


def test_an_older_job_that_comes_back_is_claimed_after_a_full_claim(desk: Desk) -> None:
    reader = Reader(desk, NEVER_SLOW)
    old, *others = jobs = [desk.job() for _ in range(4)]
    desk.put(*jobs)
    assert reader.claim(2) == [old.id, others[0].id]
    desk.store.jobs.release_unheld(1, {others[0].id})
    assert reader.claim(3) == [old.id, others[1].id, others[2].id]


def test_a_job_below_a_full_claim_is_not_overlooked(desk: Desk) -> None:
    reader = Reader(desk, NEVER_SLOW)
    early, late = desk.job(), desk.job()
    desk.put(late)
    assert reader.claim(1) == [late.id]
    desk.put(early)
    assert reader.claim(1) == [early.id]


def test_an_id_from_a_clock_that_is_ahead_moves_no_bookmark_past_new_jobs(
    migrated_database: Callable[[str], str],
) -> None:
    with desk_at(migrated_database("postgres")) as desk:
        reader = Reader(desk, SLOW)
        reader.learn(desk)
        desk.put(stray := desk.job(id=(int.from_bytes(new_id()) + (3_600_000 << 80)).to_bytes(16)))
        assert reader.claim() == [stray.id]
        desk.put(fresh := desk.job())
        assert reader.claim() == [fresh.id]
