"""Pace: a few pass at once; of a crowd only the first in each window."""

from __future__ import annotations

__all__ = ["BURST", "WINDOW", "Debouncer"]

#: Seconds in which a crowd of rings becomes one.
WINDOW = 0.010
#: So many rings in one window are not a crowd yet. A caller who waits for each job before the next
#: (some 600 rings a second) must not be slowed down to one job per window.
BURST = 10


class Debouncer:
    """Decides for each of a row of events whether it passes at once.

    A crowd (more than ``burst`` in a window) lets only the first of each window pass until a
    window has come with fewer; with a burst of 0 none ever passes. Two threads that ask at the
    same time may both be told the same: that is an event more or less, and those told "no" see
    to the window's end themselves.
    """

    __slots__ = ("burst", "count", "crowd", "start")

    def __init__(self, burst: int = BURST) -> None:
        self.burst = burst
        self.start = float("-inf")
        self.count = 0
        self.crowd = False

    def passes(self, now: float) -> bool:
        """Whether the event at ``now`` (monotonic seconds) passes at once."""
        age = now - self.start
        if age >= WINDOW:
            self.crowd = self.count > self.burst and age < 2 * WINDOW
            self.start = now
            self.count = 0
        self.count += 1
        return self.count <= (min(1, self.burst) if self.crowd else self.burst)

    def rest(self, now: float) -> float:
        """Seconds from ``now`` until the window ends."""
        return max(0.0, self.start + WINDOW - now)
