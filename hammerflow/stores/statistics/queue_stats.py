"""Queue stats: depths, ages, rates and latencies, each from a bounded number of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from hammerflow.ids import first_id_at, time_of
from hammerflow.stores.database import Database
from hammerflow.stores.names import NameTable
from hammerflow.stores.pages.ready_queues import queues_with_ready

__all__ = ["BOUND", "QueueAge", "QueueDepth", "QueueStats", "Rates", "StateCounts", "Wait"]

#: Rows of one state that a view counts; more are shown as "at least".
BOUND = 10_000
_LEAST = 100  # of one queue, where there are very many
_WINDOW = 60.0  # seconds over which the rate of new jobs is taken
_RECENT = 1_000  # newest jobs whose times are read
_LAST_ORDER = 4  # of jobs outside lanes
_TABLES = ("running", "scheduled", "waiting", "parked")


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One queue: whether it is paused, and its number of jobs in each live state.

    Attributes:
        paused_at: None: it is not paused.
        paused_by: ``user@host`` from the command line.
        oldest: seconds since its oldest ready job was enqueued; None if none is ready.
        at_least: the states whose numbers are lower bounds.
    """

    name: str
    paused_at: datetime | None = None
    paused_by: str | None = None
    reason: str | None = None
    ready: int = 0
    running: int = 0
    scheduled: int = 0
    waiting: int = 0
    parked: int = 0
    oldest: float | None = None
    at_least: Sequence[str] = field(default=())


class QueueAge(NamedTuple):
    """For how long the first ready jobs of a queue have been ready, at most."""

    queue: str
    seconds: float


class StateCounts(NamedTuple):
    """Jobs in each live state, up to :data:`BOUND`, and what is paused.

    Attributes:
        jobs: by state; BOUND means as many or more.
        paused: queues and tasks.
    """

    jobs: Mapping[str, int]
    paused: int
    is_app_paused: bool


class Wait(NamedTuple):
    """How long one job waited for a worker, and then ran, in seconds."""

    waited: float
    ran: float


class Rates(NamedTuple):
    """Jobs a second, by queue: enqueued of late, and ended between the workers' last heartbeats."""

    enqueued: Mapping[str, float]
    ended: Mapping[str, float]


