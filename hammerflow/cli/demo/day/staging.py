"""Staging: what was rehearsed gets the times of a day, and ids of those times."""

from __future__ import annotations

import itertools
import random
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hammerflow.cli.demo.day.figures import DayFigures
from hammerflow.cli.demo.day.rehearsal import Rehearsal
from hammerflow.cli.demo.day.traffic import TRAFFIC
from hammerflow.cli.demo.day.writing import DayWriter, Ids
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record
from hammerflow.ids import name_id
from hammerflow.jobs.histogram import bucket_of
from hammerflow.jobs.job import FINAL_CODES, JobState
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Database
from hammerflow.stores.tables import TableCopy, snapshot

__all__ = ["RunningJob", "SpawnerRun", "Staging"]

#: The tables that are copied, and in each the column that says to which job or workflow a row
#: belongs.
_TABLES = {
    "workflows": "id", "jobs": "id", "ready": "job_id", "leases": "job_id", "waiting": "job_id",
    "scheduled": "job_id", "parked": "job_id", "done": "job_id", "errors": "job_id",
    "spawns": "parent_id", "edges": "parent_id", "nodes": "job_id", "barriers": "id",
}  # fmt: skip
#: Columns of times that are those of the row's job or workflow, by what of it they are.
_TIMES = {
    ("workflows", "created_at"): "created", ("workflows", "ended_at"): "finished",
    ("jobs", "created_at"): "created", ("leases", "started_at"): "started",
    ("done", "started_at"): "started", ("done", "finished_at"): "finished",
    ("errors", "at"): "finished", ("errors", "started_at"): "started",
    ("spawns", "started_at"): "started", ("spawns", "ended_at"): "finished",
    ("parked", "at"): "finished",
}  # fmt: skip
_MEDIANS = {each.task: each.median for each in TRAFFIC} | {
    "imports.feed": 3.0, "images.product": 0.1, "shipping.book_courier": 1.5, "shipping.pick": 25.0,
    "suppliers.verify": 4.0, "suppliers.check_contract": 2.0, "orders.invoice": 0.8,
}  # fmt: skip
_TWINS = 6  # siblings that run at once
_HEX = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_KINDS = {
    JobState.COMPLETED: EventKind.JOB_COMPLETED, JobState.FAILED: EventKind.JOB_FAILED,
    JobState.CANCELLED: EventKind.JOB_CANCELLED, JobState.SKIPPED: EventKind.JOB_SKIPPED,
}  # fmt: skip
_FLOW_KINDS = {
    WorkflowState.COMPLETED: EventKind.WORKFLOW_COMPLETED,
    WorkflowState.FAILED: EventKind.WORKFLOW_FAILED,
    WorkflowState.CANCELLED: EventKind.WORKFLOW_CANCELLED,
}
_CODES = {code: state for state, code in FINAL_CODES.items()}
Row = dict[str, Any]


