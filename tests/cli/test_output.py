"""Instants and ids are written in one way: UTC in JSON, local time with offset for people."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from hammerflow import Hammerflow
from hammerflow.cli.output import local_time, show_facts, show_json, show_table
from tests.cli.conftest import Run

INSTANT = datetime(2026, 11, 26, 1, 8, 3, 123456, tzinfo=UTC)
ID = uuid.UUID("01a1fc00-8365-7009-a220-101660e9df48")


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader an hour east of UTC."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_json_has_utc_and_ids_with_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"at": INSTANT, "id": ID, "key": ID.bytes, "none": None})

    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-11-26T01:08:03.123Z", "id": str(ID), "key": str(ID), "none": None,
    }  # fmt: skip


def test_people_get_local_time_with_its_offset(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts({"at": INSTANT, "id": ID.bytes, "none": None, "empty": {}, "map": {"a": 1}})
    show_table(("at", "id"), [(INSTANT, ID.bytes)], empty="")

    assert local_time(INSTANT) == "2026-11-26 02:08:03+01:00"
    assert capsys.readouterr().out.splitlines() == [
        "at   2026-11-26 02:08:03+01:00",
        f"id   {ID}",
        'map  {"a": 1}',
        "AT                         ID",
        f"2026-11-26 02:08:03+01:00  {ID}",
    ]


def test_commands_write_times_like_that(run: Run, embedded_shop: Hammerflow) -> None:
    job = embedded_shop.tasks["shop.add"].delay(1, 2).job()

    shown = run("job", "show", job.id)
    found = run("job", "show", job.id, "--json").json

    assert f"created   {local_time(job.created_at)}" in shown.out
    written = datetime.fromisoformat(found["created_at"])
    assert found["created_at"].endswith("Z")
    assert 0 <= (job.created_at - written).total_seconds() < 0.001
