"""Logs of attempts: written by the settle that ends the attempt, or not at all."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest

from hammerflow.admin.log_follow import LogFollower, LogPosition, lines_behind
from hammerflow.jobs.job import Claimed, JobState
from hammerflow.jobs.log_lines import KeptLine, LineBuffer
from hammerflow.jobs.outcome import Completed, Outcome, Parked, Released, Retrying, Snoozed
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


def written(desk: Desk, *rows: JobLogRow, worker: int = 1) -> set[bytes]:
    """Ids of the jobs whose lines were written while they run."""
    return desk.store.job_logs.write_running(worker, rows, patience=1.0)


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
    assert counts - quiet == {"job_logs_put": 1} and "job_logs_put" not in quiet
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


def test_what_a_running_attempt_has_logged_is_replaced_by_its_end(desk: Desk) -> None:
    kept, dropped, lost, waits = desk.run(*(desk.job() for _ in range(4)))
    jobs = (kept, dropped, lost)
    for text in ("first", "second"):
        rows = [log(job, text) for job in jobs]
        assert written(desk, *rows) == {job.id for job in jobs}
    assert [read(desk, job) for job in (*jobs, waits)] == [[(1, ["second"])]] * 3 + [[]]

    nothing = JobLogRow.nothing(dropped.id, dropped.lease, dropped.attempt)
    ends = [(kept, DONE), (dropped, DONE), (lost, Released()), (waits, DONE)]
    desk.store.jobs.settle(1, ends, logs=[log(kept, "all"), nothing])
    found = [read(desk, job) for job in (*jobs, waits)]
    assert found == [[(1, ["all"])], [], [(1, ["second"])], []]


def test_only_who_holds_the_lease_writes_the_lines_of_a_running_attempt(desk: Desk) -> None:
    ended, taken_over = desk.run(desk.job(), desk.job())
    desk.store.jobs.settle(1, [(ended, DONE)], logs=[log(ended, "end")])
    desk.settle((taken_over, Released()))
    (again,) = desk.claim(worker=2)
    rows = log(ended, "late"), log(taken_over, "zombie")
    assert written(desk, *rows) == set()
    assert written(desk, log(again, "other"), worker=1) == set()
    desk.settle((again, Released()), worker=2)
    (mine,) = desk.claim()
    assert written(desk, log(taken_over, "old lease")) == set()
    assert written(desk, log(mine, "mine")) == {mine.id}
    assert read(desk, ended) == [(1, ["end"])]
    assert [texts for _, texts in read(desk, mine)] == [["mine"]]


def test_an_end_under_way_writes_the_last_lines(desk: Desk) -> None:
    if desk.store.database.dialect.one_writer:
        pytest.skip("transactions of SQLite come one after another")
    (job,) = desk.run(desk.job())
    with desk.store.transaction() as tx:
        desk.store.jobs.settle(1, [(job, DONE)], tx, logs=[log(job, "all")])
        assert written(desk, log(job, "some")) == set()
    assert read(desk, job) == [(1, ["all"])]


def test_a_follower_reads_each_line_once(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    follower, buffer = LogFollower(desk.store, job.id), LineBuffer(8)
    told: list[tuple[bool, int, list[str]]] = []
    for count in (1, 1, 4, 10, 0, 30):
        for _ in range(count):
            number = len(buffer) + buffer.dropped
            buffer.add(KeptLine.of(1_700_000_000.0, logging.INFO, "shop", str(number)))
        written(desk, JobLogRow.of(job.id, job.lease, job.attempt, buffer))
        told += [
            (new.is_first, new.missed, [line.message for line in new.lines])
            for new in follower.read()
        ]
    assert told == [
        (True, 0, ["0"]), (False, 0, ["1"]), (False, 0, ["2", "3", "4", "5"]),
        (False, 4, ["10", "11", "12", "13", "14", "15"]),
        (False, 24, ["40", "41", "42", "43", "44", "45"]),
    ]  # fmt: skip
    assert [*LogFollower(desk.store, job.id, 2).read()] == []


def test_a_log_goes_on_behind_any_line_of_it(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    for outcome in (Released(), DONE):
        buffer = LineBuffer(240)
        for number in range(300):
            buffer.add(KeptLine.of(1_700_000_000.0, logging.INFO, "shop", str(number)))
        row = JobLogRow.of(job.id, job.lease, job.attempt, buffer)
        desk.store.jobs.settle(1, [(job, outcome)], logs=[row])
        job = next(iter(desk.claim()), job)
    logs = desk.store.job_logs.get(job.id)

    def told(after: LogPosition) -> list[tuple[int, int, list[int]]]:
        news = [*lines_behind(logs, after)]
        assert all(len(new.lines) <= 100 for new in news)
        return [(new.lease, new.missed, [int(line.message) for line in new.lines]) for new in news]

    whole = told(LogPosition(0, 0))
    first = [*range(60)], [*range(120, 220)], [*range(220, 300)]
    assert whole == [
        (n, missed, lines) for n in (1, 2) for missed, lines in zip((0, 60, 0), first, strict=True)
    ]
    behind = [new.position for new in lines_behind(logs, LogPosition(0, 0))]
    for place, position in enumerate(behind):
        assert told(LogPosition.of(str(position))) == whole[place + 1 :]
    assert told(LogPosition(2, 90)) == [(2, 30, first[1]), (2, 0, first[2])]
    assert [one.lease for one in desk.store.job_logs.get(job.id, since=2)] == [2]


def test_the_end_of_a_log_tells_that_all_of_it_is_there(desk: Desk) -> None:
    waits, runs, done, parked = desk.run(*(desk.job() for _ in range(4)))
    written(desk, log(runs, "a", "b"))
    desk.store.jobs.settle(1, [(done, Released()), (parked, Parked("poison", BAD))],
                           logs=[log(done, "a", "b", "c")])  # fmt: skip
    (again,) = desk.claim()
    desk.store.jobs.settle(1, [(again, failed())], logs=[log(again, "a")])
    ends = desk.store.job_logs.ends([job.id for job in (waits, runs, done, parked)] + [bytes(16)])
    assert ends == {
        waits.id: (None, None, 0), runs.id: (None, 1, 2), done.id: (JobState.FAILED, 2, 1),
        parked.id: (JobState.PARKED, None, 0),
    }  # fmt: skip
