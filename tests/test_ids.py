"""Ids: in order within a process, whatever the clock does."""

from __future__ import annotations

import itertools
import time
import uuid

import pytest

from hammerflow.ids import first_id_at, new_id


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
