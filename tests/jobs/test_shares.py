"""Shares: every split fills the room, and what was given follows the weights."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hammerflow.jobs.shares import Shares

NAMES = "abcde"
WEIGHTS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 1_000), min_size=1)
ROOMS = st.integers(1, 1_000)
OWED = st.dictionaries(st.sampled_from(NAMES), st.floats(-1_000, 1_000))


@given(OWED, ROOMS, WEIGHTS)
def test_a_split_fills_the_room_whatever_is_owed(
    owed: dict[str, float], room: int, weights: dict[str, int]
) -> None:
    shares = Shares(owed).split(room, weights)

    assert sum(shares.values()) == room and shares.keys() <= weights.keys()
    assert all(share > 0 for share in shares.values())


@given(st.lists(ROOMS, min_size=1, max_size=20), WEIGHTS)
def test_what_is_given_follows_the_weights(rooms: list[int], weights: dict[str, int]) -> None:
    shares, total = Shares[str](), Counter[str]()
    for room in rooms:
        found = shares.split(room, weights)
        shares.note(found, weights, room)
        total.update(found)
    for name, weight in weights.items():
        due = sum(rooms) * weight / sum(weights.values())
        assert abs(total[name] - due) < len(NAMES)


def test_a_debt_is_at_most_one_room() -> None:
    shares = Shares[str]()
    for _ in range(100):
        shares.note({"b": 10}, {"a": 1, "b": 1}, 10)
    assert shares.split(10, {"a": 1, "b": 1}) == {"a": 10}
    shares.note({"a": 10}, {"a": 1, "b": 1}, 10)
    shares.note({"a": 10}, {"a": 1, "b": 1}, 10)
    assert shares.split(10, {"a": 1, "b": 1}) == {"a": 5, "b": 5}
