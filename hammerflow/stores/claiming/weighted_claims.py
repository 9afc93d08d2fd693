"""Weighted claims: the jobs of one claim divided over the priorities by their weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.priority_rule import WEIGHTS
from hammerflow.jobs.shares import Shares

__all__ = ["Source", "claim_by_weight"]

#: Claims up to the given number of jobs of each order.
Source: TypeAlias = Callable[[Mapping[int, int]], Sequence[Claimed]]


def claim_by_weight(
    shares: Shares[int], orders: Iterable[int], limit: int, sources: Sequence[Source],
    passed: Callable[[], Collection[int]] = tuple,
) -> list[Claimed]:  # fmt: skip
    """Claim ``limit`` jobs of these orders by weight, each share from the first source that has
    jobs for it. What an order cannot fill is divided among the others. It is owed to it later only
    if it has jobs that were passed over, as another claim was at them.

    Args:
        shares: of earlier claims; changed.
        orders: those that seem to hold jobs.
        passed: asked after a claim that fell short: the orders that still hold jobs.
    """
    claimed: list[Claimed] = []
    sharing = {order: WEIGHTS[order] for order in orders}
    open_ = dict(sharing)
    while open_ and len(claimed) < limit:
        counts = shares.split(limit - len(claimed), open_)
        found: Counter[int] = Counter()
        for source in sources:
            left = {order: n - found[order] for order, n in counts.items() if n > found[order]}
            if not left:
                break
            jobs = source(left)
            found.update(4 - job.priority for job in jobs)
            claimed += jobs
        short = {order for order, n in counts.items() if found[order] < n}
        for order in short.difference(passed() if short else ()):
            shares.forget(order)
            del sharing[order]
        shares.note(found, sharing, limit)
        open_ = {order: weight for order, weight in open_.items() if order not in short}
    return claimed
