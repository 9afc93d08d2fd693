"""Shares: dividing numbers of jobs by weight, so that what is uneven evens out over time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

__all__ = ["Shares"]

Name = TypeVar("Name", bound=Hashable)


class Shares(Generic[Name]):
    """Divides one number of jobs after the other among names. What one of them got too much, by
    rounding or because others could not take their share, it gets less the next time: so even
    claims of one job follow the weights."""

    def __init__(self, owed: Mapping[Name, float] | None = None) -> None:
        self._owed: dict[Name, float] = dict(owed or {})

    def copy(self) -> Shares[Name]:
        """Shares that are owed the same."""
        return Shares(self._owed)

    def forget(self, name: Name) -> None:
        """Owe this name nothing: it had no jobs for its share."""
        self._owed.pop(name, None)

    def split(self, room: int, weights: Mapping[Name, int]) -> dict[Name, int]:
        """How many of ``room`` jobs each of these names gets; names that get none are left out.
        What some of them are owed, all of them pay, by weight."""
        if not weights:
            return {}
        before = {name: self._owed.get(name, 0.0) for name in weights}
        each = (room - sum(before.values())) / sum(weights.values())
        owed = {name: before[name] + each * weight for name, weight in weights.items()}
        shares = {name: max(0, math.floor(owed[name])) for name in owed}
        while left := room - sum(shares.values()):
            if left > 0:
                shares[min(shares, key=lambda name: shares[name] - owed[name])] += 1
            else:  # others are owed less than nothing
                name = max(filter(shares.get, shares), key=lambda name: shares[name] - owed[name])
                shares[name] -= min(shares[name], max(1, -left // len(shares)))
        return {name: share for name, share in shares.items() if share}

    def note(self, given: Mapping[Name, int], weights: Mapping[Name, int], room: int) -> None:
        """Note how many jobs each of these names got of a room; the others had none to give.

        Nobody is owed more than one whole room, so that a debt is paid within a few claims.
        """
        each = sum(given.get(name, 0) for name in weights) / sum(weights.values() or [1])
        most = max(room, len(weights) - 1)
        for name, weight in weights.items():
            owed = self._owed.get(name, 0.0) + each * weight - given.get(name, 0)
            self._owed[name] = max(-most, min(most, owed))
