"""``hammerflow spawn``: what jobs have spawned, as lists, numbers, trees and lineages."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import click

from hammerflow.app import as_key
from hammerflow.cli.job_view import jobs_by_id
from hammerflow.cli.output import can_print, is_terminal, say, show_facts, show_json, show_table
from hammerflow.cli.session import Session, shared
from hammerflow.cli.spawn_tree import CHART_MOST, as_graph, as_json, read_tree
from hammerflow.cli.spawn_view import (
    OPERATION_HEADS,
    PENDING_HEADS,
    lineage_json,
    lineage_rows,
    operation_facts,
    operation_row,
    pending_json,
    pending_row,
    run_json,
    stats_facts,
    stats_json,
    stats_table,
)
from hammerflow.stores.spawns import Lineage
from hammerflow.stores.store import Store
from hammerflow.workflows.graph import draw

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])
_DAY = timedelta(hours=24)
_LATEST = 10  # operations that the monitor lists
_limit = click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
_queue = click.option("--queue", metavar="NAME", help="Only spawners of this queue.")


def _hours(default: float) -> Callable[[F], F]:
    return click.option(
        "--hours", type=click.FloatRange(0, 24 * 365 * 100), default=default, show_default=True,
        help="How far to look back.",
    )  # fmt: skip


@click.group("spawn")
def command() -> None:
    """List, count and draw what jobs have spawned."""


@command.command("list")
@click.option("--recent", is_flag=True, help="Only those of the last 24 hours.")
@_limit
@_queue
@click.option("--detailed", is_flag=True, help="All that is recorded, one fact a line.")
@shared
def list_operations(
    session: Session, recent: bool, limit: int, queue: str | None, detailed: bool
) -> None:
    """Spawn operations, newest first: each run of a spawner, failed runs included."""
    with session.store() as store:
        since = _DAY if recent else None
        runs = store.spawns.operations(since=since, queue=queue, limit=limit)
    if session.as_json:
        show_json([run_json(run) for run in runs])
    elif detailed and runs:
        for number, run in enumerate(runs):
            if number:
                say("")
            show_facts(operation_facts(run))
    else:
        show_table(
            OPERATION_HEADS, [operation_row(run) for run in runs], empty="nothing was spawned"
        )


@command.command("tree")
@click.argument("job_id", metavar="ID")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "mermaid", "dot"]), default="text",
    show_default=True,
)  # fmt: skip
@click.option("--max-depth", type=click.IntRange(0), default=10, show_default=True)
@click.option(
    "--wide", type=click.IntRange(0, 1000), default=20, show_default=True,
    help="More children than this are folded into counts by task and state.",
)  # fmt: skip
@shared
def tree(session: Session, job_id: str, form: str, max_depth: int, wide: int) -> None:
    """A job and its descendants, wide levels folded into counts."""
    with session.store() as store:
        is_chart = form in ("mermaid", "dot") and not session.as_json
        limits = {"most": CHART_MOST} if is_chart else {}
        root = read_tree(store, as_key(job_id), max_depth=max_depth, wide=wide, **limits)
    if session.as_json or form == "json":
        show_json(as_json(root))
    else:
        graph = as_graph(root)
        say(draw(graph, form, max_nodes=len(graph.nodes), ascii_only=not can_print("├└│─")))


@command.command("stats")
@_hours(24.0)
@_queue
@click.option("--detailed", is_flag=True, help="By queue, too, with numbers and times of a run.")
@shared
def stats(session: Session, hours: float, queue: str | None, detailed: bool) -> None:
    """Operations, children and failures by handler, of at most the newest 100 000 runs."""
    with session.store() as store:
        found = store.spawns.stats(since=timedelta(hours=hours), queue=queue)
    if session.as_json:
        show_json(stats_json(found, hours))
        return
    show_facts(stats_facts(found, hours))
    if found:
        say("")
        heads, rows = stats_table(found, detailed=detailed)
        show_table(heads, rows, empty="")


@command.command("monitor")
@click.option(
    "--interval", type=click.FloatRange(0.1, 86_400), default=5.0, show_default=True,
    metavar="SECONDS",
)  # fmt: skip
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many looks.")
@_hours(1.0)
@_queue
@shared
def monitor(
    session: Session, interval: float, count: int | None, hours: float, queue: str | None
) -> None:
    """Watch the numbers and the newest operations until Ctrl-C.

    A terminal is drawn anew at each look; elsewhere a look is one line (with --json: one JSON
    document a line).
    """
    with session.store() as store:
        try:
            for number in itertools.count(1):
                _look(session, store, hours, queue)
                if number == count:
                    return
                time.sleep(interval)
        except KeyboardInterrupt:  # how a person ends it
            return


def _look(session: Session, store: Store, hours: float, queue: str | None) -> None:
    found = store.spawns.stats(since=timedelta(hours=hours), queue=queue)
    if session.as_json:
        show_json({"at": time.time(), **stats_json(found, hours)}, is_line=True)
    elif not is_terminal():
        facts = stats_facts(found, hours)
        words = ", ".join(
            f"{facts[name]} {name}" for name in ("operations", "children", "failures")
        )
        say(f"{time.strftime('%Y-%m-%d %H:%M:%S%z')}  {words}")
    else:
        runs = store.spawns.operations(queue=queue, limit=_LATEST)
        click.clear()
        say(f"{time.strftime('%H:%M:%S')}, until Ctrl-C")
        show_facts(stats_facts(found, hours))
        say("")
        show_table(
            OPERATION_HEADS, [operation_row(run) for run in runs], empty="nothing was spawned"
        )


@command.command("lineage")
@click.argument("job_id", metavar="ID")
@click.option("--ancestors", is_flag=True, help="Only where it comes from.")
@click.option("--descendants", is_flag=True, help="Only what has come of it.")
@click.option(
    "--depth", type=click.IntRange(1, 1_000), default=10, show_default=True,
    help="Generations above and below.",
)  # fmt: skip
@_limit
@shared
def lineage(
    session: Session, job_id: str, ancestors: bool, descendants: bool, depth: int, limit: int
) -> None:
    """A job's ancestors and descendants, --limit of each generation named and all counted."""
    key = as_key(job_id)
    both = ancestors == descendants
    with session.store() as store:
        found = store.spawns.lineage(
            key, ancestors=both or ancestors, descendants=both or descendants,
            depth=depth, limit=limit,
        )  # fmt: skip
        jobs = jobs_by_id(store, _named(key, found))
    if session.as_json:
        show_json(lineage_json(key, found, jobs))
        return
    show_table(
        ("generation", "id", "task", "state", "note"), lineage_rows(key, found, jobs), empty=""
    )
    if found.is_cut:
        say("... there is more (--depth)")


def _named(key: bytes, found: Lineage) -> Sequence[bytes]:
    below = [job_id for generation in found.generations for job_id in generation.ids]
    return [*found.ancestors, key, *below]


@command.command("pending")
@_limit
@shared
def pending(session: Session, limit: int) -> None:
    """Spawners whose children have not all ended, newest first.

    These have completed, and their children wait, are ready, run or are parked. A spawner that
    has not run yet is like any job: hammerflow job list --task NAME --state ready.
    """
    with session.store() as store:
        found = store.spawns.pending(limit=limit)
        parents = jobs_by_id(store, [each.parent_id for each in found])
    if session.as_json:
        show_json([pending_json(each, parents.get(each.parent_id)) for each in found])
        return
    show_table(
        PENDING_HEADS,
        [pending_row(each, parents.get(each.parent_id)) for each in found],
        empty="everything that was spawned has ended",
    )
