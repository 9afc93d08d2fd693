"""What a worker counts, against what its database has written."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Completed, Outcome, Released, Retrying, Settled, Snoozed
from hammerflow.telemetry.families import OTHER, Readings
from hammerflow.telemetry.labels import JobLabels
from hammerflow.worker.supervisor.counters import WorkerCounters
from tests.stores.kit import BAD, Desk, desk_at, failed, lost

_DONE = Completed(b"M\x01")


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


class Counted:
    """A worker's counters, fed by what the database answers."""

    def __init__(self, desk: Desk, worker: int = 1) -> None:
        self._desk = desk
        self._worker = worker
        self.counters = WorkerCounters(task_of=lambda _: "t", queue_of=lambda _: "q")

    def run(self, *pairs: tuple[Claimed, Outcome], seconds: float = 0.01) -> None:
        self.counters.note_runs([(pairs, seconds)])
        self.settle(*pairs)

    def settle(self, *pairs: tuple[Claimed, Outcome]) -> None:
        settlement = self._desk.settle(*pairs, worker=self._worker)
        self.counters.note_settled(settlement, pairs, 0.001)

    def of(self, name: str) -> Counter[str]:
        """By the last label."""
        found = self.counters.readings()
        series = found.numbers.get(f"hammerflow_{name}", {})
        return Counter({labels[-1] if labels else "": int(n) for labels, n in series.items()})

    def durations(self, name: str) -> int:
        tallies = self.counters.readings().tallies[f"hammerflow_{name}"]
        return sum(sum(tally.counts) for tally in tallies.values())


def test_a_rescued_job_counts_once(desk: Desk) -> None:
    desk.register(1)
    desk.register(2)
    zombie, savior = Counted(desk, 1), Counted(desk, 2)
    (first,) = desk.run(desk.job())
    desk.sql(f"UPDATE {{workers}} SET beat_at = {desk.shift('beat_at', 600)} WHERE id = 1")
    desk.store.workers.sweep(lease=30.0, poison_limit=3)
    (second,) = desk.claim(worker=2)

    savior.run((second, _DONE))
    zombie.run((first, _DONE))

    ended = zombie.of("jobs_ended_total") + savior.of("jobs_ended_total")
    assert ended == {"completed": desk.count("done")} == {"completed": 1}
    assert zombie.of("attempts_total") + savior.of("attempts_total") == {"completed": 1}
    assert (zombie.durations("job_run_seconds"), savior.durations("job_run_seconds")) == (0, 1)
    assert zombie.of("stale_settles_total") == {"": 1}


def test_two_leases_of_one_job_in_one_batch_count_once(desk: Desk) -> None:
    desk.register(1)
    counted = Counted(desk)
    (first,) = desk.run(desk.job())
    desk.settle((first, Released()))
    (second,) = desk.claim()

    counted.run((first, _DONE), (second, _DONE))

    assert counted.of("jobs_ended_total") == {"completed": 1}
    assert not counted.counters._ran, "nothing is kept of what is settled"


def test_each_outcome_counts_as_the_database_took_it(desk: Desk) -> None:
    desk.register(1)
    counted = Counted(desk)
    jobs = desk.run(*[desk.job() for _ in range(8)])
    for job in jobs[6:]:
        desk.store.jobs.cancel(job.id, "no need")
    outcomes = [
        _DONE, failed(), Retrying(60.0, BAD), Snoozed(60.0), lost(None), lost(60.0), _DONE,
    ]  # fmt: skip
    counted.run(*zip(jobs, outcomes, strict=False))
    counted.settle((jobs[7], Released()))  # it was not started

    states = Counter(desk.states([job.id for job in jobs]))
    ended = counted.of("jobs_ended_total")
    assert ended == {state: states[state] for state in ("completed", "failed", "cancelled")}
    assert ended == {"completed": 1, "failed": 2, "cancelled": 2}
    assert counted.of("attempts_total") == {
        "completed": 1, "failed": 1, "retrying": 1, "snoozed": 1, "lost": 2, "cancelled": 1,
    }  # fmt: skip
    assert counted.durations("job_run_seconds") == 7


