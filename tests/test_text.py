"""Names that every database can hold, and messages that it can store."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.errors import ConfigError
from hammerflow.text import checked_name, storable


@pytest.mark.parametrize("text", ["mail", "größe", "a b", "\U0001f600", "x" * 255])
def test_a_good_name_is_returned(text: str) -> None:
    assert checked_name(text, "queue") == text


@pytest.mark.parametrize("text", ["", "x" * 256, "a\0b", "a\ud800", "a\nb", 7])
def test_a_bad_name_is_refused_in_a_short_printable_sentence(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"^the queue's name must have 1 to 255") as caught:
        checked_name(text, "the queue's name")

    str(caught.value).encode()
    assert len(str(caught.value)) < 200


@given(st.text(st.characters(codec=None)), st.integers(60, 500))
def test_a_message_can_be_stored_anywhere(text: str, limit: int) -> None:
    stored = storable(text * 3, limit)

    assert "\0" not in stored
    stored.encode()
    assert len(stored) <= limit


def test_a_long_message_keeps_its_start_and_its_end() -> None:
    stored = storable("a" * 1_000 + "middle" + "z" * 1_000, 200)

    assert stored.startswith("a" * 50) and stored.endswith("z" * 100)
    assert "1856 characters left out" in stored
