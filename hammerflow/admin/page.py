"""Page: some rows of a list, and where it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Page"]

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Some rows of a list.

    Attributes:
        next: the id before which the next page begins; None if there is none.
        is_tired: the reading ended early, having read as much as one command should.
    """

    rows: Sequence[T]
    next: bytes | None
    is_tired: bool = False
