"""Ready queues: which queues have ready jobs, by one step down the key for each of them."""

from __future__ import annotations

from hammerflow.stores.database import Database

__all__ = ["queues_with_ready"]

_BEFORE = -(1 << 63)  # all numbers of queues


def queues_with_ready(database: Database) -> list[int]:
    """Numbers of the queues with ready jobs, however many these are.

    Where there is no statement that calls itself, it is one for each: MariaDB reads the whole key
    for each step of such a one (a second for a million ready jobs).
    """
    if "ready_queues" in database.dialect.statements:
        return database.column("ready_queues")
    found: list[int] = []
    while row := database.first("ready_next_queue", after=found[-1] if found else _BEFORE):
        found.append(row[0])
    return found
