"""Figures of schedules: how fast several workers make the ticks of many that are due at once."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.measure import Figures, query
from benchmarks.scale import clear
from benchmarks.tasks import app, noop
from hammerflow.services.scheduler import Scheduler

_DAY = 86_400.0


def schedules(url: str, n: int) -> Iterator[Figures]:
    """Make one tick of n / 5 schedules that are due at once, by one worker and by four."""
    count = max(10, n // 5)
    rates: dict[int, float] = {}
    for workers in (1, 4):
        _due(count)
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            pool.map(_warm, range(workers), chunksize=1)
            began = time.perf_counter()
            made = pool.map(_tick, [count] * workers, chunksize=1)
            seconds = time.perf_counter() - began
        ticks = query("SELECT count(*) FROM {schedule_ticks}")[0][0]
        assert ticks == count, f"{ticks} ticks of {count} schedules"
        rates[workers] = count / seconds
        yield {"figure": f"ticks of {count:,} schedules due at once, {workers} workers",
               "ticks_s": round(rates[workers]), "seconds": round(seconds, 2),
               "shares": " ".join(map(str, sorted(made))),
               "ratio": round(rates[workers] / rates[1], 2), "bar": "< 60 s"}  # fmt: skip
    _clear()


def _due(count: int) -> None:
    """Schedules that were due a second ago."""
    _clear()
    call, store = noop.s(0), app.store.schedules
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    plain = app.schedules.definition("s", timedelta(days=1), call, {"start": due})

    def make(tx: Any) -> None:
        for number in range(count):
            row = store._new(f"s{number}", "", None, json.dumps(plain), due)
            store._insert(tx, row, due - timedelta(seconds=1))

    app.store.database.unit(make)


def _warm(_: int) -> None:
    """Open the connection, and let the other processes come so far."""
    app.store.schedules.due_in()
    time.sleep(1)


def _tick(count: int) -> int:
    """Tick as a worker does until nothing is due; how many ticks it made."""
    made = 0
    scheduler = Scheduler(
        app.store, namespace="bench", poll=1.0, fresh=20.0, definitions=dict,
        on_ready=lambda _: None, on_settled=lambda _: None, on_cancel=lambda: None,
    )  # fmt: skip
    make = app.store.schedules.make

    def counted(*given: Any, **more: Any) -> Any:
        nonlocal made
        found = make(*given, **more)
        made += found.ticks.runs
        return found

    app.store.schedules.make = counted  # type: ignore[method-assign]
    scheduler._since = time.monotonic() - _DAY
    scheduler._looked_at = time.monotonic()
    while True:
        due_in = app.store.schedules.due_in()
        if due_in is None or due_in > 0:
            return made
        wait = scheduler.tick(time.monotonic())
        if wait > 0:
            time.sleep(min(wait, 0.1))


def _clear() -> None:
    clear()
    for table in ("schedules", "schedule_ticks"):
        query(f"DELETE FROM {{{table}}}")


ALL = {"schedules": schedules}
