"""Turns: how many jobs each of those who share the workers gives to one claim."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, MutableMapping, Sequence
from typing import TypeVar

__all__ = ["in_turns", "shares"]

T = TypeVar("T", bound=Hashable)
S = TypeVar("S")


def shares(
    members: Sequence[Sequence[T]], n: int, key: Callable[[T], int], free: MutableMapping[int, int]
) -> tuple[dict[T, int], int]:
    """Take ``n`` jobs: one from each member in turn, and again from the first.

    Args:
        members: the lanes of each, which share its turns, in the order of these.
        key: of the limit of a lane.
        free: how many jobs each key allows, from which those that are taken are subtracted.

    Returns:
        The number of jobs of each lane, and which member has given the last one.
    """
    turns = deque((at, deque(lanes)) for at, lanes in enumerate(members))
    counts: Counter[T] = Counter()
    last = 0
    while turns and n:
        at, lanes = turns.popleft()
        while lanes and free[key(lanes[0])] < 1:
            lanes.popleft()
        if lanes:
            counts[lanes[0]] += 1
            free[key(lanes[0])] -= 1
            n, last = n - 1, at
            lanes.rotate(-1)
            turns.append((at, lanes))
    return dict(counts), last


def in_turns(groups: Iterable[Sequence[S]]) -> list[S]:
    """The first of each, then the second of each, and so on."""
    columns = itertools.zip_longest(*([[item] for item in group] for group in groups), fillvalue=[])
    return [item for column in columns for cell in column for item in cell]
