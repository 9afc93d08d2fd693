"""Addresses of doorbells, as workers and clients write them down: whether two are one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Address", "all_in_words", "are_one", "in_words", "unheard"]

#: ``kind``, ``namespace`` and ``redis``; a Redis URL that holds a secret is None.
Address = Mapping[str, Any]


def are_one(own: Address, theirs: Address) -> bool:
    """Whether both are the same doorbell; a Redis URL that is kept secret may be any, and those who
    poll need no common namespace."""
    if own["kind"] == theirs["kind"] == "none":
        return True
    unknown = None in (own["redis"], theirs["redis"])
    same = own["kind"] == theirs["kind"] and own["namespace"] == theirs["namespace"]
    return same and (unknown or own["redis"] == theirs["redis"])


def in_words(doorbell: Address) -> str:
    """``redis at redis://host/0 in the namespace shop``."""
    where = f" at {doorbell['redis']}" if doorbell["redis"] else ""
    what = "no doorbell" if doorbell["kind"] == "none" else f"{doorbell['kind']}{where}"
    return f"{what} in the namespace {doorbell['namespace']}"


def all_in_words(doorbells: Iterable[Address]) -> str:
    """Those of :func:`in_words`, each once."""
    return ", ".join(sorted({in_words(each) for each in doorbells}))


def unheard(rung: Iterable[Address], heard: Iterable[Address]) -> list[Address]:
    """Those of the doorbells that are rung to which nobody listens.

    An app that has no doorbell at all, on no side, lacks none.
    """
    listeners = [*heard]
    with_workers = {other["namespace"] for other in listeners}
    return [
        each
        for each in rung
        if (each["kind"] != "none" or each["namespace"] in with_workers)
        and not any(are_one(each, other) for other in listeners)
    ]
