"""Marks: on PostgreSQL a claim goes on where the last one ended, and yet overlooks nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hammerflow.ids import name_id
from hammerflow.jobs.outcome import Released
from hammerflow.stores import claims
from tests.stores.kit import Desk, desk_at, open_raw
from tests.stores.test_plans import CLAIM, pages_read

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("servers")]


def _read(desk: Desk) -> claims._Read:
    """How far the desk's store has read its queue."""
    (read,) = desk.store.jobs.claim.__self__._reads.values()  # type: ignore[attr-defined]
    return read


def test_an_old_snapshot_does_not_slow_down_the_claims_of_new_jobs(
    migrated_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of claimed jobs stay in the index while somebody may still see them."""
    url = migrated_database("postgres")
    monkeypatch.setattr(claims, "_SLOW", -1.0)  # as it would be beside millions of them
    monkeypatch.setattr(claims, "_LATE", 0.0)
    with desk_at(url) as desk:
        snapshot = open_raw(url)
        snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT 1")
        for _ in range(20):
            desk.put(*(desk.job() for _ in range(1_000)))
            while desk.claim(500, thorough=False):
                pass
        assert _read(desk).is_slow  # the next claim goes by the marks
        desk.put(*(desk.job() for _ in range(4)))
        ways = [pages_read(desk, "claim", {**CLAIM, "lanes": claims._LANES, "marks": marks,
                                           "queue_id": name_id("q"), "worker_id": 1})
                for marks in (claims._START, _read(desk).marks)]  # fmt: skip
        snapshot.close()
    assert ways[1] * 3 < ways[0], ways


def test_what_comes_in_below_the_marks_waits_for_the_next_look_from_the_start(
    migrated_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_SLOW", -1.0)
    monkeypatch.setattr(claims, "_MARK_SECONDS", 3600.0)
    monkeypatch.setattr(claims, "_LATE", 0.0)
    with desk_at(migrated_database("postgres")) as desk:
        old, older = desk.job(), desk.job()
        for _ in range(3):  # what the first look finds slow the second one confirms
            desk.put(job := desk.job())
            assert [found.id for found in desk.claim(thorough=False)] == [job.id]
        desk.put(old, fresh := desk.job())
        assert [job.id for job in desk.claim(thorough=False)] == [fresh.id]
        assert [job.id for job in desk.claim()] == [old.id]
        desk.put(older)
        assert desk.claim(thorough=False) == []
        _read(desk).until = 0.0  # as an hour later
        assert [job.id for job in desk.claim(thorough=False)] == [older.id]


@pytest.fixture
def never_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_SLOW", 1e9)


def test_an_older_job_that_comes_back_is_claimed_after_a_full_claim(
    desk: Desk, never_slow: None
) -> None:
    old, *others = jobs = [desk.job() for _ in range(4)]
    desk.put(*jobs)
    first, _ = desk.claim(2, thorough=False)
    assert first.id == old.id
    desk.settle((first, Released()))
    assert [job.id for job in desk.claim(3, thorough=False)] == [old.id, others[1].id, others[2].id]


def test_a_job_below_a_full_claim_is_not_overlooked(desk: Desk, never_slow: None) -> None:
    early, late = desk.job(), desk.job()
    desk.put(late)
    assert len(desk.claim(1, thorough=False)) == 1
    desk.put(early)
    assert [job.id for job in desk.claim(1, thorough=False)] == [early.id]
