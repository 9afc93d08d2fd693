"""Ready queues: which queues have ready jobs, by one step down the key for each of them."""

from __future__ import annotations

from collections.abc import Sequence

from hammerflow.stores.database import Database

__all__ = ["next_with_ready", "queues_with_ready"]

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
        queue_id = next_with_ready(database, found[-1] if found else None)
        if queue_id is None:
            break
        found.append(queue_id)
    return found


def next_with_ready(database: Database, after: int | None) -> int | None:
    """The number of the next queue with ready jobs behind a number; None: of the first one."""
    row = database.first("ready_next_queue", after=_BEFORE if after is None else after)
    return None if row is None else row[0]
