"""Pace: what passes at once and what is left to the window's end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hammerflow.notifiers.debounce import BURST, WINDOW, Debouncer


def test_a_few_pass_at_once() -> None:
    pace = Debouncer()

    assert all(pace.passes(0.0) for _ in range(BURST))
    assert not pace.passes(0.0)


def test_of_a_crowd_one_per_window_passes_until_it_has_gone() -> None:
    pace = Debouncer()
    for _ in range(BURST + 1):
        pace.passes(0.0)

    crowd = [pace.passes(0.011) for _ in range(BURST + 1)]
    calmer = [pace.passes(0.022) for _ in range(2)]
    few = [pace.passes(0.033) for _ in range(2)]

    assert crowd == [True] + [False] * BURST
    assert calmer == [True, False]
    assert few == [True, True]


def test_with_a_burst_of_none_nothing_passes() -> None:
    pace = Debouncer(burst=0)

    assert not any(pace.passes(n * 0.001) for n in range(100))


def test_one_who_waits_for_each_before_the_next_is_never_held_up() -> None:
    pace = Debouncer()

    assert all(pace.passes(n * 0.0015) for n in range(5_000))


@given(st.lists(st.floats(0, 0.02), min_size=1, max_size=200))
def test_never_more_than_a_burst_in_a_window(gaps: list[float]) -> None:
    pace, now, passed = Debouncer(), 0.0, []
    for gap in gaps:
        now += gap
        if pace.passes(now):
            passed.append(now)

    for begin in passed:
        assert sum(begin <= at < begin + WINDOW for at in passed) <= 2 * BURST


@given(st.floats(0, 1e6), st.floats(0, 1))
def test_a_rest_is_never_longer_than_a_window(now: float, later: float) -> None:
    pace = Debouncer()
    pace.passes(now)

    assert 0 <= pace.remaining(now + later) <= WINDOW * 1.001
