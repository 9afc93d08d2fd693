"""python -m tests.proof.chaos [--database sqlite|postgres|mariadb] [--redis on|off|proxy]
[--minutes N] [--seed S] [--json FILE] [--pause SECONDS] [--workers N] [--rate R]
[--often FAULT ...]

Clients and workers reach a database server through a proxy that cuts, delays and swallows; with
``--redis proxy``, Redis as well. Prints what was broken how often and in which phase of a job, how
long it took to recover, and a table of the invariants; ends with 1 if one of them does not hold,
and leaves the folder with logs and ledger.
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
from collections.abc import Sequence
from pathlib import Path

from hammerflow import Hammerflow
from tests.acceptance.kit import LEASE, Shop
from tests.proof.chaos.borders import of_a_plain_user
from tests.proof.chaos.checker import check
from tests.proof.chaos.events import add_sink
from tests.proof.chaos.flow import FlowLoad
from tests.proof.chaos.flow_checks import check_flow, told_of_ticks
from tests.proof.chaos.load import Load
from tests.proof.chaos.nemesis import Nemesis
from tests.proof.chaos.record import percentile, recoveries
from tests.support.proxy import Proxy
from tests.support.servers import MariaDB, Postgres, Redis, Server

__all__ = ["run"]

#: After the last fault: lease, sweep, poll, the longest backoff, and room for what is queued.
_QUIET = 180.0


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.chaos", description=__doc__)
    parser.add_argument("--database", default="sqlite", choices=("sqlite", "postgres", "mariadb"))
    parser.add_argument("--redis", default="on", choices=("on", "off", "proxy"))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, help="append a line of figures to it")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=8.0, help="enqueues per second and client")
    parser.add_argument("--pause", type=float, default=0.4, help="mean seconds between two faults")
    parser.add_argument("--often", nargs="*", default=(), help="such as kill_database")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    return run(
        given.database, redis=given.redis, seconds=given.minutes * 60, seed=seed,
        workers=given.workers, rate=given.rate, pause=given.pause, often=given.often,
        record=given.json,
    )  # fmt: skip


def run(
    database: str,
    *,
    redis: str,
    seconds: float,
    seed: int,
    workers: int = 4,
    rate: float = 8.0,
    pause: float = 0.4,
    often: Sequence[str] = (),
    record: Path | None = None,
) -> int:
    """One run; 0 if every invariant holds."""
    print(f"chaos: {database}, Redis {redis}, {seconds:.0f} s, seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="hammerflow-chaos-"))
    with contextlib.ExitStack() as stack:
        server: Server | None = None
        wire: Proxy | None = None
        if database == "sqlite":
            url = f"sqlite:///{folder / 'chaos.db'}"
        else:
            server = stack.enter_context(
                {"postgres": Postgres, "mariadb": MariaDB}[database](durable=True)
            )
            url = server.create_database("chaos")
            wire = stack.enter_context(Proxy(of_a_plain_user(server, url)))
        bell = stack.enter_context(Redis()) if redis != "off" else None
        bell_wire = stack.enter_context(Proxy(bell.url())) if bell and redis == "proxy" else None
        ring = bell_wire.url if bell_wire else bell.url() if bell else None
        Hammerflow("shop", database=url).migrate()
        shop = Shop(url, folder, redis=ring, through=wire.url if wire is not None else None)
        stack.callback(shop.close)
        shop.desk.sql("CREATE TABLE marks (mark VARCHAR(64))")
        add_sink(shop)
        began = time.monotonic()
        flow = FlowLoad(shop)
        stack.callback(flow.client.close)
        load = Load(shop, seed=seed, clients=4, rate=rate, more=flow.kinds())
        nemesis = Nemesis(
            shop, seed=seed, workers=workers, pause=pause, often=often,
            server=server, wire=wire, redis=bell, bell_wire=bell_wire,
        )  # fmt: skip
        load.start()
        flow.start()
        nemesis.start()
        time.sleep(seconds)
        load.stop()
        nemesis.heal()
        flow.stop()
        healed = time.monotonic()
        with contextlib.suppress(AssertionError):
            shop.wait_until_quiet(_QUIET)
        quiet = time.monotonic() - healed
        jobs = shop.desk.count("jobs")
        stale = sum(worker.log.count("leases that were taken over") for worker in shop.workers)
        lost = shop.desk.sql("SELECT count(*) FROM {errors} WHERE kind = 'lost'")[0][0]
        troubles = nemesis.troubles + [c for w in nemesis.workers for c in w.complaints()]
        overlaps = shop.overlaps()
        children = shop.desk.sql("SELECT count(*) FROM {jobs} WHERE parent_id IS NOT NULL")[0][0]
        phases = nemesis.phases()
        ticks = told_of_ticks(shop, flow)
        recovery = recoveries(nemesis.kills, shop.ledger.runs())
        rows = [*check_flow(shop, flow, load), *check(shop, load, nemesis.workers)]
        nemesis.leave()
    kinds = Counter(promise.kind for promise in load.promises)
    print(f"ran {healed - began:.0f} s, quiet {quiet:.1f} s after the last fault was healed")
    print(f"{jobs} jobs; acknowledged: {dict(kinds)}; without an answer: {dict(load.errors)}")
    print(f"faults: {dict(nemesis.faults)}; attempts lost: {lost}; settles refused: {stale}")
    print(ticks)
    print("hit: " + ", ".join(f"{phase} {count}" for phase, count in phases.items()))
    print(f"bodies that overlapped after a takeover: {overlaps}; tracebacks: {len(troubles)}")
    print(*troubles, sep="\n\n")
    for kind, waits in recovery.items():
        if waits:
            half, most = percentile(waits, 0.5), percentile(waits, 0.99)
            print(f"recovery, {kind}: {half:.2f} / {most:.2f} s of {len(waits)} (lease {LEASE} s)")
    if record is not None:
        facts = {
            "database": database, "redis": redis, "seed": seed, "seconds": healed - began,
            "jobs": jobs, "faults": nemesis.faults, "phases": phases,
            "lost": lost, "refused": stale,
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
