"""Signatures: calls that are not made yet; and durations at the border."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.canvas.signature import Signature, to_json
from hammerflow.durations import seconds
from hammerflow.errors import ConfigError


def test_set_makes_a_new_signature_and_leaves_the_old() -> None:
    sig = Signature("mail.send", (1,), {"to": "x"}, {"queue": "slow", "priority": 1})
    changed = sig.set(queue="fast", delay=3)
    assert sig.options == {"queue": "slow", "priority": 1}
    assert changed.options == {"queue": "fast", "priority": 1, "delay": 3}
    assert (changed.task, changed.args, changed.kwargs) == ("mail.send", (1,), {"to": "x"})


def test_set_keeps_a_signature_immutable() -> None:
    assert Signature("t", immutable=True).set(queue="q").immutable


def test_signatures_are_equal_by_what_they_call() -> None:
    assert Signature("t", (1,)) == Signature("t", (1,), {}, {})
    assert Signature("t", (1,)) != Signature("t", (2,))
    assert Signature("t") != Signature("u")
    assert Signature("t") != Signature("t", immutable=True)
    assert Signature("t") != Signature("t", options={"queue": "q"})
    assert Signature("t") != "t"


def test_a_signature_reads_as_its_call() -> None:
    assert repr(Signature("t", (1, "a"), {"k": None})) == "t(1, 'a', k=None)"
    assert repr(Signature("t")) == "t()"


def test_a_signature_has_no_hash_as_it_may_hold_lists() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Signature("t", ([],)))


@given(value=st.timedeltas(timedelta(0), timedelta(days=10**6)) | st.floats(0, 1e10))
def test_a_duration_is_seconds_or_timedelta(value: float | timedelta) -> None:
    expected = value.total_seconds() if isinstance(value, timedelta) else value
    result = seconds(value, "timeout")
    assert (result, type(result)) == (expected, float)


@pytest.mark.parametrize(
    "wrong",
    [
        *(-1, -0.001, float("nan"), float("inf"), 10**11, 10**400),
        *(timedelta(seconds=-1), timedelta.min, "5", None, True, []),
    ],
)
def test_what_is_no_duration_is_refused_by_its_name(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"^timeout must be a duration of 0 or more seconds, not"):
        seconds(wrong, "timeout")


def test_json_is_compact_ascii_and_nothing_for_nothing() -> None:
    assert to_json({}) is None
    text = to_json({"a": [1, None], "ö": "\0"})
    assert text is not None
    assert text.isascii()
    assert "\0" not in text
    assert " " not in text
    assert json.loads(text) == {"a": [1, None], "ö": "\0"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": float("nan")})
