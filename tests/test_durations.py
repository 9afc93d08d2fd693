"""Durations as users give them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.durations import parsed_seconds, seconds, seconds_or_none
from hammerflow.errors import ConfigError


@given(value=st.timedeltas(timedelta(0), timedelta(days=10**6)) | st.floats(0, 1e10))
def test_numbers_are_seconds(value: float | timedelta) -> None:
    expected = value.total_seconds() if isinstance(value, timedelta) else value

    result = seconds(value, "timeout")

    assert (result, type(result)) == (expected, float)
    assert seconds_or_none(value, "timeout") == expected


@pytest.mark.parametrize(
    "wrong",
    [
        *(-1, -0.001, float("nan"), float("inf"), 10**11 + 1, 10**400),
        *(timedelta(seconds=-1), timedelta.min, "5", None, True, []),
    ],
)
def test_what_is_not_a_duration_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"^timeout must be a duration of 0 or more seconds, not"):
        seconds(wrong, "timeout")


def test_none_may_mean_no_limit() -> None:
    assert seconds_or_none(None, "timeout") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("90s", 90), ("1.5s", 1.5), ("15m", 900), ("1h 30m", 5_400), ("1d2h3m4s", 93_784), (90, 90)],
)
def test_text_of_files(text: Any, number: float) -> None:
    assert parsed_seconds(text, "timeout") == number


@pytest.mark.parametrize("text", ["", "7", "1m1h", "-1s", "1.5h", "9" * 39 + "s", "9" * 50 + "s"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="timeout must be a duration"):
        parsed_seconds(text, "timeout")
