"""Ready queues: which queues have ready jobs, by one step down the key for each of them."""

from __future__ import annotations

from collections.abc import Sequence

from hammerflow.stores.database import Database

__all__ = ["queues_with_ready"]

_BEFORE = -(1 << 63)  # all numbers of queues


def queues_with_ready(database: Database, *, most: int | None = None) -> Sequence[int]:
    """Numbers of the queues with ready jobs, however many these are; of ``most`` or more any
    ``most``.

    Where no one statement goes from queue to queue along the key, it is one for each.
    """
    if "ready_queues" in database.dialect.statements:
        return database.column("ready_queues")[:most]
    found: list[int] = []
    while most is None or len(found) < most:
        row = database.first("ready_next_queue", after=found[-1] if found else _BEFORE)
        if row is None:
            break
        found.append(row[0])
    return found
