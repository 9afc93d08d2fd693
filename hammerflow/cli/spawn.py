"""``hammerflow spawn``: what jobs have spawned, as lists, counts, trees and lineages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from hammerflow.admin.ids import find_job, get_job
from hammerflow.admin.jobs import error_notes, jobs_by_id
from hammerflow.admin.spawn_tree import CHART_MOST, as_graph, as_json, read_tree
from hammerflow.admin.spawns import lineage_json, stats_json
from hammerflow.cli import options, output, spawn_view
from hammerflow.cli.exit import INTERRUPTED
from hammerflow.cli.known_names import warn_of_queue
from hammerflow.cli.paging import MOST, tell_cut
from hammerflow.cli.session import Session
from hammerflow.stores.spawns import COUNTED, LIVE
from hammerflow.stores.store import Store
from hammerflow.text import counted
from hammerflow.workflows.graph import draw

__all__ = ["command"]

_LATEST = 10  # operations that monitor lists
_NOTHING = "nothing was spawned"


@click.group("spawn")
def command() -> None:
    """List, count and draw what jobs have spawned.

    An ID may be any unique prefix of a job's id, with or without dashes: 4 digits or more.
    """


@command.command("list")
@options.flag("--recent", help="Only operations of the last 24 hours.")
@options.limit(None, "Show at most this many operations.")
@options.only_queue
@options.flag("--detailed", help="Show everything recorded, one fact a line.")
@options.shared
def list_operations(
    session: Session, recent: bool, limit: int | None, queue: str | None, detailed: bool
) -> None:
    """List spawn operations, newest first.

    An operation is one run of a spawner; failed runs are listed, too.
    """
    limit = limit or (MOST if session.as_json else options.SHOWN)
    with session.store() as store:
        warn_of_queue(session, store, queue)
        since = timedelta(hours=24) if recent else None
        found = store.spawns.operations(since=since, queue=queue, limit=limit + 1)
        runs = found[:limit]
    if len(found) > limit:
        tell_cut(
            session, f"there are more than {limit} operations: narrow the list or raise --limit"
        )
    if detailed and runs and not session.as_json:
        for number, run in enumerate(runs):
            if number:
                output.say("")
            output.show_facts(spawn_view.operation_facts(run))
        return
    session.show_list(runs, spawn_view.OPERATIONS, empty=_NOTHING)


@command.command("tree")
@options.job_argument
@options.choice_option(
    "--format", "form", values=("text", "json", "mermaid", "dot"), default="text",
    help="How the tree is written.",
)  # fmt: skip
@options.number_option("--max-depth", 0, 1_000, default=10, help="Generations below the job.")
@options.number_option(
    "--wide", 0, 1000, default=20,
    help="Above this many children of one job, show counts by task and state.",
)  # fmt: skip
@options.shared
def tree(session: Session, job_id: str, form: str, max_depth: int, wide: int) -> None:
    """Draw a job and its descendants as a tree."""
    with session.store() as store:
        is_chart = form in ("mermaid", "dot") and not session.as_json
        limits = {"most": CHART_MOST} if is_chart else {}
        root = read_tree(store, get_job(store, job_id), max_depth=max_depth, wide=wide, **limits)
    if session.as_json or form == "json":
        output.show_json(as_json(root))
    else:
        graph, is_ascii = as_graph(root), not output.can_print("├└│─")
        output.say_block(draw(graph, form, max_nodes=len(graph.nodes), ascii_only=is_ascii))


@command.command("stats")
@options.hours(default=24.0)
@options.only_queue
@options.flag("--detailed", help="By queue, too, with sizes and durations of operations.")
@options.shared
def stats(session: Session, hours: float, queue: str | None, detailed: bool) -> None:
    """Count operations, children and failures by handler.

    The figures outlive the operations: workers count each minute, and keep minutes for 3 days and
    hours for 90 days. More than 24 hours are counted in whole hours.
    """
    with session.store() as store:
        warn_of_queue(session, store, queue)
        found, is_cut = store.spawns.stats(since=timedelta(hours=hours), queue=queue)
    totals = stats_json(found, hours, is_cut=is_cut)
    table = spawn_view.stats_table(found, detailed=detailed)
    session.show_facts(totals, spawn_view.stats_facts(totals), table)
    if totals["is_cut"]:
        tell_cut(session, f"only the newest {COUNTED:,} operations are counted: lower --hours")


@command.command("monitor")
@options.interval(default=5.0)
@options.watch_count
@options.hours(default=1.0)
@options.only_queue
@options.shared
def monitor(
    session: Session, interval: float, count: int | None, hours: float, queue: str | None
) -> int:
    """Watch the counts and the newest operations until Ctrl-C.

    A terminal is redrawn at each update; elsewhere an update is one line (with --json: one JSON
    document a line).
    """
    with session.store() as store:
        warn_of_queue(session, store, queue)
        try:
            for _ in options.updates(interval, count):
                _update(session, store, hours, queue)
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


def _update(session: Session, store: Store, hours: float, queue: str | None) -> None:
    found, is_cut = store.spawns.stats(since=timedelta(hours=hours), queue=queue)
    now, totals = datetime.now(UTC), stats_json(found, hours, is_cut=is_cut)
    if session.as_json:
        output.show_json({"at": now, **totals}, is_line=True)
    elif not output.is_terminal():
        nouns = ("operation", "operations"), ("child", "children"), ("failure", "failures")
        counts = [counted(totals[many], one, many) for one, many in nouns]
        output.say(f"{output.local_time(now)}  {', '.join(counts)}")
    else:
        runs = store.spawns.operations(queue=queue, limit=_LATEST)
        click.clear()
        output.say(f"{output.local_time(now)}, until Ctrl-C")
        output.show_facts(spawn_view.stats_facts(totals))
        output.say("")
        session.show_list(runs, spawn_view.OPERATIONS, empty=_NOTHING)


@command.command("lineage")
@options.job_argument
@options.flag("--ancestors", help="Only ancestors [default: both].")
@options.flag("--descendants", help="Only descendants [default: both].")
@options.number_option("--depth", 1, 1_000, default=10, help="Generations above and below.")
@options.limit(20, "Name at most this many jobs of each generation; all are counted.")
@options.shared
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
        errors = error_notes(store, list(jobs))
    table = spawn_view.LINEAGE_HEADS, spawn_view.lineage_rows(key, found, jobs, errors)
    session.show_table(lineage_json(key, found, jobs), table)
    if found.is_cut:
        tell_cut(session, "there is more family than this: raise --depth or --limit")


@command.command("pending")
@options.limit(None, "Show at most this many spawners.")
@options.shared
def pending(session: Session, limit: int | None) -> None:
    """List completed spawners with unfinished children, newest first.

    Unfinished children are waiting, scheduled, ready, running or parked; up to 10 000 live jobs of
    each state are read to find them. For spawners that have not run yet, use
    hammerflow job list --task NAME --state ready.
    """
    limit = limit or (MOST if session.as_json else options.SHOWN)
    with session.store() as store:
        read = store.spawns.pending(limit=limit + 1)
        spawners = read[:limit]
        parents = jobs_by_id(store, [each.parent_id for each in spawners])
        is_whole = store.spawns.reads_all_live()
    found = [(each, parents.get(each.parent_id)) for each in spawners]
    session.show_list(found, spawn_view.PENDING, empty="all spawned jobs have ended")
    if len(read) > limit:
        tell_cut(session, f"there are more than {limit} such spawners: raise --limit")
    elif not is_whole:
        tell_cut(session, f"only {LIVE:,} live jobs of each state are read, and there are more")
