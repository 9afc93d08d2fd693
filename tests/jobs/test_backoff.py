"""Backoffs: their bounds, their shape, and their way through JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.errors import ConfigError
from hammerflow.jobs.backoff import Backoff, constant, exponential, fibonacci, linear

SECONDS = st.floats(0, 1e9) | st.integers(0, 10**9)
JITTERS = st.floats(0, 1)
ATTEMPTS = st.integers(-5, 10**6)
CHANCES = st.floats(0, 1, exclude_max=True)
BACKOFFS = st.one_of(
    st.builds(constant, st.floats(0, 4e8), jitter=JITTERS),
    st.builds(linear, SECONDS, step=st.none() | SECONDS, max=SECONDS, jitter=JITTERS),
    st.builds(exponential, SECONDS, factor=SECONDS, max=SECONDS, jitter=JITTERS),
    st.builds(fibonacci, SECONDS, max=SECONDS, jitter=JITTERS),
)


@given(backoff=BACKOFFS, attempt=ATTEMPTS, chance=CHANCES)
def test_a_delay_stays_within_its_bounds(backoff: Backoff, attempt: int, chance: float) -> None:
    delay = backoff.seconds(attempt, chance)
    middle = backoff.seconds(attempt)
    assert 0 <= delay <= backoff.max
    assert middle * (1 - backoff.jitter) * 0.999999 <= delay
    assert delay <= middle * (1 + backoff.jitter) * 1.000001 + 5e-324


@given(first=SECONDS, factor=st.floats(1, 100), attempt=st.integers(1, 2000))
def test_delays_do_not_shrink(first: float, factor: float, attempt: int) -> None:
    for backoff in (
        constant(first),
        linear(first),
        exponential(first, factor=factor, jitter=0),
        fibonacci(first, jitter=0),
    ):
        assert backoff.seconds(attempt) <= backoff.seconds(attempt + 1)


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (constant(7), [7, 7, 7, 7, 7, 7]),
        (constant(timedelta(minutes=1)), [60, 60, 60]),
        (linear(2), [2, 4, 6, 8]),
        (linear(2, step=timedelta(seconds=3), max=10), [2, 5, 8, 10, 10]),
        (linear(5, step=0), [5, 5]),
        (exponential(jitter=0), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        (exponential(0.5, factor=3, max=timedelta(seconds=4), jitter=0), [0.5, 1.5, 4, 4]),
        (exponential(0, factor=1e9, jitter=0), [0, 0]),
        (fibonacci(jitter=0), [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 300]),
    ],
)
def test_each_rule_has_its_shape(backoff: Backoff, delays: list[float]) -> None:
    assert [backoff.seconds(n) for n in range(1, len(delays) + 1)] == delays


def test_late_attempts_neither_overflow_nor_take_long() -> None:
    for backoff in (exponential(1e9, factor=1e9), fibonacci(1e9), linear(1e9), exponential()):
        assert backoff.seconds(10**9) == backoff.max
    assert exponential(0, factor=1e9).seconds(10**9) == 0


def test_jitter_spreads_on_both_sides() -> None:
    backoff = constant(10, jitter=0.2)
    assert (backoff.seconds(1, 0), backoff.seconds(1, 0.5)) == (8, 10)
    assert backoff.seconds(1, 0.999999) == pytest.approx(12)


@given(backoff=BACKOFFS)
def test_a_backoff_goes_round_through_json(backoff: Backoff) -> None:
    assert Backoff.from_dict(json.loads(json.dumps(backoff.to_dict()))) == backoff


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": -1},
        {"first": float("nan")},
        {"first": float("inf")},
        {"first": 10**400},
        {"first": "1"},
        {"first": True},
        {"first": None},
        {"factor": -1},
        {"max": float("inf")},
        {"max": -1},
        {"jitter": 1.1},
        {"jitter": -0.1},
        {"kind": "random"},
    ],
)
def test_a_wrong_backoff_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="backoff"):
        Backoff(**{"kind": "exponential", "first": 1.0, "factor": 2.0, **wrong})
