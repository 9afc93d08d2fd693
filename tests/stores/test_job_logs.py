"""Logs of attempts: written by the settle that ends the attempt, or not at all."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.log_lines import KeptLine, LineBuffer
from hammerflow.jobs.outcome import Completed, Outcome, Released, Retrying, Snoozed
from hammerflow.stores.rows import JobLogRow
from tests.stores.kit import BAD, Desk, failed, spawned

DONE = Completed(b"M\x01")


def log(job: Claimed, *texts: str) -> JobLogRow:
    """The row of a job that has logged these."""
    buffer = LineBuffer(100)
    for text in texts:
        buffer.add(KeptLine.of(1_700_000_000.0, logging.INFO, "shop", text))
    return JobLogRow.of(job.id, job.lease, job.attempt, buffer)


def _method(function: Any, *given: Any) -> Any:
    return lambda tx, *args, **values: function(*given, tx, *args, **values)


def read(desk: Desk, job: Claimed, attempt: int | None = None) -> list[tuple[int, list[str]]]:
    """(attempt, texts) of what is kept of a job."""
    found = desk.store.job_logs.get(job.id, attempt)
    return [(one.attempt, [line.message for line in one.lines]) for one in found]


def test_each_attempt_has_its_log(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    outcomes: list[Outcome] = [Retrying(0, BAD), Snoozed(0), Released(), failed()]
    for number, outcome in enumerate(outcomes):
        row = log(job, f"{number}a", f"{number}b\0")
        desk.store.jobs.settle(1, [(job, outcome)], logs=[row])
        desk.store.jobs.promote()
        job = next(iter(desk.claim()), job)
    expected = [(1, 0), (2, 1), (2, 2), (2, 3)]
    assert read(desk, job) == [(n, [f"{at}a", f"{at}b\\0"]) for n, at in expected]
    assert read(desk, job, 1) == [(1, ["0a", "0b\\0"])] and read(desk, job, 3) == []
    sizes = desk.store.job_logs.sizes(job.id)
    assert [size[:3] for size in sizes] == [(1, 1, 2), (2, 2, 2), (2, 3, 2), (2, 4, 2)]


@pytest.mark.parametrize("outcome", [DONE, failed(), spawned()])
def test_a_lease_taken_over_writes_no_log(desk: Desk, outcome: Completed) -> None:
    old, other = desk.run(desk.job(), desk.job())
    desk.settle((old, Released()))
    (new,) = desk.claim(worker=2)
    rows = [log(old, "zombie"), log(other, "mine")]
    desk.store.jobs.settle(1, [(old, outcome), (other, DONE)], logs=rows)
    assert read(desk, old) == [] and read(desk, other) == [(1, ["mine"])]
    desk.store.jobs.settle(2, [(new, outcome)], logs=[log(new, "holder")])
    desk.store.jobs.settle(2, [(new, outcome)], logs=[log(new, "twice")])
    assert read(desk, old) == [(1, ["holder"])]


def test_a_settle_in_a_transaction_takes_its_log_along(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    with pytest.raises(KeyError), desk.store.transaction() as tx:
        desk.store.jobs.settle(1, [(job, DONE)], tx, logs=[log(job, "undone")])
        raise KeyError
    assert read(desk, job) == []
    with desk.store.transaction() as tx:
        desk.store.jobs.settle(1, [(job, DONE)], tx, logs=[log(job, "done")])
    assert read(desk, job) == [(1, ["done"])]


def test_a_spawner_that_streams_takes_its_log_along(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    kids = desk.family(job, 3)
    desk.store.jobs.settle_stream(1, job, spawned(), lambda: [kids], [log(job, "spawns")])
    assert read(desk, job) == [(1, ["spawns"])]


def test_who_logs_nothing_pays_nothing_and_a_batch_of_logs_is_one_statement(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = desk.run(*(desk.job() for _ in range(40)))
    counts: Counter[str] = Counter()
    kind: Any = desk.store.database.unit(type)

    def counted(original: Any, tx: Any, statement: str, *args: Any, **values: Any) -> Any:
        counts[statement] += 1
        return original(tx, statement, *args, **values)

    for name in ("rows", "run", "many"):
        monkeypatch.setattr(kind, name, _method(counted, getattr(kind, name)))
    desk.settle(*((job, failed()) for job in jobs[:20]))
    quiet = counts.copy()
    counts.clear()
    rows = [log(job, "one") for job in jobs[20:]]
    desk.store.jobs.settle(1, [(job, failed()) for job in jobs[20:]], logs=rows)
    assert counts - quiet == {"job_logs_insert": 1} and "job_logs_insert" not in quiet
    assert not quiet - counts


def test_a_row_that_something_else_has_written_is_left_out(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    (job,) = desk.run(desk.job())
    desk.store.jobs.settle(1, [(job, Retrying(0, BAD))], logs=[log(job, "good")])
    (job,) = desk.claim()
    desk.store.jobs.settle(1, [(job, DONE)], logs=[log(job, "bad")._replace(data=b"{}")])
    assert read(desk, job) == [(1, ["good"])]
    assert "left out a log of job" in caplog.text