class QueueStats:
    """Reads for views. No figure needs a scan of ``jobs`` or ``done``, and none takes a lock."""

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._names = names

    def depths(self, *, bound: int = BOUND, only: str | None = None) -> list[QueueDepth]:
        """All queues in the order of their names, or one.

        Args:
            bound: rows of each state that are counted; of a state other than ready over all queues.
        """
        rows = self._database.rows("queues_all")
        if only is not None:
            rows = [row for row in rows if row[1] == only]
        ids = [row[0] for row in rows]
        ready, most = self._ready_of(ids, bound, is_all=only is None)
        oldest = self._oldest_of(ids, is_all=only is None)
        counts, full = self._counts(bound)
        found = []
        for id_, name, paused_at, by, reason in rows:
            at_least = [*full, *(["ready"] if ready.get(id_, 0) == most else [])]
            pause = self._database.dialect.instant(paused_at), by, reason
            running, scheduled, waiting, parked = (counts[state][id_] for state in _TABLES)
            live = ready.get(id_, 0), running, scheduled, waiting, parked
            found.append(QueueDepth(name, *pause, *live, oldest.get(id_), tuple(at_least)))
        return found

    def states(self) -> StateCounts:
        """All queues together, by one query."""
        found = dict(self._database.rows("state_counts", n=BOUND))
        jobs = {state: int(found[state]) for state in ("ready", *_TABLES)}
        return StateCounts(jobs, int(found["paused"]), bool(found["app_paused"]))

    def look(self) -> dict[str, dict[str, int]]:
        """What hints of changes are made of: counts by topic, by one query."""
        found = {state: int(count) for state, count in self._database.rows("state_counts", n=BOUND)}
        jobs = {state: found[state] for state in ("ready", *_TABLES)}
        pauses = {name: found[name] for name in ("paused", "app_paused")}
        names = {name: found[name] for name in ("queues", "schedules", "limits", "sinks")}
        return {
            "jobs": jobs, "pauses": pauses, "workers": {"workers": found["workers"]},
            "alerts": {"firing": found["firing"], "endpoints_off": found["endpoints_off"]},
            "names": names,
        }  # fmt: skip

    def ages(self) -> list[QueueAge]:
        """The queues with ready jobs that are not paused, the oldest first, by one query.

        Of the jobs that have a limit or take turns in a queue, the first one counts.
        """
        longest: dict[str, float] = {}
        for name, now, *heads in self._database.rows("queue_heads"):
            for head in filter(None, heads):
                id_, _, ready_at = head.partition(" ")
                since = float(ready_at) if ready_at else time_of(bytes.fromhex(id_))
                longest[name] = max(longest.get(name, 0.0), float(now) - since)
        found = [QueueAge(name, seconds) for name, seconds in longest.items()]
        return sorted(found, key=lambda age: age.seconds, reverse=True)

    def ready(self, queue_id: int, *, bound: int = BOUND) -> int:
        """How many jobs of a queue are ready, counted up to ``bound``."""
        return self._ready(queue_id, bound)

    def ready_page(
        self, queue_id: int, *, after: tuple[int, bytes], limit: int
    ) -> Sequence[tuple[int, bytes]]:
        """(priority order, id) of the ready jobs of a queue, in the order of claims.

        Args:
            after: the last one of the page before; the first page begins with (-1, zeros).
        """
        order, job_id = after
        place = {"queue_id": queue_id, "priority_order": order, "id": job_id}
        return self._database.rows("ready_page", **place, n=limit)

    def rates(self, workers: Sequence[Mapping[str, object]], *, lease: float) -> Rates:
        """Jobs a second that are enqueued and that end.

        Args:
            workers: as :meth:`Workers.list` gives them; those that are silent do not count.
            lease: seconds without a heartbeat after which a worker counts as lost.
        """
        ended: Counter[str] = Counter()
        for worker in workers:
            state = worker["state"]
            is_alive = abs(worker["silent_for"]) <= lease  # type: ignore[arg-type]
            if is_alive and isinstance(state, Mapping) and state.get("seconds"):
                for queue, count in state["ended"].items():
                    ended[queue] += count / state["seconds"]
        return Rates(self._enqueued(), ended)

    def waits(self) -> list[Wait]:
        """Of the newest jobs, those that have ended: how long each waited and ran."""
        instant = self._database.dialect.instant
        rows = self._database.rows("times_lately", **self._lately(), n=_RECENT)
        times = [[instant(time) for time in row] for row in rows if None not in row]
        return [
            Wait((started - created).total_seconds(), (ended - started).total_seconds())
            for created, started, ended in times
            if created is not None and started is not None and ended is not None
        ]

    def _counts(self, bound: int) -> tuple[dict[str, Counter[int]], list[str]]:
        """By state the number for each queue, and the states that have more rows than the bound."""
        counts = {
            state: Counter(dict(self._database.rows(f"by_queue_{state}", n=bound)))
            for state in _TABLES
        }
        return counts, [state for state in _TABLES if counts[state].total() >= bound]

    def _ready(self, queue_id: int, most: int) -> int:
        return int(self._database.column("ready_count", queue_id=queue_id, n=most)[0])

    def _ready_of(
        self, ids: Sequence[int], bound: int, *, is_all: bool
    ) -> tuple[Mapping[int, int], int]:
        """How many jobs of these queues are ready, and up to which number they were counted."""
        with_ready = queues_with_ready(self._database) if is_all else ids
        most = max(_LEAST, min(bound, 5 * bound // max(1, len(with_ready))))
        if is_all:
            return dict(self._database.rows("ready_counts", n=most)), most
        return {id_: self._ready(id_, most) for id_ in with_ready}, most

    def _oldest_of(self, ids: Sequence[int], *, is_all: bool) -> Mapping[int, float]:
        """Seconds since the oldest ready job of these queues was enqueued; of jobs that have
        a limit or take turns the first one counts."""
        if not is_all:
            return {id_: age for id_ in ids if (age := self._oldest(id_)) is not None}
        found: dict[int, float] = {}
        instant = self._database.dialect.instant
        for id_, now, *created, in_lane in self._database.rows("ready_oldest_all"):
            times = [at.timestamp() for at in map(instant, created) if at is not None]
            if in_lane is not None:
                times.append(time_of(in_lane))
            if times:
                age = max(0.0, float(now) - min(times))
                found[id_] = max(found.get(id_, 0.0), age)
        return found

    def _oldest(self, queue_id: int) -> float | None:
        ages = [self._database.column("ready_oldest", queue_id=queue_id)[0]]
        page = self.ready_page(queue_id, after=(_LAST_ORDER, b"\xff" * 16), limit=1)
        if page:
            ages.append(float(self._database.column("clock")[0]) - time_of(page[0][1]))
        return max((max(0.0, float(age)) for age in ages if age is not None), default=None)

    def _enqueued(self) -> dict[str, float]:
        between = self._lately()
        rows = self._database.rows("enqueued_lately", **between, n=BOUND)
        seconds = _WINDOW
        if sum(count for _, count in rows) == BOUND:  # it is more: over a shorter time
            nth = self._database.column("enqueued_nth", **between, n=BOUND - 1)
            begin = time_of(between["low"])
            seconds = max(0.1, begin + _WINDOW - time_of(nth[0])) if nth else seconds
        return {self._names.queue(id_): count / seconds for id_, count in rows}

    def _lately(self) -> dict[str, bytes]:
        """The range of the ids that were made in the last minute, by the database's clock."""
        now = float(self._database.column("clock")[0])
        return {"low": first_id_at(now - _WINDOW), "high": first_id_at(now + _WINDOW)}
