"""Weighted claims: the jobs of one claim divided over the priorities by their weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.priority_rule import WEIGHTS
from hammerflow.jobs.shares import Shares

__all__ = ["Source", "claim_by_weight"]

#: Claims up to the given number of jobs of each order.
Source: TypeAlias = Callable[[Mapping[int, int]], Sequence[Claimed]]


def claim_by_weight(
    shares: Shares[int], orders: Iterable[int], limit: int, sources: Sequence[Source]
) -> list[Claimed]:
    """Claim ``limit`` jobs of these orders by weight, each share from the first source that has
    jobs for it. What an order cannot fill is divided among the others, and not owed to it later.

    Args:
        shares: of earlier claims; changed.
        orders: those that seem to hold jobs.
    """
    claimed: list[Claimed] = []
    open_ = set(orders)
    while open_ and len(claimed) < limit:
        counts = shares.split(limit - len(claimed), {order: WEIGHTS[order] for order in open_})
        found: Counter[int] = Counter()
        for source in sources:
            left = {order: n - found[order] for order, n in counts.items() if n > found[order]}
            if not left:
                break
            jobs = source(left)
            found.update(4 - job.priority for job in jobs)
            claimed += jobs
        short = {order for order, n in counts.items() if found[order] < n}
        for order in short:
            shares.forget(order)
        open_ -= short
    return claimed
