"""Ids: in order within a process, whatever the clock does."""

from __future__ import annotations

import itertools
import time
import uuid

import pytest

from hammerflow.ids import event_job_id, first_id_at, is_event_job, new_id, time_of


@pytest.mark.parametrize("step", [0, -1_000_000_000], ids=["stands", "runs backwards"])
def test_ids_increase_while_the_clock(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    instants = itertools.count(time.time_ns(), step)
    monkeypatch.setattr(time, "time_ns", lambda: next(instants))

    ids = [new_id() for _ in range(100)]

    assert ids == sorted(set(ids))


def test_an_id_is_a_uuid_of_version_7_that_holds_its_time() -> None:
    before = time.time()

    id_ = new_id()

    assert uuid.UUID(bytes=id_).version == 7
    assert uuid.UUID(bytes=id_).variant == uuid.RFC_4122
    assert first_id_at(before) <= id_ < first_id_at(time.time() + 1)


def test_the_id_of_an_events_job_follows_from_the_event_and_is_marked() -> None:
    one = event_job_id(1_700_000_000.5, "s", 7)
    assert one == event_job_id(1_700_000_000.5, "s", 7)
    assert one != event_job_id(1_700_000_000.5, "s", 8) != event_job_id(1_700_000_000.5, "s8", "")
    assert is_event_job(one) and not any(is_event_job(new_id()) for _ in range(1_000))
    assert uuid.UUID(bytes=one).version == 8 and time_of(one) == 1_700_000_000.5
