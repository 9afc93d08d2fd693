"""Locks of the keys of limits: who claims under a lock counts, starts and notes it alone.

There are 256 locks for all keys (:func:`hammerflow.jobs.limit.lock_of`), so a claim of jobs of many
keys takes few locks, and no key needs a row of its own that could be locked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from hammerflow.jobs.limit import lock_of
from hammerflow.stores.claiming.lane_keys import Key
from hammerflow.stores.database import Tx

__all__ = ["note_starts", "take_all_locks", "take_locks"]


def take_locks(tx: Tx, keys: Collection[int], *, is_alone: bool) -> Collection[int]:
    """Take the locks of these keys until the end of the transaction; those that nobody else has.

    Args:
        is_alone: one transaction writes at a time (SQLite).
    """
    locks = sorted({*map(lock_of, keys)})
    if is_alone or not locks:
        return locks
    return {row[0] for row in tx.rows("limit_locks_take", ids=locks)}


def take_all_locks(tx: Tx, *, is_alone: bool) -> None:
    """Wait for the claims in progress, and let later ones see what this transaction changes."""
    if not is_alone:
        tx.rows("limit_locks_wait")
        tx.run("limit_locks_turn")


def note_starts(tx: Tx, claimed: Sequence[int], keys: dict[int, Key], shared: int) -> None:
    """Note in the keys when the next jobs may start.

    Args:
        claimed: the key of each job.
    """
    started = Counter(claimed)
    if shared:
        started[shared] = len(claimed)
    rows = [
        (id_, count * spacing)
        for id_, count in sorted(started.items())
        if count and id_ in keys and (spacing := keys[id_].spacing) is not None
    ]
    if rows:
        tx.many("limit_keys_start", rows)
