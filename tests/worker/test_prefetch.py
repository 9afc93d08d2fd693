"""How many jobs are handed out and claimed at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hammerflow.ids import name_id
from hammerflow.worker.supervisor.prefetch import CHUNK_JOBS, CHUNK_SECONDS, CLAIM_JOBS, Prefetch
from tests.worker.kit import claimed


def test_a_task_never_seen_is_handed_out_singly() -> None:
    prefetch = Prefetch()
    prefetch.observe({name_id("known"): [1000, 0.01]})

    jobs = [claimed("new") for _ in range(10)]

    assert prefetch.chunk(jobs, share=10) == 1
    assert prefetch.chunk([claimed("known"), *jobs], share=10) == 1
    assert not prefetch.is_tiny(jobs)


def test_tiny_jobs_go_out_by_the_hundred_and_long_ones_singly() -> None:
    prefetch = Prefetch()
    prefetch.observe({name_id("tiny"): [1000, 0.01], name_id("long"): [3, 3.0]})

    tiny = [claimed("tiny") for _ in range(2000)]
    long = [claimed("long") for _ in range(10)]

    assert prefetch.chunk(tiny, share=1000) == CHUNK_JOBS
    assert prefetch.chunk(long, share=5) == 1
    assert prefetch.chunk([*tiny[:5], *long], share=10) == 5
    assert prefetch.is_tiny(tiny)
    assert not prefetch.is_tiny([*tiny, long[0]])


def test_jobs_of_some_milliseconds_are_shared_among_free_children() -> None:
    prefetch = Prefetch()
    prefetch.observe({name_id("middle"): [100, 0.3]})

    jobs = [claimed("middle") for _ in range(4)]

    assert prefetch.chunk(jobs, share=2) == 2


def test_big_arguments_make_small_chunks() -> None:
    prefetch = Prefetch()
    prefetch.observe({name_id("big"): [1000, 0.001]})

    jobs = [claimed("big", "x" * 400_000) for _ in range(100)]

    assert prefetch.chunk(jobs, share=100) == 2


def test_a_task_that_becomes_slow_is_known_as_slow_soon() -> None:
    prefetch = Prefetch()
    prefetch.observe({name_id("task"): [100_000, 1.0]})

    for _ in range(3):
        prefetch.observe({name_id("task"): [1, 1.0]})

    assert prefetch.chunk([claimed("task") for _ in range(100)], share=100) == 1


def test_room_is_one_job_per_idle_child_until_something_is_known() -> None:
    assert Prefetch().room(children=4, idle=3, held=1, backlog=0) == 3
    assert Prefetch().room(children=4, idle=3, held=2, backlog=1) == 2
    assert Prefetch().room(children=4, idle=0, held=4, backlog=0) == 0


@given(
    children=st.integers(0, 64),
    idle=st.integers(0, 64),
    held=st.integers(0, 5000),
    mean=st.floats(1e-7, 1e5),
)
def test_room_is_bounded(children: int, idle: int, held: int, mean: float) -> None:
    prefetch = Prefetch()
    prefetch.observe({1: [1, mean]})

    idle = min(idle, children)
    held += children - idle  # each child at work holds a job

    room = prefetch.room(children=children, idle=idle, held=held, backlog=0)

    assert 0 <= room <= CLAIM_JOBS
    if mean > 1:
        assert room <= idle, "long jobs are not claimed ahead"


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=600), st.integers(1, 600))
def test_a_chunk_has_at_least_one_job_and_at_most_its_time(names: list[str], share: int) -> None:
    prefetch = Prefetch()
    times = {"a": 0.00001, "b": 0.001, "c": 0.1}
    prefetch.observe({name_id(name): [1, seconds] for name, seconds in times.items()})

    count = prefetch.chunk([claimed(name) for name in names], share)

    assert 1 <= count <= min(len(names), CHUNK_JOBS)
    if count > 1:
        assert sum(times[name] for name in names[:count]) <= CHUNK_SECONDS * 1.0001
