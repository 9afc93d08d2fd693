"""What lists say of a pause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from hammerflow.durations import age
from hammerflow.stores.pauses import Pause, PauseKind
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["held_by", "held_json", "held_text", "paused_text"]


class Pausable(Protocol):
    """A queue, a task or a pause itself."""

    @property
    def paused_at(self) -> datetime | None: ...
    @property
    def paused_by(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...


def paused_text(thing: Pausable) -> str:
    """``5 m ago by ann@web1: upgrade``; empty if it is not paused."""
    if thing.paused_at is None:
        return ""
    by = f" by {thing.paused_by}" if thing.paused_by else ""
    return f"{age(thing.paused_at)} ago{by}" + (f": {thing.reason}" if thing.reason else "")


def held_by(store: Store, places: Iterable[tuple[str, str]]) -> Mapping[Pause, int]:
    """The pauses that keep jobs from starting, and how many.

    Args:
        places: queue and task of each job.
    """
    found: Counter[Pause] = Counter()
    for (queue, task), count in Counter(places).items():
        for pause in store.pauses.of(queue, task):
            found[pause] += count
    return found


def held_text(held: Mapping[Pause, int]) -> list[str]:
    """``3 jobs wait while queue mail is paused: hammerflow queue resume mail``, for each pause."""
    return [
        f"{counted(count, 'job waits', 'jobs wait')} while "
        f"{PauseKind[pause.kind.upper()].label(pause.name)} is paused: {pause.remedy}"
        for pause, count in held.items()
    ]


def held_json(held: Mapping[Pause, int]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"kind": p.kind, "name": p.name, "jobs": count} for p, count in held.items()]