@dataclass(slots=True)
class _Part:
    """A job or workflow, and its times in seconds from the beginning of its scene."""

    id: bytes
    row: Row
    before: list[bytes] = field(default_factory=list)  # parts whose end it waits for
    members: list[bytes] = field(default_factory=list)  # of a workflow
    maker: bytes | None = None  # the spawner that has made it
    gates: list[bytes] = field(default_factory=list)  # children whose end its dependents wait for
    twin: int = 0  # its place among its siblings
    created: float = 0.0
    started: float | None = None
    finished: float | None = None


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that is running at the end of the day."""

    id: bytes
    task: str
    started: float


class SpawnerRun(NamedTuple):
    """One run of a spawner, as statistics count it."""

    handler: str
    queue_id: int
    ended: float
    requested: int
    spawned: int
    seconds: float
    failed: bool


class Staging:
    """Places the scenes in time, and copies their rows.

    Args:
        workers: the workers that have run, and run, the jobs.
    """

    def __init__(
        self, played: Rehearsal, rng: random.Random, *, now: float, workers: Sequence[int]
    ) -> None:
        self._rng, self._ids, self._now, self._workers = rng, Ids(rng), now, workers
        self._tables = dict(_read(played.app.store.database))
        self._names = {name_id(name): name for name in played.app.tasks}
        self._parts: dict[bytes, _Part] = {}
        self._link()
        self._new: dict[bytes, bytes] = {}
        self._done = {row["job_id"]: row for row in self._tables["done"]}
        self._running = {row["job_id"] for row in self._tables["leases"]}
        self.records: list[tuple[float, Record]] = []
        self.running: list[RunningJob] = []
        for root, scene in played.roots:
            self._place(self._family(root), scene.ago)

    # -- what waits for what

    def _link(self) -> None:
        tables = self._tables
        for row in itertools.chain(tables["workflows"], tables["jobs"]):
            self._parts[row["id"]] = _Part(row["id"], row)
        for part in self._parts.values():
            row = part.row
            around = row["parent_id"] if "kind" in row else row["workflow_id"]
            if around is not None:
                self._parts[around].members.append(part.id)
            if "kind" not in row and row["parent_id"] is not None:
                part.maker, part.twin = row["parent_id"], row["spawn_index"]
            if (target := self._parts.get(row["dependent_id"])) is not None:
                is_gate = part.maker == target.id
                (target.gates if is_gate else target.before).append(part.id)
        for row in tables["edges"]:
            self._parts[row["child_id"]].before.append(row["parent_id"])
        for row in tables["nodes"]:
            part = self._parts[row["job_id"]]
            part.twin = part.twin or (row["position"] or 0 if not part.before else 0)

    def _family(self, root: bytes) -> list[_Part]:
        """All parts of a scene, in the order of their ids."""
        makes: dict[bytes, list[bytes]] = defaultdict(list)
        for part in self._parts.values():
            if part.maker is not None:
                makes[part.maker].append(part.id)
        found: set[bytes] = set()
        rest = [self._outermost(root)]
        while rest:
            id_ = rest.pop()
            if id_ not in found:
                found.add(id_)
                rest += [*self._parts[id_].members, *makes[id_]]
        return [self._parts[id_] for id_ in sorted(found)]

    def _outermost(self, id_: bytes) -> bytes:
        """The workflow around a job (the handle of a chain is that of its last one), or itself."""
        row = self._parts[id_].row
        around = row["parent_id"] if "kind" in row else row["workflow_id"]
        return id_ if around is None else self._outermost(around)

    # -- times

    def _place(self, family: list[_Part], ago: float | None) -> None:
        for part in family:
            self._end_of(part.id)
        last = max(part.finished or part.started or part.created for part in family)
        begin = self._now - last - 3.0 if ago is None else self._now - ago
        begin = min(begin, self._now - last - 3.0)
        for part in family:
            part.created += begin
            part.started = None if part.started is None else part.started + begin
            part.finished = None if part.finished is None else part.finished + begin
        for part in sorted(family, key=lambda part: (part.created, part.id)):
            self._new[part.id] = self._ids.at(part.created)

    def _end_of(self, id_: bytes) -> float:
        """When a part ends, or would end."""
        part = self._parts[id_]
        if part.finished is not None or part.started is not None:
            return part.finished or part.started or 0.0
        part.created = 0.0 if part.maker is None else self._end_of(part.maker)
        begin = max([part.created, *map(self._over, part.before)])
        if "kind" in part.row:
            ended = max([begin, *map(self._over, part.members)])
            part.finished = ended if part.row["ended_at"] is not None else None
            part.started = begin
            return ended
        median = _MEDIANS.get(self._names[part.row["task_id"]], 0.5)
        begin += part.twin // _TWINS * median + self._rng.uniform(0.005, 0.05)
        end = begin + median * self._rng.lognormvariate(0, 0.4)
        done = self._done.get(id_)
        if done is not None:
            part.finished = end if done["started_at"] is not None else begin
        part.started = begin
        return end

    def _over(self, id_: bytes) -> float:
        """When what waits for a part may begin."""
        return max([self._end_of(id_), *map(self._over, self._parts[id_].gates)])

    # -- rows

    def write(self, writer: DayWriter, figures: DayFigures) -> None:
        """Write all rows, and count them."""
        for table, owner in _TABLES.items():
            rows = self._tables[table]
            if rows:
                columns = tuple(rows[0])
                writer.add(table, columns, (self._staged(table, owner, row) for row in rows))
        for part in self._parts.values():
            if "kind" in part.row:
                self._note_workflow(part)
            else:
                self._count(part, figures)
        writer.flush()

    def _staged(self, table: str, owner: str, row: Row) -> list[Any]:
        part = self._parts[row[owner]]
        values = [
            getattr(part, _TIMES[table, name])
            if (table, name) in _TIMES and value is not None
            else self._worker(part)
            if name == "worker_id" and value is not None
            else self._renamed(value)
            for name, value in row.items()
        ]
        if table == "leases" and part.started is not None:
            started = min(part.started, self._now - 1.0)
            values[[*row].index("started_at")] = started
            task = self._names[part.row["task_id"]]
            self.running.append(RunningJob(self._new[part.id], task, started))
        return values

    def _worker(self, part: _Part) -> int:
        return self._workers[self._new[part.id][-1] % len(self._workers)]

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return self._new.get(value, value) if len(value) == 16 else value
        if isinstance(value, str):
            value = value.replace("hammerflow.cli.demo.shop_errors.", "shop.errors.")
            return _HEX.sub(self._renamed_text, value)
        return value

    def _renamed_text(self, match: re.Match[str]) -> str:
        new = self._new.get(uuid.UUID(match[0]).bytes)
        if new is None:
            return match[0]
        return str(uuid.UUID(bytes=new)) if "-" in match[0] else new.hex()

    def _count(self, part: _Part, figures: DayFigures) -> None:
        row, id_ = part.row, self._new[part.id]
        task_id, queue_id = row["task_id"], row["queue_id"]
        figures.add_enqueued(task_id, queue_id, part.created)
        done = self._done.get(part.id)
        if done is None or part.finished is None:
            return
        run = wait = None
        if done["started_at"] is not None and part.started is not None:
            seconds = part.finished - part.started
            run = seconds, bucket_of(seconds)
            if not row["flags"] & 256 and part.maker is None:
                waited = part.started - part.created
                wait = waited, bucket_of(waited)
        figures.add_ended(task_id, queue_id, done["state"], part.finished, run, wait)
        kind = _KINDS[_CODES[done["state"]]]
        self.records.append((part.finished, Record(kind, id_, done["lease"], done["attempt"])))

    def _note_workflow(self, part: _Part) -> None:
        id_ = self._new[part.id]
        self.records.append((part.created, Record(EventKind.WORKFLOW_STARTED, id_)))
        kind = _FLOW_KINDS.get(WorkflowState(part.row["status"]))
        if kind is not None and part.finished is not None:
            self.records.append((part.finished, Record(kind, id_)))

    def spawned(self) -> Iterator[SpawnerRun]:
        """The runs of spawners that have ended."""
        for row in self._tables["spawns"]:
            part = self._parts[row["parent_id"]]
            if part.finished is not None and part.started is not None:
                seconds = part.finished - part.started
                numbers = row["requested"], row["spawned"]
                failed = row["error"] is not None
                place = row["handler"], part.row["queue_id"], part.finished
                yield SpawnerRun(*place, *numbers, seconds, failed)


def _read(database: Database) -> Iterator[tuple[str, list[Row]]]:
    """The rows of the tables."""
    copies: Mapping[str, TableCopy] = {
        name: TableCopy(database, name, frozenset()) for name in _TABLES
    }
    with snapshot(database) as tx:
        for name, copy in copies.items():
            pages: Iterable[list[tuple[Any, ...]]] = tx.stream(copy.to_read(), 1_000)
            columns = [*copy.types]
            yield name, [dict(zip(columns, row, strict=True)) for page in pages for row in page]
