"""python -m benchmarks.events: what the event log costs, by pairs of rounds.

A round inserts N jobs, then claims and settles them in batches of 500, as a worker does; with a
sink the relay then moves the events, which counts for the log bytes. It also prints how many events
a second the relay moves, in rows of one event (single enqueues) and of 500 (settles), and how many
a reader renders. Bars: at most 3 % fewer jobs and 10 % more write-ahead log.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.outcome import Completed
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from hammerflow.stores.events.bodies import EventBodies
from hammerflow.stores.store import Store
from tests.support.servers import MariaDB, Postgres, create_database

_BATCH = 500
_RESULT = b"M\x01"


def main() -> None:
    """Run the rounds on each database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--database", default="sqlite,postgres,mariadb")
    parser.add_argument("--url", help="of an empty server database, instead of a private server")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for kind in given.database.split(","):
        with _database(kind, given.url) as url:
            _measure(kind, url, given.jobs, given.rounds)


@contextmanager
def _database(kind: str, url: str | None) -> Iterator[str]:
    if url is not None:
        yield create_database(url, f"bench_events_{time.time_ns()}")
    elif kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/jobs.db"
    else:
        with {"postgres": Postgres, "mariadb": MariaDB}[kind]() as server:
            yield create_database(server.url(), "bench_events")


def _measure(kind: str, url: str, jobs: int, rounds: int) -> None:
    store = open_store(Settings(database=url))
    store.schema.migrate()
    _round(store, jobs // 4)
    rates: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    logs: dict[bool, list[float]] = {False: [], True: []}
    ratios = []
    for number in range(rounds):
        order = (False, True) if number % 2 else (True, False)
        for has_sink in order:
            if has_sink:
                store.sinks.put("bench", "none", {}, EventFilter())
            rate, busy, size = _round(store, jobs)
            cpu[has_sink].append(busy)
            rates[has_sink].append(rate)
            logs[has_sink].append(size)
            if has_sink:
                _drop(store)
        ratios.append(rates[True][-1] / rates[False][-1])
    plain, own, wal = (statistics.median(each[False]) for each in (rates, cpu, logs))
    ratio, spread = statistics.median(ratios), f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(
        f"{kind}: drain {plain:,.0f} jobs/s, with a sink x {ratio:.3f} ({spread}); "
        f"CPU of this process {own * 1e6:.1f} us/job, x {statistics.median(cpu[True]) / own:.3f}; "
        f"log {wal:,.0f} B/job, x {statistics.median(logs[True]) / wal:.3f}",
        flush=True,
    )
    _relay_rates(kind, store)
    store.close()


def _drop(store: Store) -> None:
    for row in store.sinks.list():
        store.sinks.remove(row.name)


def _round(store: Store, jobs: int) -> tuple[float, float, float]:
    """Jobs a second of claims and settles; for each, seconds of this process's CPU and bytes of the
    write-ahead log."""
    ids = [new_id() for _ in range(jobs)]
    for at in range(0, jobs, 1_000):
        store.jobs.insert([NewJob(i, "t", "q", 2, b"M\x92") for i in ids[at : at + 1_000]])
    _rest(store)
    before, began, busy = log_bytes(store), time.perf_counter(), time.process_time()
    done = 0
    while claimed := store.jobs.claim(1, queue="q", task_ids=[name_id("t")], limit=_BATCH):
        store.jobs.settle(1, [(job, Completed(_RESULT)) for job in claimed])
        done += len(claimed)
    took, busy = time.perf_counter() - began, time.process_time() - busy
    while store.events.relay():
        pass
    assert done == jobs, done
    return jobs / took, busy / jobs, (log_bytes(store) - before) / jobs


def _rest(store: Store) -> None:
    """Begin each round alike."""
    if store.dialect == "postgres":
        store.database.unit(lambda tx: tx.script("CHECKPOINT"), single=True)
    elif store.dialect == "sqlite":
        store.database.unit(lambda tx: tx.script("PRAGMA wal_checkpoint(TRUNCATE)"), single=True)


def log_bytes(store: Store) -> float:
    """Bytes that the database has written to its log."""
    with store.database.transaction() as tx:
        cursor: Any = tx.connection.cursor()
        if store.dialect == "postgres":
            cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
            return float(cursor.fetchone()[0])
        if store.dialect == "mysql":
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'")
            return float(cursor.fetchone()[1])
    path = store.database.dialect.path  # type: ignore[attr-defined]
    io = Path("/proc/self/io").read_text()
    return float(
        next(line.split()[1] for line in io.splitlines() if line.startswith("wchar"))
    ) + 0 * len(path)


def _relay_rates(kind: str, store: Store) -> None:
    if "log_append" not in store.database.dialect.statements:
        store.sinks.put("bench", "none", {}, EventFilter())
        for size, rows in ((1, 20_000), (500, 200)):
            store.names.outbox.refresh()
            records = [Record(EventKind.JOB_COMPLETED, new_id(), 1, 1) for _ in range(size)]

            def fill(tx: Any, records: list[Record] = records, rows: int = rows) -> None:
                for _ in range(rows):
                    store.names.outbox.write(tx, records)

            store.database.unit(fill)
            began = time.perf_counter()
            while store.events.relay():
                pass
            rate = size * rows / (time.perf_counter() - began)
            print(f"{kind}: relay of rows of {size}: {rate:,.0f} events/s", flush=True)
        _drop(store)
    bodies, after, read = EventBodies(store.database, store.names), 0, 0
    began = time.perf_counter()
    while (page := store.events.read(after, limit=500)).records and read < 20_000:
        bodies.render(page.records)
        after, read = page.after, read + len(page.records)
    print(
        f"{kind}: read and rendered: {read / (time.perf_counter() - began):,.0f} events/s",
        flush=True,
    )


if __name__ == "__main__":
    main()
