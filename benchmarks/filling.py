"""python -m benchmarks.filling URL [--jobs N] [--live N] [--day N]

Fills an empty database with what lists and counts are measured beside: the day of a shop with 1 000
queues, events and figures, and jobs of the last ten days in 20 more queues, of which one in ten
belongs to a batch of 1 000. Then ``python -m benchmarks views web --url URL`` measures.
Python writes the day (some 10 000 jobs a second), the database itself writes the rest, faster.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

_QUEUES = 1_000


def main() -> int:
    """Fill, and say how long each part took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filling", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--jobs", type=int, default=10_000_000, help="that have ended, in all")
    parser.add_argument("--live", type=int, default=1_000_000, help="that have not, in all")
    parser.add_argument("--day", type=int, default=1_000_000, help="of --jobs, those of the day")
    given = parser.parse_args()
    os.environ["HAMMERFLOW_DATABASE_URL"] = given.url
    from benchmarks.tasks import app
    from benchmarks.views import fill
    from hammerflow.cli.demo.day.seed import seed_day

    app.migrate()
    began = time.perf_counter()
    live = given.live // 6  # in all states; the others are ready in the day's queues
    seed_day(app.store, jobs=given.day, queues=_QUEUES, seed=1, ready=given.live - live)
    print(f"a day of {given.day:,} jobs: {time.perf_counter() - began:.0f} s", flush=True)
    fill(given.jobs - given.day, live)
    print(f"{given.jobs:,} ended, {given.live:,} live: {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
