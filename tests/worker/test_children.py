"""A real child at the end of real pipes: jobs, tokens, and what is known after its death."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hammerflow import Hammerflow
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Completed, Failed, Parked, Retrying
from hammerflow.worker.child.base import ChildLimits
from tests.support.waiting import until
from tests.worker.kit import Bench, claimed


@pytest.fixture
def app(sqlite_url: str) -> Hammerflow:
    app = Hammerflow("bench", database=sqlite_url, doorbell="none")

    @app.task(name="wait")
    def wait_for(path: str) -> str:
        while not Path(path).exists():
            time.sleep(0.002)
        return path

    @app.task(name="log")
    def write(path: str, word: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, word.encode() + b"\n")
        os.close(fd)

    @app.task(name="forks")
    def fork() -> str:
        return "child" if os.fork() == 0 else "parent"

    @app.task(name="bad", max_attempts=2)
    def fail() -> None:
        raise ValueError("no")

    return app


@pytest.fixture
def bench(app: Hammerflow) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(**options: int) -> Bench:
        benches.append(Bench(app, ChildLimits(**options)))
        return benches[-1]

    yield make
    for made in benches:
        made.close()


def test_jobs_run_in_order_and_each_end_is_told(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    child, path = bench(), str(tmp_path / "log")
    jobs = [claimed("log", path, str(i)) for i in range(100)]

    child.give(*jobs)
    child.listen_until(lambda: not child.handle.is_busy)

    assert child.ended == [job.id for job in jobs]
    assert Path(path).read_text().split() == [str(i) for i in range(100)]
    assert child.prefetch.is_tiny(jobs), "its run times were measured"


def test_what_was_taken_back_is_never_started(bench: Callable[..., Bench], tmp_path: Path) -> None:
    child, gate, path = bench(), tmp_path / "gate", str(tmp_path / "log")
    first = claimed("wait", str(gate))
    behind = [claimed("log", path, str(i)) for i in range(300)]
    next_chunk = [claimed("log", path, "next")]
    child.give(first, *behind)
    child.give(*next_chunk)
    until("the first has begun", lambda: child.handle.unstarted and len(_tokens_left(child)) == 301)

    taken = child.handle.take_back()
    assert not child.handle.is_free, "it has not noticed yet"
    gate.touch()
    child.listen_until(lambda: child.handle.is_free)

    assert [held.job for held in taken] == [*behind, *next_chunk]
    assert child.ended == [first.id]
    child.give(claimed("log", path, "later"))
    child.listen_until(lambda: not child.handle.is_busy)
    assert Path(path).read_text().split() == ["later"]


def _tokens_left(child: Bench) -> bytes:
    """The tokens in the pipe, taken and given back: only while the child is stuck."""
    tokens = child.channel.take_tokens()
    if tokens:
        child.channel.send(b"", tokens)
    return tokens


@pytest.mark.slow
def test_a_race_for_tokens_gives_each_job_to_one_side(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    child, path = bench(), str(tmp_path / "log")
    taken: Counter[bytes] = Counter()
    given: list[Claimed] = []
    for round_ in range(60):
        jobs = [claimed("log", path, f"{round_}-{i}") for i in range(40)]
        given += jobs
        child.give(*jobs[:25])
        child.give(*jobs[25:])
        for _ in range(round_ % 7 * 3):
            child.listen()
        taken.update(held.job.id for held in child.handle.take_back())
        child.listen_until(lambda: child.handle.is_free)

    ended = Counter(child.ended)

    assert ended + taken == Counter(job.id for job in given)
    assert len(Path(path).read_text().split()) == len(child.ended)
    assert taken
    assert ended


def test_after_a_death_it_is_known_what_ran_and_what_did_not(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    child, path = bench(), str(tmp_path / "log")
    done = [claimed("log", path, str(i)) for i in range(5)]
    stuck = claimed("wait", str(tmp_path / "never"))
    waiting = [claimed("log", path, "x") for _ in range(5)]
    child.give(*done, stuck, *waiting)
    child.listen_until(lambda: len(child.ended) == 5)
    until("it is stuck", lambda: len(_tokens_left(child)) == 5)

    os.kill(child.pid, signal.SIGKILL)
    child.listen_until(lambda: child.is_over)
    unstarted, ran = child.handle.take_back(), child.handle.held()

    assert child.ended == [job.id for job in done]
    assert [held.job for held in ran] == [stuck]
    assert [held.job for held in unstarted] == waiting


def test_a_frame_larger_than_a_pipe_does_not_block_the_sender(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    child, gate = bench(), tmp_path / "gate"
    path = str(tmp_path / "log")
    child.give(claimed("wait", str(gate)))
    child.give(*[claimed("log", path, "x" * 50_000) for _ in range(10)])

    assert child.channel.is_clogged
    gate.touch()
    child.listen_until(lambda: not child.handle.is_busy)
    assert len(child.ended) == 11


def test_a_spent_child_quits_and_leaves_the_rest(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    child, path = bench(max_jobs=3), str(tmp_path / "log")
    jobs = [claimed("log", path, str(i)) for i in range(10)]

    child.give(*jobs)
    child.listen_until(lambda: child.is_over)
    unstarted, ran = child.handle.take_back(), child.handle.held()

    assert child.handle.quit_reason == "3 jobs done"
    assert child.ended == [job.id for job in jobs[:3]]
    assert ran == []
    assert [held.job for held in unstarted] == jobs[3:]


def test_the_copy_that_a_body_forks_ends_no_job(bench: Callable[..., Bench]) -> None:
    child = bench()

    child.give(claimed("forks"), claimed("forks"))
    child.listen_until(lambda: not child.handle.is_busy)
    child.listen()

    outcomes = [outcome for _, outcome in child.results.ended[7]]
    assert outcomes == [Completed(b"M\xa6parent"), Completed(b"M\xa6parent")]


def test_rows_that_cannot_be_run_are_parked_and_harm_no_one(bench: Callable[..., Bench]) -> None:
    child = bench()
    hostile = [
        claimed("bad", args=b"Xnonsense"),
        claimed("bad", args=b""),
        claimed("bad", options="[" * 100_000),
        claimed("bad", options="not json"),
        claimed("bad", options='["timeout"]'),
        claimed("bad", options='{"timeout": "soon"}'),
        claimed("bad", options='{"backoff": {"kind": 1, "x": 2}}'),
        claimed("bad", options='{"spawn": {"max_spawn_count": -1}}'),
        claimed("nobody knows it"),
    ]

    child.give(*hostile, claimed("bad"), claimed("bad", attempt=2), claimed("bad", attempt=3))
    child.listen_until(lambda: not child.handle.is_busy)

    outcomes = [outcome for _, outcome in child.results.ended[7]]
    assert [type(outcome) for outcome in outcomes] == [Parked] * 9 + [Retrying, Failed, Failed]
    assert {o.why for o in outcomes if isinstance(o, Parked)} == {"undecodable", "unknown_task"}
    assert isinstance(outcomes[-1], Failed)
    assert outcomes[-1].failure.kind == "lost"
