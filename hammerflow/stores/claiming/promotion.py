"""Promotion: scheduled jobs that are due become ready."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hammerflow.stores.database import Tx

__all__ = ["Promoted", "promote_due"]


@dataclass(frozen=True, slots=True)
class Promoted:
    """What a promotion moved: how many jobs, into which queues."""

    count: int
    queues: set[str]


def promote_due(tx: Tx, limit: int) -> Counter[int]:
    """Move due jobs; how many, by the id of their queue."""
    if tx.has("promote"):
        return Counter(dict(tx.rows("promote", n=limit)))
    due = tx.rows("promote_pick", n=limit)
    if due:
        tx.run("scheduled_delete", ids=[row[0] for row in due])
        tx.many("ready_insert_later", due)
    return Counter(row[1] for row in due)
