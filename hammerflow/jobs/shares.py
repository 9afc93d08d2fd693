"""Shares: dividing numbers of jobs by weight, so that rounding evens out over time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

__all__ = ["Shares"]

Name = TypeVar("Name", bound=Hashable)


class Shares(Generic[Name]):
    """Divides one number of jobs after the other among names. What rounding gives one of them too
    much it gets less the next time, so even claims of one job follow the weights."""

    def __init__(self, owed: Mapping[Name, float] | None = None) -> None:
        self._owed: dict[Name, float] = dict(owed or {})

    def copy(self) -> Shares[Name]:
        """Shares that are owed the same."""
        return Shares(self._owed)

    def forget(self, name: Name) -> None:
        """Owe this name nothing: it had no jobs for its share."""
        self._owed.pop(name, None)

    def split(self, room: int, weights: Mapping[Name, int]) -> dict[Name, int]:
        """How many of ``room`` jobs each of these names gets; names that get none are left out."""
        total = sum(weights.values())
        owed = {
            name: self._owed.get(name, 0.0) + room * weight / total
            for name, weight in weights.items()
        }
        shares = {name: max(0, math.floor(owed[name])) for name in owed}
        left = room - sum(shares.values())
        names = sorted(owed, key=lambda name: shares[name] - owed[name])
        for name in names[: max(0, left)]:
            shares[name] += 1
        for name in names:
            most = len(names) - 1.0  # more comes only of names that were left out meanwhile
            self._owed[name] = max(-most, min(most, owed[name] - shares[name]))
        return {name: shares[name] for name in names if shares[name]}
