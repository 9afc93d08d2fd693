"""Names that every database can hold, and messages that it can store."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.errors import ConfigError
from hammerflow.text import checked_name, either, safe_repr, storable, visible, visible_lines


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


ODD = [
    "\x1b[2J",
    "\x07",
    "\x9b31m",
    "a\u202eb",
    "\u2066",
    "\ud800",
    "\u2028",
    "\x7f",
    "\ufeff",
    "\0",
]


@pytest.mark.parametrize("text", ODD)
def test_what_a_terminal_obeys_or_hides_is_shown_as_an_escape(text: str) -> None:
    for shown in (visible(text), visible_lines(text), safe_repr(_Shown(text))):
        assert shown.isprintable() and "\\" in shown
        shown.encode()


@pytest.mark.parametrize(
    "text", ["größe 東京", "👨\u200d👩\u200d👧", "a\xa0b", "\u0646\u200c\u0645", ""]
)
def test_text_that_people_write_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == visible_lines(text) == text


def test_lines_are_kept_only_where_they_are_wanted() -> None:
    assert visible("a\r\n\tb\x1b") == r"a\r\n\tb\x1b"
    assert visible_lines("a\r\n\tb\x1b\rc") == "a\n    b\\x1b\\rc"


class _Shown:
    def __init__(self, text: Any) -> None:
        self.text = text

    def __repr__(self) -> str:
        if isinstance(self.text, BaseException):
            raise self.text
        return self.text  # type: ignore[no-any-return]


@pytest.mark.parametrize("broken", [RuntimeError("no"), RecursionError(), SystemExit(3), 7, None])
def test_a_repr_that_fails_is_named_by_its_class(broken: Any) -> None:
    class Odd(type):
        @property
        def __name__(cls) -> str:
            raise RuntimeError

    bad, odd = _Shown(broken), Odd("Order", (_Shown,), {})(broken)

    assert safe_repr(bad) == "‹_Shown: repr failed›"
    assert safe_repr(odd) == "‹Order: repr failed›"
    assert safe_repr({"a": [bad, (1,)]}) == "{'a': [‹_Shown: repr failed›, (1,)]}"
    assert safe_repr(10**9_999) == "‹int: repr failed›"


@pytest.mark.parametrize(
    "value",
    [[], (), (1,), {1}, {}, {"b": 1, "a": [2.5, None]}, frozenset({1}), b"x", "it's", set()],
)
def test_a_value_is_shown_as_python_shows_it(value: Any) -> None:
    assert safe_repr(value) == repr(value)


def test_a_huge_value_is_cut_without_being_formatted_whole() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    huge = [
        "x" * 10**8,
        b"x" * 10**8,
        list(range(10**6)),
        _Shown("y" * 10**6),
        {n: n for n in range(10**5)},
    ]

    assert safe_repr(cycle) == repr(cycle)
    for value in huge:
        assert len(safe_repr(value, 60)) == 60 and safe_repr(value, 60).endswith("...")


def test_a_choice_of_names_reads_as_a_sentence() -> None:
    assert [either(["a", "b", "c"][:n]) for n in (1, 2, 3)] == ["a", "a or b", "a, b or c"]