def test_waits_are_those_of_jobs_that_were_ready_at_once(desk: Desk) -> None:
    desk.register(1)
    counted = Counted(desk)
    first = desk.job()
    desk.put(first._replace(dependent_id=None), desk.job(delay=0.0))
    one, two = desk.claim()
    counted.run((one, _DONE), (two, _DONE))
    assert counted.durations("job_wait_seconds") == 1

    (again,) = desk.run(desk.job())
    counted.run((again, Retrying(0.0, BAD)))
    counted.run((desk.claim()[0], _DONE))
    assert counted.durations("job_wait_seconds") == 2
    assert counted.durations("job_run_seconds") == 4


def test_what_children_settle_counts(sqlite_url: str) -> None:
    job = Claimed(*[b"1" * 16, 1, 1, 1, 1, 2, b"", *[None] * 10, 0, False][:19])
    counters = WorkerCounters(task_of=lambda _: "t", queue_of=lambda _: "q")
    counters.note_settled_by_children([(job, Settled(False)), (job, Settled(True))])
    found = counters.readings().numbers
    assert found["hammerflow_jobs_ended_total"] == {("t", "q", "completed"): 1}
    assert found["hammerflow_stale_settles_total"] == {(): 1}


def test_labels_are_bounded() -> None:
    labels = JobLabels()
    first = [labels.of(n, 1, f"t{n}", "q") for n in range(250)]
    assert len(set(first)) == 201
    assert first[-1] == (OTHER, "q")
    assert [labels.of(n, 1, f"t{n}", "q") for n in range(250)] == first
    many = {
        labels.of(task, queue, f"t{task}", f"q{queue}")
        for task in range(300)
        for queue in range(300)
    }
    assert len(many | set(first)) <= 1_001


def test_the_most_used_tasks_get_the_labels_and_no_counter_runs_back() -> None:
    counters = WorkerCounters(task_of=lambda job: f"t{job.task_id}", queue_of=lambda id_: f"q{id_}")
    chance, before, ran = random.Random(5), dict[tuple[str, ...], float](), Counter[int]()
    weights = [1.0] * 250 + [50.0] * 30  # those that come last are used most
    order = [*range(280), *chance.choices(range(280), weights, k=15_000)]
    any_job = Claimed(*[b"1" * 16, 1, 1, 1, 1, 2, b"", *[None] * 10, 0, False][:19])
    for at, task in enumerate(order):
        job = any_job._replace(id=at.to_bytes(16), task_id=task)
        counters.note_settled_by_children([(job, Settled(False))])
        ran[task] += 1
        if at % 500 == 0:
            counters._follow_at = 0.0
            found = counters.readings().numbers["hammerflow_jobs_ended_total"]
            assert all(found[labels] >= before.get(labels, 0) for labels in found)
            assert len({task for task, *_ in found}) <= 201
            before |= found
    counters._follow_at = 0.0
    found = counters.readings().numbers["hammerflow_jobs_ended_total"]
    own = {task for task, *_ in found}
    assert {f"t{task}" for task, _ in ran.most_common(30)} <= own
    everything = sum({**before, **found}.values())
    assert everything == ran.total(), "each job is in one series"


def test_labels_stay_where_tasks_are_used_alike() -> None:
    labels = JobLabels()
    names = {(n, 1): (f"t{n}", "q") for n in range(300)}
    first = {pair: labels.of(*pair, *named) for pair, named in names.items()}
    assert not labels.follow({pair: 1_000 + 2 * pair[0] for pair in names}, names)
    assert not labels.follow({(n, 1): 99 if n == 299 else 1 for n in range(300)}, names)
    assert {pair: labels.of(*pair, *named) for pair, named in names.items()} == first
    assert labels.follow({(n, 1): 2_000 if n == 299 else 1_000 for n in range(300)}, names)
    assert labels.of(299, 1, "t299", "q") == ("t299", "q")
    lost = [n for n in range(200) if labels.of(n, 1, f"t{n}", "q")[0] == OTHER]
    assert len(lost) == 1


def test_equal_labels_are_added_up() -> None:
    found = Readings()
    found.set("hammerflow_jobs_running", 1, "q")
    found.set("hammerflow_jobs_running", 2, "q")
    assert found.numbers["hammerflow_jobs_running"] == {("q",): 3}
