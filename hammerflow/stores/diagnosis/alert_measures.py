"""AlertMeasures: what the rules of alerts watch, read from the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from statistics import median
from typing import Any

from hammerflow.alerts.rules import AlertRule, Measure
from hammerflow.ids import name_id
from hammerflow.stores.diagnosis.diagnostics import Diagnostics
from hammerflow.stores.diagnosis.durability import (
    Trouble,
    mysql_durability,
    postgres_durability,
    sqlite_durability,
)
from hammerflow.stores.diagnosis.explain import serves
from hammerflow.stores.statistics.queue_stats import QueueDepth
from hammerflow.stores.statistics.statistics import DAY, HOUR, MINUTE, Counts, Window
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["AlertMeasures", "Look"]

_MOST = 1_000_000  # ready jobs of a queue that are counted, at most
_DAYS = 4  # of the 7 days before, those in whose hour jobs ended, at least
_SCHEDULES = 100  # of those that are due next


class AlertMeasures:
    """Measures rules; each query reads a bounded number of rows.

    Args:
        lease: seconds without a heartbeat after which a worker counts as lost.
        statistics: whether workers count the jobs of each minute; rules that need it are left out
            where they do not.
        path: of the file of a SQLite database.
    """

    def __init__(self, store: Store, *, lease: float, statistics: bool, path: str = "") -> None:
        self._store = store
        self._path = path
        self._lease = lease
        self._statistics = statistics
        self._hours: dict[int, Counter[str]] = {}  # counted for good, by their begin

    def read(self, rules: Mapping[str, AlertRule]) -> Mapping[str, Sequence[Measure]]:
        """What was found of each rule that is on and can be measured, by its name."""
        look = Look(self._store, self._lease, self._hours, self._path)
        found = {}
        for name, rule in rules.items():
            if rule.enabled and (self._statistics or rule.kind.name not in _COUNTED):
                measures = _MEASURES[rule.kind.name](look, rule)
                found[name] = [one for one in measures if rule.covers(one.subject)]
        return found


class Look:
    """What one evaluation reads, each table once."""

    def __init__(
        self, store: Store, lease: float, hours: dict[int, Counter[str]], path: str
    ) -> None:
        self.store = store
        self.path = path
        self._lease = lease
        self._hours = hours
        self.now = store.clock()

    @cached_property
    def depths(self) -> Sequence[QueueDepth]:
        """All queues."""
        return self.store.queue_stats.depths()

    @cached_property
    def waiting(self) -> Sequence[tuple[QueueDepth, float]]:
        """Queues that are not paused and have ready jobs, with the age of the oldest."""
        is_paused = any(pause.kind == "app" for pause in self.store.pauses.list())
        return [
            (depth, depth.oldest)
            for depth in self.depths
            if not is_paused and depth.paused_at is None and depth.ready
            if depth.oldest is not None
        ]

    @cached_property
    def workers(self) -> Sequence[Mapping[str, Any]]:
        """All workers with a row."""
        return self.store.workers.list()

    @cached_property
    def alive(self) -> Sequence[Mapping[str, Any]]:
        """Those that beat."""
        return [one for one in self.workers if abs(one["silent_for"]) <= self._lease]

    def ended(self, seconds: float) -> Sequence[Counts]:
        """What has ended within ``seconds``, in whole minutes that are counted already."""
        progress = self.store.statistics.progress()
        if progress is None or progress.counted_to + 5 * MINUTE < self.now:
            return ()
        begin = int((progress.counted_to - seconds) // MINUTE) * MINUTE
        return self.store.statistics.read(Window(begin, progress.counted_to, MINUTE))

    def hour(self, begin: int) -> Counter[str]:
        """How many jobs of each task completed or failed in an hour that is over."""
        if begin not in self._hours:
            found: Counter[str] = Counter()
            for counts in self.store.statistics.by_task(Window(begin, begin + HOUR, HOUR)):
                if counts.state in ("completed", "failed"):
                    found[counts.task] += counts.jobs
            self._hours[begin] = found
        return self._hours[begin]

    def last_hour(self) -> int | None:
        """The begin of the last hour that is counted for good."""
        progress = self.store.statistics.progress()
        if progress is None or progress.final_to + 2 * HOUR < self.now:
            return None
        begin = progress.final_to // HOUR * HOUR - HOUR
        for old in [each for each in self._hours if each < begin - 8 * DAY]:
            del self._hours[old]
        return begin

    def is_served(self, queue: str) -> bool:
        """Whether a live worker takes jobs of a queue."""
        return any(serves(worker, queue) for worker in self.alive)

    def is_silent(self, worker: Mapping[str, Any]) -> bool:
        """Whether a worker has not beaten for a lease."""
        return bool(worker["silent_for"] > self._lease)


def _failure_ratio(look: Look, rule: AlertRule) -> Iterator[Measure]:
    failed: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for counts in look.ended(rule.window):
        if counts.state in ("completed", "failed"):
            ended[counts.task] += counts.jobs
            failed[counts.task] += counts.jobs if counts.state == "failed" else 0
    for task, jobs in ended.items():
        if jobs >= rule.least:
            ratio = failed[task] / jobs
            text = f"{failed[task]:,} of {jobs:,} jobs of task {task} have failed ({ratio:.0%})"
            yield Measure(task, ratio, text)


def _queue_depth(look: Look, rule: AlertRule) -> Iterator[Measure]:
    most = int(min(rule.critical + 1, _MOST))
    for depth, _ in look.waiting:
        ready = depth.ready
        if "ready" in depth.at_least and ready < most:
            ready = look.store.queue_stats.ready(name_id(depth.name), bound=most)
        text = f"{ready:,} or more ready jobs" if ready == most else counted(ready, "ready job")
        yield Measure(depth.name, ready, f"queue {depth.name} has {text}")


def _queue_age(look: Look, _: AlertRule) -> Iterator[Measure]:
    for depth, age in look.waiting:
        text = f"the oldest ready job of queue {depth.name} has waited for {age:,.0f} s"
        yield Measure(depth.name, age, text)


def _queue_starving(look: Look, rule: AlertRule) -> Iterator[Measure]:
    idle = [(one, age) for one, age in look.waiting if not one.running and age >= rule.threshold]
    moving = {counts.queue for counts in look.ended(rule.window)} if idle else set()
    for depth, age in idle:
        if depth.name not in moving and look.is_served(depth.name):
            text = (
                f"queue {depth.name} has {counted(depth.ready, 'ready job')}, and none of its jobs "
                f"has run for {age:,.0f} s though a worker serves it: see hammerflow queue health"
            )
            yield Measure(depth.name, age, text)


def _queue_unserved(look: Look, _: AlertRule) -> Iterator[Measure]:
    for depth, age in look.waiting:
        if not look.is_served(depth.name):
            text = f"queue {depth.name} has {counted(depth.ready, 'ready job')} and no live worker"
            yield Measure(depth.name, age, text)


def _worker_silent(look: Look, rule: AlertRule) -> Iterator[Measure]:
    lost: Counter[str] = Counter(
        host
        for host, _, ago in look.store.database.rows("worker_losses", window=rule.window)
        if ago <= rule.window
    )
    lost.update(one["host"] for one in look.workers if look.is_silent(one))
    for host, count in lost.items():
        text = f"{count} worker{'s' * (count > 1)} of host {host} went silent without leaving"
        yield Measure(host, count, text)


def _jobs_parked(look: Look, _: AlertRule) -> Iterator[Measure]:
    for depth in look.depths:
        if depth.parked:
            parked = counted(depth.parked, "parked job")
            text = f"queue {depth.name} has {parked}: see hammerflow job list"
            yield Measure(depth.name, depth.parked, f"{text} --state parked")


def _schedule_late(look: Look, _: AlertRule) -> Iterator[Measure]:
    for row in look.store.schedules.next(_SCHEDULES):
        late = 0.0 if row.next_at is None else look.now - row.next_at.timestamp()
        if late > 0:
            yield Measure(row.name, late, f"schedule {row.name} is {late:,.0f} s late")


def _sink_lag(look: Look, _: AlertRule) -> Iterator[Measure]:
    sinks = [sink for sink in look.store.sinks.list() if sink.state != "paused"]
    if not sinks:
        return
    head, oldest = look.store.events.head(), look.store.database.first("outbox_oldest")
    for sink in sinks:
        first = look.store.database.first("events_at", position=sink.position + 1)
        at = oldest[0] if first is None and oldest else look.now if first is None else first[2]
        behind = max(0, head - sink.position)
        text = f"sink {sink.name} is {look.now - at:,.0f} s and {behind:,} events behind"
        why = sink.error or (sink.reason if sink.state == "stopped" else "")
        yield Measure(sink.name, max(0.0, look.now - at), f"{text}: {why}" if why else text)


def _endpoint_disabled(look: Look, _: AlertRule) -> Iterator[Measure]:
    for hook in look.store.webhooks.list():
        if hook.state == "disabled" and hook.changed_by == "hammerflow":
            text = f"webhook {hook.name} is disabled: {hook.reason}"
            yield Measure(hook.name, 1, f"{text}; see hammerflow webhook deliveries {hook.name}")


def _unsafe_settings(look: Look, _: AlertRule) -> Iterator[Measure]:
    found = [one for one in _troubles(look) if one.name in ("durability", "disk")]
    if found:
        worst = 2 if any(one.status == "fail" for one in found) else 1
        yield Measure("database", worst, "; ".join(one.says for one in found))


def _troubles(look: Look) -> Sequence[Trouble]:
    values, kind = Diagnostics(look.store.database).settings(), look.store.database.dialect.name
    if kind == "sqlite":
        return sqlite_durability(look.path, values)
    return postgres_durability(values) if kind == "postgres" else mysql_durability(values)


def _anomaly(look: Look, rule: AlertRule) -> Iterator[Measure]:
    begin = look.last_hour()
    if begin is None:
        return
    now, days = look.hour(begin), [look.hour(begin - n * DAY) for n in range(1, 8)]
    if sum(map(bool, days)) < _DAYS:
        return
    for task in now.keys() | set().union(*days):
        usual = median(day[task] for day in days)
        if max(now[task], usual) < rule.least:
            continue
        deviation = median(abs(day[task] - usual) for day in days)
        spread = max(1.4826 * deviation, 0.05 * usual, 1.0)
        text = f"{now[task]:,} jobs of task {task} ended in the last hour; usually {usual:,g} do"
        yield Measure(task, abs(now[task] - usual) / spread, text)


#: Kinds that need the setting ``statistics``.
_COUNTED = frozenset({"failure_ratio", "queue_starving", "anomaly"})
_MEASURES: Mapping[str, Callable[[Look, AlertRule], Iterator[Measure]]] = {
    "failure_ratio": _failure_ratio,
    "queue_depth": _queue_depth,
    "queue_age": _queue_age,
    "queue_starving": _queue_starving,
    "queue_unserved": _queue_unserved,
    "worker_silent": _worker_silent,
    "jobs_parked": _jobs_parked,
    "schedule_late": _schedule_late,
    "sink_lag": _sink_lag,
    "endpoint_disabled": _endpoint_disabled,
    "unsafe_settings": _unsafe_settings,
    "anomaly": _anomaly,
}
