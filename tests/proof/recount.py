"""python -m tests.proof.recount: statistics stay equal to a recount, whoever is killed.

Workers run jobs that complete, fail, are tried again and spawn others, and are killed (SIGKILL)
meanwhile; other workers take their jobs over. Then the ends are spread over many minutes, and
processes that count them are killed, too, each at whatever statement it has reached. At the end the
figures of each minute, task, queue and state, and their sums by hours, must be what the rows say.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hammerflow import Hammerflow, Signature, Workflow, constant
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from hammerflow.stores.statistics.statistics import HOUR, MINUTE
from hammerflow.stores.store import Store
from tests.stores.kit import Desk, desk_at
from tests.support.servers import MariaDB, Postgres, create_database
from tests.support.waiting import until

__all__ = ["Kills", "app", "check", "count", "work"]

#: By begin, task, queue and state.
_Figures = Counter[tuple[int, int, int, int]]
_MINUTES = 400  # over which the ends are spread
_ENQUEUED = 0


def make_app(**settings: Any) -> Hammerflow:
    """The app of the workers, and of whoever enqueues."""
    app = Hammerflow("recount", **settings)

    @app.task(name="good", queue="a")
    def good(number: int) -> None:
        """Completes."""

    @app.task(name="bad", queue="b", max_attempts=1)
    def bad(number: int) -> None:
        raise ValueError(number)

    @app.task(name="shaky", queue="b", max_attempts=2, backoff=constant(0.01))
    def shaky(number: int) -> None:
        """Half of them need a second attempt, or fail."""
        if random.random() < 0.5:
            raise ValueError(number)

    @app.spawner(name="family", queue="a")
    def family(number: int) -> Iterator[Signature]:
        for child in range(3):
            yield good.s(child)

    return app


app = make_app()


class Kills(Counter[str]):
    """How many processes of each kind were killed."""

    def __str__(self) -> str:
        return ", ".join(f"{number} {kind} killed" for kind, number in sorted(self.items()))


def work(desk: Desk, jobs: int, kills: Kills, *, workers: int, seed: int) -> None:
    """Run jobs, and kill so many workers meanwhile."""
    dice = random.Random(seed)
    own = make_app(database=desk.url)
    tasks = [own.tasks[name] for name in ("good", "good", "bad", "shaky", "family")]
    own.enqueue_many(dice.choice(tasks).s(number) for number in range(jobs))
    for number in range(jobs // 20):
        flow = Workflow(dice.choice(("nightly", "hourly")))
        flow.add(own.tasks["good"].s(number), name="first")
        flow.add(own.tasks[dice.choice(("good", "shaky"))].s(number), after=["first"])
        own.enqueue(flow)
    own.close()
    environment = {
        **os.environ, "HAMMERFLOW_DATABASE_URL": desk.url, "HAMMERFLOW_LEASE": "2",
        "HAMMERFLOW_SWEEP": "0.5", "HAMMERFLOW_RETENTION": "off",
    }  # fmt: skip
    command = ("-m", "hammerflow", "-A", "tests.proof.recount:app", "worker", "-c", "2")
    before = 0
    for left in range(workers, -1, -1):
        with _process(*command, environment=environment) as one:
            if left:
                before = until("jobs end", lambda: _ended(desk) > before and _ended(desk), 60)  # noqa: B023
                time.sleep(dice.random() * 0.2)
                one.send_signal(signal.SIGKILL)
                kills["workers"] += 1
            else:
                until("all jobs end", lambda: not _live(desk), 120, step=0.1)
                one.send_signal(signal.SIGTERM)
                one.wait(30)


def _ended(desk: Desk) -> int:
    return int(desk.count("done"))


def _live(desk: Desk) -> int:
    return sum(desk.count(table) for table in ("ready", "leases", "scheduled", "waiting"))


def count(desk: Desk, kills: Kills, *, counters: int, seed: int) -> None:
    """Spread the ends over the past, and count them by processes of which so many are killed."""
    dice = random.Random(seed)
    now = int(desk.store.clock())
    begin = now // MINUTE * MINUTE - (_MINUTES + 60) * MINUTE
    ids = [row[0] for row in desk.sql("SELECT job_id FROM {done} ORDER BY job_id")]
    for part in range(20):
        some = ", ".join(desk.id(_bytes(id_)) for id_ in ids[part::20])
        ago = dice.randrange(_MINUTES) * MINUTE
        if some:
            desk.sql(
                f"UPDATE {{done}} SET started_at = {desk.shift('started_at', ago)},"
                f" finished_at = {desk.shift('finished_at', ago)} WHERE job_id IN ({some})"
            )
    flows = [row[0] for row in desk.sql("SELECT id FROM {workflows} ORDER BY id")]
    for part in range(10):
        some = ", ".join(desk.id(_bytes(id_)) for id_ in flows[part::10])
        ago = desk.shift("ended_at", dice.randrange(_MINUTES) * MINUTE)
        if some:
            desk.sql(f"UPDATE {{workflows}} SET ended_at = {ago} WHERE id IN ({some})")
    desk.sql("DELETE FROM {workflow_statistics}")
    desk.sql("DELETE FROM {statistics}")
    desk.sql("DELETE FROM {spawn_statistics}")
    desk.sql("DELETE FROM {statistics_progress}")
    desk.store.database.run("statistics_begin", begin=begin)
    for _ in range(counters):
        with _process("-m", "tests.proof.recount", "--count", desk.url) as one:
            started = _progress(desk.store)
            until("it counts", lambda: _progress(desk.store) > started, 60)  # noqa: B023
            time.sleep(dice.random() * 0.05)
            one.send_signal(signal.SIGKILL)
            kills["counters"] += 1
    _count_all(desk.store)


def _bytes(id_: object) -> bytes:
    return id_ if isinstance(id_, bytes) else bytes(getattr(id_, "bytes", b""))


def _progress(store: Store) -> int:
    progress = store.statistics.progress()
    return 0 if progress is None else progress.counted_to + progress.final_to


def _count_all(store: Store) -> None:
    """As if it were ten minutes later, when all minutes are over for good."""
    clock, statistics = store.clock, store.statistics
    statistics._clock = lambda: clock() + 600  # type: ignore[method-assign]
    while statistics.count_next():
        pass


def check(desk: Desk) -> Mapping[str, int]:
    """Compare the figures with the rows; the jobs of each state.

    Raises:
        AssertionError: they differ.
    """
    epoch = {
        "sqlite": "{0}", "postgres": "extract(epoch from {0})",
        "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {0}) / 1000000e0",
    }[desk.kind]  # fmt: skip
    rows: _Figures = Counter()
    ended = (
        f"SELECT {epoch.format('d.finished_at')}, j.task_id, j.queue_id, d.state"
        " FROM {done} d JOIN {jobs} j ON j.id = d.job_id"
    )
    for at, task, queue, state in desk.sql(ended):
        rows[int(float(at) // MINUTE * MINUTE), int(task), int(queue), int(state)] += 1
    for id_, task, queue in desk.sql("SELECT id, task_id, queue_id FROM {jobs}"):
        at = int.from_bytes(_bytes(id_)[:6]) / 1000
        rows[int(at // MINUTE * MINUTE), int(task), int(queue), _ENQUEUED] += 1
    found = _figures(desk, MINUTE)
    assert found == rows, (found - rows, rows - found)
    runs: Counter[tuple[int, int, int]] = Counter()
    ends = f"SELECT {epoch.format('ended_at')}, error, spawned FROM {{spawns}}"
    for at, error, children in desk.sql(ends):
        minute = int(float(at) // MINUTE * MINUTE)
        runs += Counter(
            {(minute, 0, 0): 1, (minute, 1, 0): error is not None, (minute, 2, 0): children}
        )
    counted: Counter[tuple[int, int, int]] = Counter()
    said = "SELECT begin, operations, failures, children FROM {spawn_statistics} WHERE span = 60"
    for minute, *numbers in desk.sql(said):
        counted += Counter({(int(minute), n, 0): int(number) for n, number in enumerate(numbers)})
    assert counted == runs
    flows: Counter[tuple[int, str, int]] = Counter()
    for at, name, status in desk.sql(
        f"SELECT {epoch.format('ended_at')}, name, status FROM {{workflows}}"
        " WHERE ended_at IS NOT NULL"
    ):
        flows[int(float(at) // MINUTE * MINUTE), str(name), int(status)] += 1
    told = "SELECT begin, name, state, runs FROM {workflow_statistics} WHERE span = 60"
    assert flows == Counter({(int(b), str(n), int(s)): int(r) for b, n, s, r in desk.sql(told)})
    hours: _Figures = Counter()
    folded = _figures(desk, HOUR)
    for (begin, *key), jobs in rows.items():
        hours[begin // HOUR * HOUR, *key] += jobs  # type: ignore[index]
    last = max((begin for begin, *_ in folded), default=0)
    assert folded == Counter({key: jobs for key, jobs in hours.items() if key[0] <= last})
    totals: Counter[str] = Counter()
    for (_, _, _, state), jobs in rows.items():
        totals[str(state)] += jobs
    return totals


def _figures(desk: Desk, span: int) -> _Figures:
    found = desk.sql(
        f"SELECT begin, task_id, queue_id, state, jobs FROM {{statistics}} WHERE span = {span}"
    )
    return Counter({(int(b), int(t), int(q), int(s)): int(n) for b, t, q, s, n in found})


@contextmanager
def _process(
    *command: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(url: str, jobs: int, workers: int, counters: int, seed: int) -> str:
    """All of it, on a database that has its tables; what has happened."""
    kills = Kills()
    with desk_at(url) as desk:
        work(desk, jobs, kills, workers=workers, seed=seed)
        count(desk, kills, counters=counters, seed=seed)
        totals = check(desk)
    return f"{kills}; jobs by state: {dict(sorted(totals.items()))}, equal to the recount"


def main() -> None:
    """Run it on each database."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.recount", description=__doc__)
    parser.add_argument("--database", default="sqlite,postgres,mariadb")
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--workers", type=int, default=20, help="workers that are killed")
    parser.add_argument("--counters", type=int, default=40, help="counting processes, likewise")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--count", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.count:
        store = open_store(Settings(database=given.count))
        while store.statistics.count_next():
            pass
        return
    for kind in given.database.split(","):
        with tempfile.TemporaryDirectory() as folder, _url(kind, folder) as url:
            store = open_store(Settings(database=url))
            store.schema.migrate()
            store.close()
            said = run(url, given.jobs, given.workers, given.counters, given.seed)
            sys.stdout.write(f"{kind}, seed {given.seed}: {said}\n")
            sys.stdout.flush()


@contextmanager
def _url(kind: str, folder: str) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{Path(folder) / 'jobs.db'}"
        return
    with {"postgres": Postgres, "mariadb": MariaDB}[kind]() as server:
        yield create_database(server.url(), "recount")


if __name__ == "__main__":
    main()
