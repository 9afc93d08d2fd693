"""``hammerflow spawn``: what jobs have spawned, as lists, counts, trees and lineages."""

from __future__ import annotations

import contextlib
import itertools
import time
from datetime import UTC, datetime, timedelta

import click

from hammerflow.cli.ids import find_job
from hammerflow.cli.job_view import jobs_by_id
from hammerflow.cli.options import (
    hours,
    interval,
    job_argument,
    limit,
    only_queue,
    shared,
    watch_count,
)
from hammerflow.cli.output import (
    can_print,
    is_terminal,
    local_time,
    say,
    show_facts,
    show_json,
    show_table,
)
from hammerflow.cli.session import Session
from hammerflow.cli.spawn_tree import MERMAID_MOST, as_json, as_mermaid, as_text, read_tree
from hammerflow.cli.spawn_view import (
    LINEAGE_HEADS,
    OPERATION_HEADS,
    PENDING_HEADS,
    lineage_json,
    lineage_rows,
    operation_facts,
    operation_json,
    operation_row,
    pending_json,
    pending_row,
    stats_facts,
    stats_json,
    stats_table,
)
from hammerflow.stores.store import Store

__all__ = ["command"]

_DAY = timedelta(hours=24)
_LATEST = 10  # operations that monitor lists
_NOTHING = "nothing was spawned"


@click.group("spawn")
def command() -> None:
    """List, count and draw what jobs have spawned.

    An ID may be any unique prefix of a job's id, with or without dashes: 4 digits or more.
    """


@command.command("list")
@click.option("--recent", is_flag=True, help="Only operations of the last 24 hours.")
@limit(20, "Show at most this many operations.")
@only_queue
@click.option("--detailed", is_flag=True, help="Show everything recorded, one fact a line.")
@shared
def list_operations(
    session: Session, recent: bool, limit: int, queue: str | None, detailed: bool
) -> None:
    """List spawn operations (the runs of spawners), newest first, failed ones included."""
    with session.store() as store:
        since = _DAY if recent else None
        runs = store.spawns.operations(since=since, queue=queue, limit=limit)
    if detailed and runs and not session.as_json:
        for number, run in enumerate(runs):
            if number:
                say("")
            show_facts(operation_facts(run))
        return
    session.show_table(
        [operation_json(run) for run in runs],
        OPERATION_HEADS,
        [operation_row(run) for run in runs],
        empty=_NOTHING,
    )


@command.command("tree")
@job_argument
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "mermaid"]), default="text",
    help="How the tree is written.",
)  # fmt: skip
@click.option("--max-depth", type=click.IntRange(0), default=10, help="Generations below the job.")
@click.option(
    "--wide", type=click.IntRange(0, 1000), default=20,
    help="Above this many children of one job, show counts by task and state.",
)  # fmt: skip
@shared
def tree(session: Session, job_id: str, form: str, max_depth: int, wide: int) -> None:
    """Draw a job and its descendants as a tree; wide levels become counts."""
    with session.store() as store:
        is_chart = form == "mermaid" and not session.as_json
        limits = {"most": MERMAID_MOST} if is_chart else {}
        key = find_job(store, job_id)
        root = read_tree(store, key, max_depth=max_depth, wide=wide, **limits)
    if session.as_json or form == "json":
        show_json(as_json(root))
    elif is_chart:
        say(as_mermaid(root))
    else:
        say(as_text(root, is_drawn=can_print("├└│─")))


@command.command("stats")
@hours(24.0)
@only_queue
@click.option(
    "--detailed", is_flag=True, help="By queue, too, with sizes and durations of operations."
)
@shared
def stats(session: Session, hours: float, queue: str | None, detailed: bool) -> None:
    """Count operations, children and failures by handler, over the newest 100 000 operations."""
    with session.store() as store:
        found = store.spawns.stats(since=timedelta(hours=hours), queue=queue)
    session.show_facts(stats_json(found, hours), stats_facts(found, hours))
    if found and not session.as_json:
        say("")
        show_table(*stats_table(found, detailed=detailed), empty="")


@command.command("monitor")
@interval(5.0)
@watch_count
@hours(1.0)
@only_queue
@shared
def monitor(
    session: Session, interval: float, count: int | None, hours: float, queue: str | None
) -> None:
    """Watch the counts and the newest operations until Ctrl-C.

    A terminal is redrawn at each update; elsewhere an update is one line (with --json: one JSON
    document a line).
    """
    with session.store() as store, contextlib.suppress(KeyboardInterrupt):
        for number in itertools.count(1):
            _update(session, store, hours, queue)
            if number == count:
                return
            time.sleep(interval)


def _update(session: Session, store: Store, hours: float, queue: str | None) -> None:
    found = store.spawns.stats(since=timedelta(hours=hours), queue=queue)
    now, facts = datetime.now(UTC), stats_facts(found, hours)
    if session.as_json:
        show_json({"at": now, **stats_json(found, hours)}, is_line=True)
    elif not is_terminal():
        counts = [f"{facts[name]} {name}" for name in ("operations", "children", "failures")]
        say(f"{local_time(now)}  {', '.join(counts)}")
    else:
        runs = store.spawns.operations(queue=queue, limit=_LATEST)
        click.clear()
        say(f"{local_time(now)}, until Ctrl-C")
        show_facts(facts)
        say("")
        show_table(OPERATION_HEADS, [operation_row(run) for run in runs], empty=_NOTHING)


@command.command("lineage")
@job_argument
@click.option("--ancestors", is_flag=True, help="Only ancestors [default: both].")
@click.option("--descendants", is_flag=True, help="Only descendants [default: both].")
@click.option(
    "--depth", type=click.IntRange(1, 1_000), default=10, help="Generations above and below."
)
@limit(20, "Name at most this many jobs of each generation; all are counted.")
@shared
def lineage(
    session: Session, job_id: str, ancestors: bool, descendants: bool, depth: int, limit: int
) -> None:
    """List a job's ancestors and descendants by generation."""
    both = ancestors == descendants
    with session.store() as store:
        key = find_job(store, job_id)
        found = store.spawns.lineage(
            key, ancestors=both or ancestors, descendants=both or descendants,
            depth=depth, limit=limit,
        )  # fmt: skip
        below = [id_ for generation in found.generations for id_ in generation.ids]
        jobs = jobs_by_id(store, [*found.ancestors, key, *below])
    session.show_table(
        lineage_json(key, found, jobs), LINEAGE_HEADS, lineage_rows(key, found, jobs)
    )
    if found.is_cut and not session.as_json:
        say("... there is more (--depth)")


@command.command("pending")
@limit(20, "Show at most this many spawners.")
@shared
def pending(session: Session, limit: int) -> None:
    """List completed spawners with unfinished children, newest first.

    Their children wait, are ready, run or are parked. A spawner that has not run yet is listed
    by: hammerflow job list --task NAME --state ready.
    """
    with session.store() as store:
        spawners = store.spawns.pending(limit=limit)
        parents = jobs_by_id(store, [each.parent_id for each in spawners])
    found = [(each, parents.get(each.parent_id)) for each in spawners]
    session.show_table(
        [pending_json(*each) for each in found],
        PENDING_HEADS,
        [pending_row(*each) for each in found],
        empty="all spawned jobs have ended",
    )
