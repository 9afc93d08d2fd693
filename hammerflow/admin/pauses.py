"""Which pauses keep jobs from starting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from hammerflow.stores.pauses import Pause, PauseKind
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["held_by", "held_json", "held_text"]


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
