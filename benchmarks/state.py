"""python -m benchmarks.state

Prints what a job pays for putting back the state of its process: the best of 1 000 short rounds,
which a busy machine disturbs least.
"""

from __future__ import annotations

import timeit

from hammerflow.worker.child.process_state import ProcessState

CALLS, ROUNDS = 200, 1_000


def main() -> None:
    """Measure the common case, in which a body has changed nothing."""
    restore = ProcessState(cancel_watchdog=True).restore
    seconds = min(timeit.repeat(restore, number=CALLS, repeat=ROUNDS)) / CALLS
    print(f"ProcessState.restore(): {seconds * 1e6:.1f} µs (bar: 5)")


if __name__ == "__main__":
    main()
