"""Settlement: what changed when outcomes were settled."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Settlement"]


@dataclass(slots=True)
class Settlement:
    """What changed: ids of jobs (and ended workflows), and names of queues."""

    # Another worker holds their lease: nothing was written for them.
    stale: set[bytes] = field(default_factory=set)
    # Another transaction has locked their lease: nothing was written for them yet.
    held: set[bytes] = field(default_factory=set)
    # An earlier try had settled them; its reply was lost.
    earlier: set[bytes] = field(default_factory=set)
    # They were asked to stop before this commit: they end as cancelled, whatever their outcome.
    stopped: set[bytes] = field(default_factory=set)
    ended: list[bytes] = field(default_factory=list)  # in a final state now
    parked: list[bytes] = field(default_factory=list)
    queues: set[str] = field(default_factory=set)  # in which jobs became ready
    following: int = 0  # how many jobs started or ended because of others
