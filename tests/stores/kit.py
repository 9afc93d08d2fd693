"""A store under test with its shorthand, and plain SQL beside it to look at what it wrote."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import Claimed, NewJob
from hammerflow.jobs.outcome import Completed, Failed, Failure, Lost, Operation, Outcome, Spawned
from hammerflow.jobs.priority_rule import STRICT, PriorityRule
from hammerflow.jobs.settlement import Settlement
from hammerflow.settings import Settings, parse_url
from hammerflow.stores import open_store
from hammerflow.stores.diagnosis.invariants import Invariants
from hammerflow.stores.store import Store
from tests.support.servers import open_admin

__all__ = [
    "BAD",
    "GONE",
    "STATE_TABLES",
    "Desk",
    "desk_at",
    "failed",
    "lost",
    "open_raw",
    "spawned",
]

STATE_TABLES = ("waiting", "scheduled", "ready", "leases", "parked", "done")
_DONE = {4: "completed", 5: "failed", 6: "cancelled", 7: "skipped"}
BAD = Failure("failed", "builtins.ValueError", "no good", "Traceback ...")
GONE = Failure("lost", "WorkerLost", "killed by signal 9", "")


def failed() -> Failed:
    """A failure for good."""
    return Failed(BAD)


def lost(delay: float | None = 0.0) -> Lost:
    """The child that ran it died."""
    return Lost(GONE, delay)


def spawned(*children: NewJob, result: bytes | None = b"M\x01") -> Completed:
    """A spawner's good end; a fan-in among the children (with ``pending``) is not counted."""
    count = sum(child.pending is None for child in children)
    operation = Operation("handler", None, None, count, 0.0)
    return Completed(result, Spawned(list(children), operation, count, [], 0))


def open_raw(url: str) -> Any:
    """The driver's own connection, in autocommit mode, for plain test SQL."""
    if url.startswith("sqlite"):
        return sqlite3.connect(parse_url(url).database, isolation_level=None, timeout=10)
    return open_admin(url)


