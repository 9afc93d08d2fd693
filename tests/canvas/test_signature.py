"""Signatures: calls that are not made yet."""

from __future__ import annotations

import json

import pytest

from hammerflow.canvas.options import to_json
from hammerflow.canvas.signature import Signature


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
