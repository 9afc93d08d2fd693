"""Debouncer: passes isolated events at once; in a burst, one per window."""

from __future__ import annotations

__all__ = ["BURST", "WINDOW", "Debouncer"]

#: Seconds in which a crowd of rings becomes one.
WINDOW = 0.010
#: Events in one window that are not a crowd yet. A caller that waits for each job before it sends
#: the next one (about 600 rings a second) must not be slowed down to one job in each window.
BURST = 10


class Debouncer:
    """Decides for each event whether it passes at once.

    In a window after a crowd (more than ``burst`` events in a window) only the first event passes;
    a window with fewer events ends the crowd. With a burst of 0 no event passes.

    It has no lock: two threads that ask at the same time may get the same answer, which is one
    event more or less. A caller that gets False must deliver the event when the window has ended.
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

    def remaining(self, now: float) -> float:
        """Seconds from ``now`` until the window ends."""
        return max(0.0, self.start + WINDOW - now)
