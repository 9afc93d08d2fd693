"""Overview: what is wrong now first, and how much there is to do, in six queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hammerflow.admin.alerts import alert_json
from hammerflow.admin.failures import FailureGroup, failure_groups
from hammerflow.admin.series import Series, series_of
from hammerflow.admin.workers import Worker, children_of
from hammerflow.alerts.states import Alert
from hammerflow.durations import duration_words
from hammerflow.stores.diagnosis.explain import serves
from hammerflow.stores.statistics.queue_stats import BOUND, QueueAge, StateCounts
from hammerflow.stores.statistics.statistics import Window
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["LastHour", "Overview", "Problem", "WorkerCounts", "last_hour_of", "overview_of"]

_FAILED, _GROUPS = 1_000, 10  # errors that are looked at, and groups that are shown
_HOUR = 3600.0
_UNCOUNTED = 70.0  # seconds: a minute is counted some seconds after it is over
_SPIKE = 0.2  # share of the ended jobs of an hour that have failed, from which it is a problem
_LEAST = 20  # ended jobs below which a share says nothing
#: Seconds by which a queue is late, and by which it is very late; late ones that are named.
_LATE, _VERY_LATE, _NAMED = 60.0, 900.0, 3


class Problem(NamedTuple):
    """Something that is wrong.

    Attributes:
        severity: critical or warning.
        code: names its kind.
        subject: the queue, task ... that it is about; empty for all.
    """

    severity: str
    code: str
    subject: str
    says: str
    advice: str


class WorkerCounts(NamedTuple):
    """Workers by their last heartbeats, and the children of those that live."""

    alive: int
    silent: int
    draining: int
    children: int
    busy: int


class Overview(NamedTuple):
    """The first page of a dashboard; the worst problems come first."""

    at: datetime
    problems: Sequence[Problem]
    counts: StateCounts
    workers: WorkerCounts
    series: Series
    failures: Sequence[FailureGroup]
    alerts: Sequence[Mapping[str, Any]]


class LastHour(NamedTuple):
    """What costs most of an overview, and is right for some seconds.

    Attributes:
        ages: for how long queues have been behind.
        failures: of the last hour in groups, the largest first; of the newest 1 000 errors.
        series: the last hour by minute.
    """

    ages: Sequence[QueueAge]
    failures: Sequence[FailureGroup]
    series: Series


def overview_of(
    store: Store, *, lease: float, last_hour: Callable[[], LastHour] | None = None
) -> Overview:
    """Read it.

    Args:
        lease: seconds without a heartbeat after which a worker counts as silent.
        last_hour: gives what was read of late. It is asked last, when what else is read has given
            its connection back: whoever reads it again in another thread opens none then.
    """
    now = datetime.now(UTC)
    counts = store.queue_stats.states()
    registered = store.workers.list()
    firing, mutes = store.alerts.firing(now.timestamp())
    ages, groups, series = last_hour_of(store) if last_hour is None else last_hour()
    workers = _workers(registered, lease)
    alerts = [alert_json(mutes, alert) for alert in firing]
    told = {alert.subject for alert in firing if alert.rule.startswith("queue_")}
    told |= {age.queue for age in ages if counts.is_app_paused}
    late = [age for age in ages if age.seconds >= _LATE and age.queue not in told]
    alive = [one for one in registered if abs(one["silent_for"]) <= lease]
    found = [*_alerting(firing), *_late(late, alive), *_problems(counts, workers, series)]
    found.sort(key=lambda one: one.severity != "critical")
    return Overview(now, found, counts, workers, series, groups[:_GROUPS], alerts)


def last_hour_of(store: Store) -> LastHour:
    """Read it, by three queries."""
    now = datetime.now(UTC)
    window = Window.last(_HOUR, now.timestamp() - _UNCOUNTED)
    series = series_of(window, store.statistics.summed(window))
    return LastHour(store.queue_stats.ages(), _recent_failures(store, now), series)


def _recent_failures(store: Store, now: datetime) -> Sequence[FailureGroup]:
    letters = store.dead_letters.newest_failed(_FAILED)
    begin = now - timedelta(seconds=_HOUR)
    recent = [each for each in letters if each.at is not None and each.at >= begin]
    return failure_groups(recent, now=now)


def _workers(workers: Sequence[Worker], lease: float) -> WorkerCounts:
    alive = [one for one in workers if abs(one["silent_for"]) <= lease]
    children = [child for one in alive for child in children_of(one)]
    return WorkerCounts(
        len(alive), len(workers) - len(alive),
        sum(bool(one["state"].get("draining")) for one in alive),
        len(children), sum(bool(child.get("jobs")) for child in children),
    )  # fmt: skip


def _alerting(firing: Sequence[Alert]) -> Iterator[Problem]:
    for alert in firing:
        yield Problem(alert.severity, f"alert.{alert.rule}", alert.subject, alert.text, "")


def _late(late: Sequence[QueueAge], alive: Sequence[Worker]) -> Iterator[Problem]:
    """The queues whose oldest ready job waits for long, the worst first.

    Without any live worker all have one cause, which is told on its own.
    """
    if late and not alive:
        says = f"{counted(len(late), 'queue is', 'queues are')} behind"
        longest = f"{late[0].queue} for longest: {duration_words(late[0].seconds)}"
        yield Problem("warning", "queues_late", "", f"{says}, {longest}", "")
        return
    for queue, seconds in late[:_NAMED]:
        serving = sum(serves(worker, queue) for worker in alive)
        is_critical = seconds >= _VERY_LATE or not serving
        served = f"served by {serving:,} of {counted(len(alive), 'live worker')}"
        says = f"is {duration_words(seconds)} behind, {served if serving else 'and unserved'}"
        advice = f"start a worker for it, or add it to one: -Q ...,{queue}"
        yield Problem(
            "critical" if is_critical else "warning", "queue_late", queue, says,
            "see what its first jobs wait for" if serving else advice,
        )  # fmt: skip
    if (more := len(late) - _NAMED) > 0:
        says = f"{counted(more, 'further queue is', 'further queues are')} behind"
        yield Problem("warning", "queues_late", "", says, "see the queues")


def _problems(counts: StateCounts, workers: WorkerCounts, series: Series) -> Iterator[Problem]:
    """What is wrong without any rule."""
    ready = counts.jobs["ready"]
    if counts.is_app_paused:
        yield Problem("critical", "app_paused", "", "the app is paused: no job starts", "resume it")
    if not workers.alive:
        severity, much = ("critical", _shown(ready)) if ready else ("warning", "no job is")
        says = f"no worker is alive, and {much} ready"
        yield Problem(severity, "no_worker", "", says, "start one: hammerflow -A ... worker")
    if workers.silent:
        says = f"{counted(workers.silent, 'worker')} without a heartbeat"
        one = "another worker takes" if workers.alive else "a worker, once one is started, takes"
        its = "its" if workers.silent == 1 else "their"
        advice = f"{one} over {its} jobs"
        yield Problem("warning", "worker_silent", "", says, advice)
    if counts.paused:
        says = f"{counted(counts.paused, 'queue or task is', 'queues or tasks are')} paused"
        yield Problem("warning", "paused", "", says, "see the pauses")
    if parked := counts.jobs["parked"]:
        says = f"{_shown(parked)} parked"
        yield Problem("warning", "parked", "", says, "see the failures")
    failed = sum(point["failed"] for point in series.points)
    ended = failed + sum(point["completed"] for point in series.points)
    if ended >= _LEAST and failed >= _SPIKE * ended:
        says = f"{failed:,} of {ended:,} jobs of the last hour have failed"
        yield Problem("warning", "failures", "", says, "see the failures")


def _shown(number: int) -> str:
    """A number of jobs with its verb, which a count may have bounded."""
    if number >= BOUND:
        return f"{BOUND:,} or more jobs are"
    return counted(number, "job is", "jobs are")
