"""Settlement: what a settle did."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Settlement"]


@dataclass(slots=True)
class Settlement:
    """What a settle did.

    Attributes:
        stale: ids whose lease was not ours any more: nothing was written for them.
        earlier: ids that an earlier try of the same settle had ended, its answer being lost.
        ended: ids of jobs and workflows in a final state now.
        queues: names of queues in which work became ready.
    """

    stale: set[bytes] = field(default_factory=set)
    earlier: set[bytes] = field(default_factory=set)
    ended: list[bytes] = field(default_factory=list)
    queues: set[str] = field(default_factory=set)
