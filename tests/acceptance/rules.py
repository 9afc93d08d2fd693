"""The limits that tasks of the shop declare, which a process without its app needs, too."""

from __future__ import annotations

__all__ = ["BURST", "PACE", "TURNS"]

TURNS = 2  # of a key of the task ``turn`` at a time
PACE, BURST = 20, 3  # starts of the task ``paced`` in a second, and at once after a pause
