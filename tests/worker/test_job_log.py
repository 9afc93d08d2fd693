"""One log line for each job that ends, with its facts as fields."""

from __future__ import annotations

import logging
import uuid

import pytest

from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import (
    Cancelled,
    Completed,
    Failed,
    Failure,
    Lost,
    Outcome,
    Parked,
    Released,
    Retrying,
    Settled,
    Snoozed,
)
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.job_log import JobLog
from hammerflow.worker.supervisor.round_results import HeldJob, RoundResults
from tests.worker.kit import claimed

_FAILURE = Failure("failed", "ValueError", "no", "")


def _write(*ends: tuple[Claimed, Outcome], level: int = logging.DEBUG) -> None:
    job_log = JobLog(level, {name_id("default"): "default"})
    results = RoundResults(logs_all=job_log.is_complete)
    for job, outcome in ends:
        results.add(HeldJob(7, job), outcome, 4711, 0.25)
    job_log.write(results.to_log, TaskCatalog([]))


@pytest.mark.parametrize(
    ("outcome", "level", "line"),
    [
        (Completed(b""), "DEBUG", "job completed"),
        (Settled(stale=False), "DEBUG", "job completed"),
        (Settled(stale=True), "DEBUG", "job ended, but its lease had been taken over"),
        (Failed(_FAILURE), "WARNING", "job failed"),
        (Retrying(2.0, _FAILURE), "WARNING", "job failed, next attempt in 2.0 s"),
        (Lost(_FAILURE), "WARNING", "child died while it ran this job"),
        (Lost(_FAILURE, None), "WARNING", "child died while it ran this job"),
        (Parked("unknown_task", _FAILURE), "WARNING", "job is parked (unknown_task)"),
        (Snoozed(5.0), "DEBUG", "job is snoozed for 5.0 s"),
        (Cancelled("enough"), "DEBUG", "job cancelled"),
        (Released(), "DEBUG", "job released"),
    ],
)
def test_each_end_is_one_line(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, level: str, line: str
) -> None:
    caplog.set_level(logging.DEBUG, "hammerflow.jobs")

    _write((claimed(), outcome))

    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [(level, line)]


def test_a_line_has_the_facts_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "hammerflow.jobs")
    job = claimed(attempt=2)

    _write((job, Failed(_FAILURE)))

    assert vars(caplog.records[0])["facts"] == {
        "job": uuid.UUID(bytes=job.id),
        "task": str(name_id("task")),  # this catalog does not know it
        "queue": "default",
        "attempt": 2,
        "outcome": "failed",
        "duration": 0.25,
        "child": 4711,
        "kind": "failed",
        "error": "ValueError: no",
    }


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Settled(stale=False), "completed"),
        (Settled(stale=True), "settled"),
        (Snoozed(0.0), "snoozed"),
    ],
)
def test_a_job_that_its_child_has_settled_is_completed(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, name: str
) -> None:
    caplog.set_level(logging.DEBUG, "hammerflow.jobs")

    _write((claimed(), outcome))

    assert vars(caplog.records[0])["facts"]["outcome"] == name


@pytest.mark.parametrize(("level", "count"), [(logging.DEBUG, 1), (logging.INFO, 2)])
def test_at_info_only_failures_have_lines_unless_all_jobs_are_logged(
    caplog: pytest.LogCaptureFixture, level: int, count: int
) -> None:
    caplog.set_level(logging.INFO, "hammerflow.jobs")

    _write((claimed(), Completed(b"")), (claimed(), Failed(_FAILURE)), level=level)

    assert len(caplog.records) == count
