"""``hammerflow demo seed``: a sound day on each database, the same for the same seed."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hammerflow import HammerflowError
from hammerflow.cli.demo.day.figures import DayFigures
from hammerflow.cli.demo.day.seed import seed_day
from hammerflow.jobs.job import JobState
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.settings import load_settings
from hammerflow.stores import open_checked_store
from hammerflow.stores.diagnosis.invariants import Invariants
from hammerflow.stores.retention.archive import ArchiveFilter
from hammerflow.stores.statistics.statistics import DAY, HOUR, MINUTE, Window
from hammerflow.stores.store import Store
from tests.cli.conftest import Run

_NOW = 1_790_000_000.0


def opened(url: str) -> contextlib.closing[Store]:
    settings = load_settings("shop", {"database": url}, {})
    return contextlib.closing(open_checked_store(settings))


def test_a_day_is_sound_and_has_everything(run: Run, migrated_url: str) -> None:
    seeded = run("demo", "seed", "--jobs", "400", "--json", "--database", migrated_url)

    assert (seeded.code, seeded.err) == (0, "")
    assert json.loads(seeded.out)["jobs"] == 400
    with opened(migrated_url) as store:
        found = Invariants(store.database, store.names, sweep=None, silent=600.0).find()
        assert [(each.kind, each.rows) for each in found] == []
        assert {state for state in JobState if not store.jobs.list(state=state, limit=1)} == set()
        statuses = {flow.state.status for flow in store.workflows.list(limit=100)}
        assert statuses == set(WorkflowStatus)
        states = {hook.name: hook.state for hook in store.webhooks.list()}
        assert states == {"order-desk": "enabled", "old-crm": "disabled"}
        assert store.events.read(store.events.first() - 1, limit=500).gap is None
        assert {alert.state for alert in store.alerts.list()} == {"firing", "resolved"}
        assert len(store.schedules.list()) == 5
        assert len(store.archive.page(ArchiveFilter(), 500)[0]) == 120
        counted = sum(
            counts.jobs
            for counts in store.statistics.read(Window.last(DAY, store.clock()))
            if counts.state == "completed"
        )
        progress = store.statistics.progress()
        assert progress is not None
        jobs = store.jobs.list(state=JobState.COMPLETED, limit=5_000)
        end = datetime.fromtimestamp(progress.final_to, UTC)
        over = [job for job in jobs if job.finished_at is not None and job.finished_at < end]
        assert counted == len(over)


def test_the_same_seed_makes_the_same_day(tmp_path: Path) -> None:
    days = []
    for name in ("one", "two"):
        with opened(f"sqlite:///{tmp_path / name}.db") as store:
            seed_day(store, jobs=100, queues=14, seed=7, now=_NOW)
            page = store.jobs.list(limit=500)
            days.append([(job.id, job.task, job.state, job.finished_at) for job in page])
    assert days[0] == days[1]


def test_a_database_with_rows_is_left_alone(sqlite_url: str) -> None:
    with opened(sqlite_url) as store:
        seed_day(store, jobs=100, queues=11, seed=1)
        with pytest.raises(HammerflowError, match="not empty.*rows in jobs"):
            seed_day(store, jobs=100, queues=11, seed=1)


def test_figures_are_of_spans_that_are_over() -> None:
    figures = DayFigures(end=2 * HOUR + 90)
    for at in (10.0, 3_700.0, 2 * HOUR + 70, 2 * HOUR + 20):
        figures.add_ended(1, 2, 5, at, (0.5, 40), (0.1, 30))

    rows = [*figures.take(figures.end)]

    assert [(span, begin, jobs) for span, begin, *_, jobs, _, _, _, _ in rows if span > 0] == [
        (MINUTE, 0, 1), (MINUTE, 3_660, 1), (MINUTE, 7_200, 1), (HOUR, 0, 1), (HOUR, HOUR, 1),
    ]  # fmt: skip
