"""Seed: the whole day, in the order in which its parts need each other."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from hammerflow.cli.demo.day.figures import DayFigures
from hammerflow.cli.demo.day.live import WORKERS, LiveJobs
from hammerflow.cli.demo.day.nouns import Surroundings, write_log
from hammerflow.cli.demo.day.plain import FIGURES, PlainJobs, sources
from hammerflow.cli.demo.day.rehearsal import rehearsed, scenes
from hammerflow.cli.demo.day.staging import Staging
from hammerflow.cli.demo.day.traffic import QUEUES, merchants
from hammerflow.cli.demo.day.writing import DayWriter
from hammerflow.errors import HammerflowError
from hammerflow.stores.maintenance.backups import Backups
from hammerflow.stores.statistics.statistics import DAY, HOUR, MINUTE
from hammerflow.stores.store import Store

__all__ = ["SeededDay", "seed_day"]

_SPAWNS = (
    "span", "begin", "handler", "queue_id", "operations", "failures", "requested", "children",
    "most", "seconds", "longest",
)  # fmt: skip
_PROGRESS = ("id", "due_at", "counted_to", "final_to")
_JOBS_OF_AN_ORDER = 400  # plain jobs of the day for one order that is a workflow
_ORDERS = 60  # at most


class SeededDay(NamedTuple):
    """What was written."""

    jobs: int  # plain ones that have ended
    events: int
    queues: int


def seed_day(
    store: Store, *, jobs: int, queues: int, seed: int, now: float | None = None,
    ready: int | None = None, tell: Callable[[int], None] = lambda _: None,
) -> SeededDay:  # fmt: skip
    """Fill an empty database with a day.

    Args:
        jobs: plain jobs that have ended; what is live, and workflows, come on top.
        queues: how many there are in all; those beyond the shop's own belong to merchants.
        seed: the same one makes the same day, if that ends at the same time.
        now: when it ends, in seconds since 1970; by default now, by the database's clock.
        ready: how many jobs are ready when it ends; by default one for 60 jobs of the day.
        tell: gets after each minute of the day how many jobs are written.

    Raises:
        HammerflowError: the database has rows.
    """
    if tables := Backups(store).in_the_way():
        raise HammerflowError(
            f"this database is not empty (it has rows in {', '.join(tables)}): name an empty one "
            "with --database, or give the demo tables of its own by HAMMERFLOW_PREFIX"
        )
    rng, now = random.Random(seed), store.clock() if now is None else now
    writer, figures = DayWriter(store), DayFigures(now)
    workers = [each.id for each in WORKERS]
    orders = min(_ORDERS, max(2, jobs // _JOBS_OF_AN_ORDER))
    with rehearsed(scenes(orders)) as played:
        app = played.app
        found = sources(queues - len(QUEUES), rng, app.codec)
        _register(store, [*app.tasks], queues)
        staging = Staging(played, rng, now=now, workers=workers)
        staging.write(writer, figures)
        live = LiveJobs(writer, figures, found, rng, now=now)
        live.write(jobs, staging.running, ready=ready)
        plain = PlainJobs(writer, figures, found, rng, now=now, workers=workers, codec=app.codec)
        for written in plain.write(jobs):
            tell(written)
        around = Surroundings(writer, store, rng, now)
        around.write(app.schedules.definitions())
    _write_figures(writer, figures, staging)
    records = [*staging.records, *plain.records, *around.records]
    position = write_log(writer, store, records)
    around.write_sinks(position)
    live.write_workers(store.clock())
    writer.flush()
    return SeededDay(jobs, len(records), max(queues, len(QUEUES)))


def _register(store: Store, tasks: list[str], queues: int) -> None:
    gone = "reports.legacy_export"
    names = [*QUEUES, *merchants(queues - len(QUEUES))]
    store.names.register(queues=names, tasks=[*tasks, gone])


def _write_figures(writer: DayWriter, figures: DayFigures, staging: Staging) -> None:
    """The figures that are left, those of spawners, and how far all is counted."""
    writer.add("statistics", FIGURES, figures.take(figures.end))
    for span in (MINUTE, HOUR, DAY):
        over = figures.end // span * span
        rows = []
        for run in staging.spawned():
            begin = int(run.ended // span) * span
            if begin < over:
                counts = 1, int(run.failed), run.requested, run.spawned, run.spawned
                rows.append([
                    span, begin, run.handler, run.queue_id, *counts, run.seconds, run.seconds
                ])  # fmt: skip
        writer.add("spawn_statistics", _SPAWNS, rows)
    end = figures.end
    writer.add("statistics_progress", _PROGRESS, [[1, float(end), end, end]])
