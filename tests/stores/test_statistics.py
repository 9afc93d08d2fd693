"""Statistics: each figure is what the tables say of its time, whoever counted it, and when."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from hammerflow.jobs.histogram import BOUNDS, Histogram, bucket_of, bucket_sql
from hammerflow.jobs.outcome import Cancelled, Completed, Failed, Operation, Retrying, Snoozed
from hammerflow.services.statistician import Statistician
from hammerflow.stores.statistics.statistics import DAY, HOUR, KEPT, MINUTE, Window
from tests.proof import recount
from tests.stores.kit import BAD, Desk, desk_at, failed, spawned

OPERATION = Operation("handler", None, None, 3, 0.0)


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


def begin(desk: Desk, minutes: int) -> int:
    """Let the counting have begun so long ago; when that was."""
    start = int(desk.store.clock() // MINUTE - minutes) * MINUTE
    desk.store.database.run("statistics_begin", begin=start)
    return start


def move(desk: Desk, end: float, *ids: bytes) -> None:
    """Let jobs have ended ``end`` seconds ago."""
    where = ", ".join(desk.id(id_) for id_ in ids)
    desk.sql(
        f"UPDATE {{done}} SET started_at = {desk.shift('started_at', end)},"
        f" finished_at = {desk.shift('finished_at', end)} WHERE job_id IN ({where})"
    )


def count_all(desk: Desk) -> int:
    count = 0
    while desk.store.statistics.count_next():
        count += 1
    return count


def totals(desk: Desk, hours: float = 24.0) -> Counter[str]:
    found: Counter[str] = Counter()
    window = Window.last(hours * HOUR, desk.store.clock())
    for counts in desk.store.statistics.read(window):
        found[counts.state] += counts.jobs
    return found


def test_each_end_counts_once_in_its_minute(desk: Desk) -> None:
    begin(desk, 30)
    one, two, three = desk.run(desk.job(), desk.job(), desk.job())
    desk.end(one)
    desk.settle((two, failed()))
    desk.settle((three, Cancelled("no need")))
    move(desk, 600, one.id)
    move(desk, 300, two.id, three.id)

    count_all(desk)
    found = desk.store.statistics.read(Window.last(HOUR, desk.store.clock()))
    ends = {
        (one.state, one.jobs, int(desk.store.clock() - one.begin.timestamp()) // 60)
        for one in found
    }

    assert {(state, jobs) for state, jobs, _ in ends} >= {
        ("completed", 1), ("failed", 1), ("cancelled", 1),
    }  # fmt: skip
    assert {ago for state, _, ago in ends if state == "completed"} <= {10, 11}
    assert {ago for state, _, ago in ends if state == "failed"} <= {5, 6}


def test_an_end_that_commits_late_is_counted_for_good(desk: Desk) -> None:
    begin(desk, 10)
    count_all(desk)
    (job,) = desk.run(desk.job())
    desk.end(job)
    move(desk, 250, job.id)  # as if it committed after its minute was counted
    assert totals(desk)["completed"] == 0

    desk.sql("UPDATE {statistics_progress} SET final_to = final_to - 120")
    count_all(desk)

    assert totals(desk)["completed"] == 1


def test_a_minute_that_is_counted_again_gives_the_same(desk: Desk) -> None:
    start = begin(desk, 10)
    for job in desk.run(*[desk.job() for _ in range(5)]):
        desk.end(job)
        move(desk, 300, job.id)
    count_all(desk)
    first = totals(desk)

    desk.sql(f"UPDATE {{statistics_progress}} SET final_to = {start}, counted_to = {start}")
    count_all(desk)

    assert totals(desk) == first
    assert first["completed"] == 5


def test_minutes_are_folded_to_hours_and_days(desk: Desk) -> None:
    begin(desk, 60 * 49)
    for ago in (600, 30 * HOUR):
        (job,) = desk.run(desk.job())
        desk.end(job)
        move(desk, ago, job.id)
    count_all(desk)

    statistics, now = desk.store.statistics, desk.store.clock()
    spans = {
        span: statistics.read(Window.last(48 * HOUR, now)._replace(span=span)) for span in (HOUR,)
    }
    hours = [one for one in spans[HOUR] if one.state == "completed"]
    days = statistics.read(Window.last(30 * DAY, now))

    assert sum(one.jobs for one in hours) == 2
    assert all(one.begin.minute == 0 for one in hours)
    assert sum(one.jobs for one in days if one.state == "completed") == 2
    assert all(one.begin.hour == 0 for one in days)


def test_figures_go_when_they_are_old(desk: Desk) -> None:
    # The hour that has just ended may not be counted yet.
    old = int(desk.store.clock() // HOUR) * HOUR - KEPT[MINUTE] - 2 * HOUR
    rows = [(span, old, 1, 1, 4, 9, 0.0, 0.0, b"", b"") for span in (MINUTE, -MINUTE, -MINUTE - 1)]
    desk.store.database.unit(lambda tx: tx.many("statistics_insert", rows))
    begin(desk, 120)
    count_all(desk)

    assert desk.count("statistics") == 0


def test_sums_are_those_of_the_figures(desk: Desk) -> None:
    begin(desk, 60 * 3)
    for queue, ago in (("mail", 300), ("mail", 7_000), ("other", 300)):
        (job,) = desk.run(desk.job(queue=queue))
        desk.end(job)
        move(desk, ago, job.id)
    count_all(desk)

    statistics, window = desk.store.statistics, Window.last(3 * HOUR, desk.store.clock())
    task = next(one.task for one in statistics.read(window))
    for found, jobs in (
        (statistics.summed(window), 3),
        (statistics.summed(window, task=task), 3),
        (statistics.summed(window, task="nowhere"), 0),
        (statistics.summed(window, queue="mail"), 2),
        (statistics.summed(window, task=task, queue="other"), 1),
        (statistics.task_totals(window), 3),
        (statistics.task_totals(window, queue="mail"), 2),
        (statistics.queue_totals(window), 3),
        (statistics.queue_totals(window, task="nowhere"), 0),
        (statistics.queue_totals(window, queues=["mail", "nowhere"]), 2),
        (statistics.queue_totals(window, task=task, queues=["other"]), 1),
        (statistics.queue_totals(window, queues=[]), 0),
    ):
        assert sum(one.jobs for one in found if one.state == "completed") == jobs
        assert sum(one.runs.total for one in found) == jobs
    assert {one.task for one in statistics.summed(window)} == {""}
    assert {one.queue for one in statistics.queue_totals(window)} == {"mail", "other"}
    hours = statistics.summed(Window(window.begin, window.end, HOUR))
    assert sum(one.jobs for one in hours if one.state == "completed") == 3


def test_waits_are_of_jobs_that_were_ready_at_once(desk: Desk) -> None:
    begin(desk, 10)
    plain, again, snoozed = desk.run(desk.job(), desk.job(), desk.job())
    desk.put(desk.job(delay=0.001))
    desk.settle((plain, Completed(None)), (again, Retrying(0, BAD)), (snoozed, Snoozed(0.001)))
    time.sleep(0.002)
    desk.store.jobs.promote()
    rest = desk.claim()
    desk.end(*rest)
    move(desk, 300, plain.id, *(job.id for job in rest))
    count_all(desk)

    window = Window.last(HOUR, desk.store.clock())
    found = [one for one in desk.store.statistics.read(window) if one.state == "completed"]
    assert sum(one.runs.total for one in found) == 4
    assert sum(one.waits.total for one in found) == 1


def test_runs_of_spawners_are_counted_once_and_outlive_their_rows(desk: Desk) -> None:
    begin(desk, 60 * 30)
    for ago in (30, 600, 5 * HOUR, 25 * HOUR):
        for ended in (spawned, failed):
            (job,) = desk.run(desk.job(queue=f"q{ago}"))
            children = [desk.child(job, i) for i in range(3)]
            desk.settle((job, spawned(*children) if ended is spawned else Failed(BAD, OPERATION)))
            shifted = desk.shift("ended_at", ago)
            started = desk.shift("started_at", ago)
            desk.sql(
                f"UPDATE {{spawns}} SET ended_at = {shifted}, started_at = {started}"
                f" WHERE parent_id = {desk.id(job.id)}"
            )
    count_all(desk)

    def read(hours: float, **only: str) -> list[tuple[str, int, int, int]]:
        found, is_cut = desk.store.spawns.stats(since=timedelta(hours=hours), **only)
        assert not is_cut
        return [(str(one.queue), one.operations, one.failures, one.children) for one in found]

    each = {ago: (f"q{ago}", 2, 1, 3) for ago in (30, 600, 5 * HOUR, 25 * HOUR)}
    assert read(48) == sorted(each.values())
    assert read(24) == sorted(each[ago] for ago in (30, 600, 5 * HOUR))
    assert read(0.1) == [each[30]]
    assert read(48, queue="q600") == [each[600]]
    desk.sql("DELETE FROM {spawns}")
    assert read(48) == sorted(each[ago] for ago in (600, 5 * HOUR, 25 * HOUR))


def test_one_worker_counts_at_a_time(desk: Desk) -> None:
    begin(desk, 5)
    statistics = desk.store.statistics

    assert [statistics.take_turn(60.0), statistics.take_turn(60.0)] == [True, False]


def test_a_service_counts_what_is_over(desk: Desk) -> None:
    service = Statistician(desk.store)
    service.tick(0.0)  # it begins
    desk.sql(
        "UPDATE {statistics_progress} SET counted_to = counted_to - 600, final_to = final_to - 600"
    )
    (job,) = desk.run(desk.job())
    desk.end(job)
    move(desk, 300, job.id)

    pause = service.tick(0.0)

    assert 0 < pause <= MINUTE + 5
    assert totals(desk)["completed"] == 1


def test_ended_jobs_stay_until_they_are_counted(desk: Desk) -> None:
    begin(desk, 3)
    assert 120 <= desk.store.statistics.uncounted_for() <= 300
    desk.sql("UPDATE {statistics_progress} SET final_to = final_to - 86400")  # nobody counts

    assert desk.store.statistics.uncounted_for() == 0.0


def test_the_database_finds_the_bucket_that_python_finds(desk: Desk) -> None:
    column = {"postgres": "CAST({0} AS float8)", "mysql": "{0}", "sqlite": "{0}"}[desk.kind]
    for seconds in (0.0, 1e-9, BOUNDS[0], 0.005, 0.0051, 1.0, 5242.0, 5243.0, 1e6):
        number = column.format(f"{seconds!r}" if "e" in repr(seconds) else f"{seconds!r}e0")
        assert desk.sql(f"SELECT {bucket_sql(number)}") == [(bucket_of(seconds),)]


def _shapes(chance: random.Random) -> Iterator[list[float]]:
    """Durations of many kinds: spread, alike, at the bounds of buckets, and in two lumps."""
    for bound in BOUNDS[8:80:9]:
        yield [bound] * 50
        yield [math.nextafter(bound, math.inf)] * 50
    for spread in (0.1, 0.5, 2.0):
        yield [math.exp(chance.gauss(-2, spread)) for _ in range(3_000)]
    yield [chance.choice((0.001, 60.0)) for _ in range(1_001)]
    yield [chance.uniform(0.5, 1.5) for _ in range(1_000)]


def test_percentiles_are_exact_to_the_error_that_is_stated() -> None:
    chance = random.Random(1)
    for durations in _shapes(chance):
        parts = [Histogram() for _ in range(7)]
        for seconds in durations:
            chance.choice(parts).add(bucket_of(seconds), 1, seconds)
        merged = Histogram()
        for part in parts:
            merged.merge(Histogram.unpack(part.pack(), part.seconds))
        exact = sorted(seconds for seconds in durations if seconds >= BOUNDS[0])
        assert len(exact) > len(durations) * 0.98
        for percent in (5, 25, 50, 95, 99):
            true = sorted(durations)[math.ceil(len(durations) * percent / 100) - 1]
            said = merged.percentile(percent)
            assert said is not None
            assert 1 / 1.091 <= said / true <= 1.091 or true < BOUNDS[0]


def test_figures_equal_a_recount_after_kills(migrated_url: str) -> None:
    """A share of ``python -m tests.proof.recount``."""
    said = recount.run(migrated_url, jobs=60, workers=1, counters=2, seed=5)
    assert "1 workers killed" in said and "2 counters killed" in said
