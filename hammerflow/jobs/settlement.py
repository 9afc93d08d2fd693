"""Settlement: what changed when outcomes were settled."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Settlement"]


@dataclass(slots=True)
class Settlement:
    """What changed when outcomes were settled.

    Attributes:
        stale: ids of jobs whose lease another worker holds: nothing was written for them.
        earlier: ids of jobs that an earlier try had settled, whose reply was lost.
        ended: ids of jobs and workflows that are in a final state now.
        queues: names of queues in which jobs became ready.
    """

    stale: set[bytes] = field(default_factory=set)
    earlier: set[bytes] = field(default_factory=set)
    ended: list[bytes] = field(default_factory=list)
    queues: set[str] = field(default_factory=set)
