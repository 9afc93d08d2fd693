"""Lists of jobs by the time of their end, or of their enqueueing if they have not ended."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hammerflow.ids import first_id_at
from tests.stores.kit import Desk

NOW = datetime.now(UTC)
HOUR_AGO, TWO_HOURS_AGO = NOW - timedelta(hours=1), NOW - timedelta(hours=2)


def put_at(desk: Desk, when: datetime, count: int = 1) -> list[bytes]:
    """Jobs that were enqueued at that time."""
    start = first_id_at(when.timestamp())[:8]
    ids = sorted(start + os.urandom(8) for _ in range(count))
    desk.put(*(desk.job(id=id_) for id_ in ids))
    time = desk.store.database.dialect.time(when)
    stamp = f"'{time}'" if isinstance(time, datetime) else repr(time)
    desk.sql(f"UPDATE {{jobs}} SET created_at = {stamp} WHERE created_at > {_ago(desk)}")
    return ids


def _ago(desk: Desk) -> str:
    """What lies a little back, so that only new rows are changed."""
    time = desk.store.database.dialect.time(datetime.now(UTC) - timedelta(minutes=5))
    return f"'{time}'" if isinstance(time, datetime) else repr(time)


def listed(desk: Desk, **span: Any) -> list[bytes]:
    return [job.id.bytes for job in desk.store.jobs.list(**span)]


def test_a_job_counts_from_its_end_and_one_that_has_not_ended_from_its_enqueueing(
    desk: Desk,
) -> None:
    old = put_at(desk, TWO_HOURS_AGO, 2)
    (ended,) = desk.claim(1)
    desk.end(ended)
    (waits,) = {*old} - {ended.id}
    (new,) = desk.put(desk.job())
    assert listed(desk, since=HOUR_AGO) == [new, ended.id]
    assert listed(desk, until=HOUR_AGO) == [waits]
    assert listed(desk, since=HOUR_AGO, until=HOUR_AGO) == []
    assert listed(desk, since=NOW - timedelta(hours=3), until=HOUR_AGO) == [waits]
    assert listed(desk) == [new, *sorted(old, reverse=True)]
    page = desk.store.jobs.list(since=HOUR_AGO, limit=1)
    assert [job.id.bytes for job in page] == [new]
    assert listed(desk, since=HOUR_AGO, before=new) == [ended.id]


def test_a_bounded_number_of_older_jobs_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ended,) = put_at(desk, NOW - timedelta(hours=3))
    desk.end(desk.claim(1)[0])
    put_at(desk, TWO_HOURS_AGO, 1_100)
    assert listed(desk, since=HOUR_AGO) == [ended]
    monkeypatch.setattr("hammerflow.stores.pages.job_pages.OLDER_JOBS", 1_000)
    assert listed(desk, since=HOUR_AGO) == []