class Desk:
    """One store, and what a test says of it in few words."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.url = url
        self.kind = url.partition(":")[0].replace("postgresql", "postgres")
        self.settings = Settings(database=url, **settings)
        self.store = open_store(self.settings)
        self._raw: Any = None

    def another(self, **settings: Any) -> Store:
        """A second store over the same database, as another process has it."""
        return open_store(Settings(database=self.url, **settings))

    def close(self) -> None:
        self.store.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection of :meth:`sql`; the next statement opens another."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with contextlib.suppress(Exception):  # a driver's word for a server that has gone
                raw.close()

    # -- verbs

    def job(self, task: str = "t", queue: str = "q", priority: int = 2, **more: Any) -> NewJob:
        """A job that is not inserted yet."""
        return NewJob(more.pop("id", None) or new_id(), task, queue, priority, b"M\x92", **more)

    def child(self, parent: Claimed | NewJob, index: int, **more: Any) -> NewJob:
        """A child of a spawner."""
        root = parent.root_id or parent.id
        depth = parent.depth + 1
        return self.job(parent_id=parent.id, root_id=root, depth=depth, spawn_index=index, **more)

    def family(self, parent: Claimed | NewJob, count: int, **more: Any) -> list[NewJob]:
        """Children 0..count-1 and, last, the fan-in that waits for them."""
        then = self.child(parent, count, pending=count, **more)
        return [*(self.child(parent, i, dependent_id=then.id) for i in range(count)), then]

    def put(self, *jobs: NewJob) -> list[bytes]:
        """Insert; the ids that stand for the jobs."""
        return self.store.jobs.insert(jobs).ids

    def claim(
        self,
        limit: int = 100,
        *,
        worker: int = 1,
        queue: str = "q",
        tasks: Sequence[str] = ("t",),
        store: Store | None = None,
        thorough: bool = True,
        rule: PriorityRule = STRICT,
    ) -> list[Claimed]:
        claim, task_ids = (store or self.store).jobs.claim, [name_id(t) for t in tasks]
        return claim(
            worker, queue=queue, task_ids=task_ids, limit=limit, thorough=thorough, rule=rule
        )

    def run(self, *jobs: NewJob, worker: int = 1) -> list[Claimed]:
        """Insert jobs and claim them, in the order given."""
        self.put(*jobs)
        tasks = {job.task for job in jobs}
        claimed = {
            job.id: job
            for queue in {job.queue for job in jobs}
            for job in self.claim(10_000, worker=worker, queue=queue, tasks=[*tasks])
        }
        return [claimed[job.id] for job in jobs]

    def settle(self, *batch: tuple[Claimed, Outcome], worker: int = 1) -> Settlement:
        return self.store.jobs.settle(worker, batch)

    def end(self, *jobs: Claimed, worker: int = 1) -> Settlement:
        """All of them completed."""
        return self.settle(*((job, Completed(b"M\x01")) for job in jobs), worker=worker)

    def register(
        self, worker: int = 1, *, tasks: Sequence[str] = ("t",), queues: Sequence[str] = ("q",)
    ) -> set[str]:
        return self.store.workers.register(
            worker, host="here", pid=1, info={}, tasks=tasks, queues=queues
        )

    # -- plain SQL

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run plain SQL beside the store; ``{jobs}`` is the table's full name."""
        if self._raw is None:
            self._raw = open_raw(self.url)
        cursor = self._raw.cursor()
        cursor.execute(text.replace("{", self.settings.prefix).replace("}", ""))
        rows = list(cursor.fetchall()) if cursor.description else []
        cursor.close()
        return rows

    def id(self, job_id: bytes) -> str:
        """An id as an SQL literal."""
        return {
            "sqlite": f"x'{job_id.hex()}'",
            "postgres": f"'{job_id.hex()}'::uuid",
            "mysql": f"0x{job_id.hex()}",
        }[self.kind]

    def ids(self, text: str) -> list[bytes]:
        """The first column of a query as ids."""
        return [as_bytes(row[0]) for row in self.sql(text)]

    def shift(self, column: str, seconds: float) -> str:
        """An SQL expression: a time column moved into the past."""
        return {
            "sqlite": f"{column} - {seconds}",
            "postgres": f"{column} - interval '{seconds} seconds'",
            "mysql": f"{column} - INTERVAL {round(seconds * 1e6)} MICROSECOND",
        }[self.kind]

    def elapse(self, seconds: float) -> None:
        """Let time pass: everything in the database lies further back."""
        for table, column in (
            ("scheduled", "run_at"),
            ("workers", "beat_at"),
            ("jobs", "expires_at"),
            ("done", "result_until"),
        ):
            self.sql(f"UPDATE {{{table}}} SET {column} = {self.shift(column, seconds)}")

    def places(self, job_id: bytes) -> list[str]:
        """The state tables that hold a job: one, or something is wrong."""
        return [
            table
            for table in STATE_TABLES
            if self.sql(f"SELECT 1 FROM {{{table}}} WHERE job_id = {self.id(job_id)}")
        ]

    def state(self, job_id: bytes) -> str:
        """The job's state by its table, checked against the view."""
        places = self.places(job_id)
        assert len(places) == 1, f"a job stands in {places or 'no table'}"
        state = {"leases": "running"}.get(places[0], places[0])
        if state == "done":
            rows = self.sql(f"SELECT state FROM {{done}} WHERE job_id = {self.id(job_id)}")
            state = _DONE[rows[0][0]]
        seen = self.store.jobs.get(job_id)
        assert seen is not None and seen.state == state
        return state

    def states(self, ids: Sequence[bytes]) -> list[str]:
        return [self.state(job_id) for job_id in ids]

    def one(self, columns: str, table: str, job_id: bytes) -> tuple[Any, ...]:
        """A job's row in a table."""
        (row,) = self.sql(f"SELECT {columns} FROM {{{table}}} WHERE job_id = {self.id(job_id)}")
        return row

    def errors(self, job_id: bytes) -> list[tuple[str, int]]:
        """(kind, lease) of a job's error history."""
        return self.sql(
            f"SELECT kind, lease FROM {{errors}} WHERE job_id = {self.id(job_id)} ORDER BY lease"
        )

    def count(self, table: str) -> int:
        return int(self.sql(f"SELECT count(*) FROM {{{table}}}")[0][0])

    def invariants(self) -> Invariants:
        """What ``maintenance check`` asks."""
        sweep = functools.partial(self.store.workers.sweep, lease=30.0, poison_limit=3)
        store = self.store
        return Invariants(store.database, store.names, sweep=sweep, silent=30.0)

    def damage(self, *, but: Sequence[str] = ()) -> dict[str, int]:
        """What ``maintenance check`` finds, with counts; leases of workers that no test has
        registered are none."""
        left_out = {"leases_without_worker", *but}
        found = self.invariants().find()
        return {each.kind: len(each.rows) for each in found if each.kind not in left_out}

    def check(self) -> None:
        """Every job stands in exactly one state table, and no row is an orphan."""
        found: list[bytes] = []
        for table in STATE_TABLES:
            found += self.ids(f"SELECT job_id FROM {{{table}}}")
        assert len(found) == len(set(found)), "a job stands in two state tables"
        assert set(found) == set(self.ids("SELECT id FROM {jobs}"))


def as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes(value.bytes)


@contextlib.contextmanager
def desk_at(url: str, **settings: Any) -> Iterator[Desk]:
    """A desk over a URL, closed at the end."""
    desk = Desk(url, **settings)
    try:
        yield desk
    finally:
        desk.close()
