"""``hammerflow monitor``: queues, rates, latencies, workers and schedules, until Ctrl-C or q."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from hammerflow.admin.queues import Figures, figures_of
from hammerflow.cli import options, output
from hammerflow.cli.exit import INTERRUPTED
from hammerflow.cli.queue_view import STATS, rate_text
from hammerflow.cli.schedule_view import SCHEDULES
from hammerflow.cli.session import Session
from hammerflow.cli.worker_view import WORKERS
from hammerflow.stores.schedules import ScheduleRow
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["command"]

#: Schedules that are shown, and seconds after its tick at which one is late.
_SCHEDULES, _LATE = 10, 5.0


class Screen(NamedTuple):
    """What one update shows; latencies are the median and the 95th percentile, in seconds."""

    at: datetime
    queues: Sequence[Figures]
    workers: Sequence[dict[str, Any]]
    schedules: Sequence[ScheduleRow]
    waited: tuple[float, float] | None
    ran: tuple[float, float] | None


@click.command("monitor")
@options.interval(default=2.0)
@options.watch_count
@options.shared
def command(session: Session, interval: float, count: int | None) -> int:
    """Watch queues, rates, latencies, workers and schedules until Ctrl-C or q.

    A terminal is redrawn at each update; elsewhere an update is one line (with --json: one JSON
    document per line). Depths are counted up to 10 000; rates are those of queue stats; latencies
    are over those of the newest 1 000 jobs of the last minute that have ended. The activity of
    workers is as of their latest heartbeats. The schedules are the ten that are due next, late
    ones first.
    """
    with session.store() as store, contextlib.suppress(_Quit):
        lease = session.settings.lease
        try:
            if session.as_json or not output.is_terminal():
                for _ in options.updates(interval, count):
                    _print(session, _read(store, lease))
            else:
                _draw(store, lease, interval, count)
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


class _Quit(Exception):
    """The user has pressed q."""


def _read(store: Store, lease: float) -> Screen:
    waits = store.queue_stats.waits()
    return Screen(
        datetime.now(UTC), figures_of(store, lease=lease), list(store.workers.list()),
        store.schedules.next(_SCHEDULES),
        _quantiles([wait.waited for wait in waits]), _quantiles([wait.ran for wait in waits]),
    )  # fmt: skip


def _quantiles(seconds: list[float]) -> tuple[float, float] | None:
    """The median and the 95th percentile; None of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]


def _print(session: Session, screen: Screen) -> None:
    if session.as_json:
        found = {
            "at": screen.at, "queues": [STATS.as_json(one) for one in screen.queues],
            "workers": [WORKERS.as_json(one) for one in screen.workers],
            "schedules": [
                {**SCHEDULES.as_json(row), "late": _late(screen, row)} for row in screen.schedules
            ],
            "waited": screen.waited, "ran": screen.ran,
        }  # fmt: skip
        output.show_json(found, is_line=True)
    else:
        output.say(f"{output.local_time(screen.at)}  {_summary(screen)}")


def _summary(screen: Screen) -> str:
    """``5 ready, 2 running, in 0.3/s, out 0.3/s, waited 0.01 s (95 %: 0.2 s), ran ...``."""
    ready, running = (
        sum(getattr(one.depth, state) for one in screen.queues) for state in ("ready", "running")
    )
    late = sum(_late(screen, row) > _LATE for row in screen.schedules)
    more = "+" if any("ready" in one.depth.at_least for one in screen.queues) else ""
    parts = [
        f"{ready:,}{more} ready", f"{running:,} running",
        f"in {rate_text(sum(one.enqueued for one in screen.queues))}",
        f"out {rate_text(sum(one.ended for one in screen.queues))}",
        _latency("waited", screen.waited), _latency("ran", screen.ran),
        counted(len(screen.workers), "worker"), f"{counted(late, 'schedule')} late" if late else "",
    ]  # fmt: skip
    return ", ".join(filter(None, parts))


def _late(screen: Screen, row: ScheduleRow) -> float:
    """For how many seconds a tick has not been made that is due."""
    return max(0.0, (screen.at - row.next_at).total_seconds()) if row.next_at is not None else 0.0


def _latency(what: str, seconds: tuple[float, float] | None) -> str:
    return "" if seconds is None else f"{what} {seconds[0]:.3f} s (95 %: {seconds[1]:.3f} s)"


def _draw(store: Store, lease: float, interval: float, count: int | None) -> None:
    """Redraw the whole terminal, which is as it was before once this returns."""
    from rich.live import Live

    with _keys() as pressed, Live(screen=True, auto_refresh=False) as live:
        done = 0
        while count is None or done < count:
            live.update(_rendered(_read(store, lease)), refresh=True)
            done += 1
            if done != count and pressed(interval):
                raise _Quit


def _rendered(screen: Screen) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
        shown = Table(title=title, title_justify="left", expand=True, box=None, pad_edge=False)
        for head in heads:
            shown.add_column(head, no_wrap=True)
        for row in rows:
            shown.add_row(*(Text(output.cell_text(cell)) for cell in row))
        return shown

    return Group(
        Text(f"hammerflow, {output.local_time(screen.at)}; q or Ctrl-C ends", "bold"),
        Text(_summary(screen)),
        table("\nqueues", STATS.heads, [STATS.row(one) for one in screen.queues]),
        table("\nworkers", WORKERS.heads, [WORKERS.row(one) for one in screen.workers]),
        table("\nschedules", SCHEDULES.heads, [SCHEDULES.row(one) for one in screen.schedules]),
    )


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """Read keys one by one while the context lasts: a function that waits for a q, a while long."""
    if not sys.stdin or not sys.stdin.isatty():
        yield _sleep
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield _wait_for_q
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _wait_for_q(seconds: float) -> bool:
    ends_at = time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0:
        readable, _, _ = select.select([sys.stdin], [], [], left)
        if readable and not {*os.read(sys.stdin.fileno(), 64)}.isdisjoint(b"qQ"):
            return True
    return False
