"""python -m tests.chaos [--database sqlite|postgres|mariadb] [--redis on|off] [--minutes N]
[--seed S] [--json FILE] [--pause SECONDS]

Prints what was broken how often, and a table of the invariants; ends with 1 if one of them does
not hold, and leaves the folder with logs and ledger.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hammerflow import Hammerflow
from tests.acceptance.kit import LEASE, Shop
from tests.chaos.checker import check
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.record import percentile, recoveries
from tests.servers import MariaDB, Postgres, Redis, Server

__all__ = ["run"]

#: After the last fault: lease, sweep, poll, the longest backoff, and room for what is queued.
_QUIET = 90.0


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--database", default="sqlite", choices=("sqlite", "postgres", "mariadb"))
    parser.add_argument("--redis", default="on", choices=("on", "off"))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, help="append a line of figures to it")
    parser.add_argument("--pause", type=float, default=0.7, help="mean seconds between two faults")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    return run(
        given.database, redis=given.redis == "on", seconds=given.minutes * 60, seed=seed,
        pause=given.pause, record=given.json,
    )  # fmt: skip


def run(
    database: str,
    *,
    redis: bool,
    seconds: float,
    seed: int,
    pause: float = 0.7,
    record: Path | None = None,
) -> int:
    """One run; 0 if every invariant holds."""
    print(f"chaos: {database}, Redis {'on' if redis else 'off'}, {seconds:.0f} s, seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="hammerflow-chaos-"))
    with contextlib.ExitStack() as stack:
        server: Server | None = None
        if database == "sqlite":
            url = f"sqlite:///{folder / 'chaos.db'}"
        else:
            server = stack.enter_context(
                {"postgres": Postgres, "mariadb": MariaDB}[database](durable=True)
            )
            url = server.create_database("chaos")
        bell = stack.enter_context(Redis()) if redis else None
        Hammerflow("shop", database=url).migrate()
        shop = Shop(url, folder, redis=bell.url() if bell is not None else None)
        stack.callback(shop.close)
        began = time.monotonic()
        load = Load(shop, seed=seed, clients=2, rate=8.0)
        nemesis = Nemesis(shop, seed=seed, workers=2, pause=pause, server=server, redis=bell)
        load.start()
        nemesis.start()
        time.sleep(seconds)
        load.stop()
        nemesis.heal()
        healed = time.monotonic()
        with contextlib.suppress(AssertionError):
            shop.wait_until_quiet(_QUIET)
        quiet = time.monotonic() - healed
        rows = check(shop, load)
        jobs = shop.desk.count("jobs")
        stale = sum(worker.log.count("dropped") for worker in shop.workers)
        lost = shop.desk.sql("SELECT count(*) FROM {errors} WHERE kind = 'lost'")[0][0]
        troubles = nemesis.troubles + [c for w in nemesis.workers for c in w.complaints()]
        overlaps = shop.overlaps()
        children = shop.desk.sql("SELECT count(*) FROM {jobs} WHERE parent_id IS NOT NULL")[0][0]
        recovery = recoveries(nemesis.kills, shop.ledger.runs())
        nemesis.leave()
    kinds = Counter(promise.kind for promise in load.promises)
    print(f"ran {healed - began:.0f} s, quiet {quiet:.1f} s after the last fault was healed")
    print(f"{jobs} jobs; acknowledged: {dict(kinds)}; without an answer: {dict(load.errors)}")
    print(f"faults: {dict(nemesis.faults)}; attempts lost: {lost}; settles refused: {stale}")
    print(f"bodies that overlapped after a takeover: {overlaps}; tracebacks: {len(troubles)}")
    for kind, waits in recovery.items():
        if waits:
            half, most = percentile(waits, 0.5), percentile(waits, 0.99)
            print(f"recovery, {kind}: {half:.2f} / {most:.2f} s of {len(waits)} (lease {LEASE} s)")
    if record is not None:
        facts = {
            "database": database, "redis": redis, "seed": seed, "seconds": healed - began,
            "jobs": jobs, "faults": nemesis.faults, "lost": lost, "refused": stale,
            "overlaps": overlaps, "children": children, "lease": LEASE, "recovery": recovery,
            "broken": [name for name, said in rows if said != "ok"],
        }  # fmt: skip
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
    for name, said in rows:
        print(
            f"  {'ok' if said == 'ok' else 'BROKEN':7} {name}{'' if said == 'ok' else ': ' + said}"
        )
    broken = any(said != "ok" for _, said in rows)
    if broken:
        print(f"logs and ledger: {folder}; again: --database {database} --seed {seed}")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
