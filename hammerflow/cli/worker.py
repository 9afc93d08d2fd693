"""``hammerflow worker``: the options of a supervisor."""

from __future__ import annotations

import os

import click

from hammerflow.cli.session import Session, shared
from hammerflow.worker import WorkerOptions, read_queues, run

__all__ = ["command"]

_COUNT = click.IntRange(min=1)


@click.command("worker")
@click.option(
    "-c", "--children", type=_COUNT, metavar="N",
    help="Processes that run jobs [default: one per CPU].",
)  # fmt: skip
@click.option(
    "-Q", "--queues", metavar="NAME[:WEIGHT],...",
    help="The queues to serve, with weights: high:5,default:1 [default: all].",
)  # fmt: skip
@click.option(
    "--async-slots", type=_COUNT, default=100, show_default=True, metavar="N",
    help="Coroutines that each child runs at once.",
)  # fmt: skip
@click.option(
    "--max-jobs-per-child", type=_COUNT, metavar="N",
    help="Replace a child after so many jobs.",
)  # fmt: skip
@click.option(
    "--max-memory-per-child", type=_COUNT, metavar="MIB",
    help="Replace a child that has grown beyond this.",
)  # fmt: skip
@click.option(
    "--grace", type=click.FloatRange(0), default=30.0, show_default=True, metavar="SECONDS",
    help="For running jobs to end after SIGTERM; what has not ended then runs elsewhere.",
)  # fmt: skip
@click.option(
    "--poll", type=click.FloatRange(0.01), metavar="SECONDS",
    help="Look for jobs at least so often [default: the setting poll, 1].",
)  # fmt: skip
@click.option("--burst", is_flag=True, help="End when nothing is ready and nothing runs.")
@click.option("--reload", is_flag=True, help="Start fresh children when a source file changes.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
    show_default=True,
)  # fmt: skip
@click.option("--log-jobs", is_flag=True, help="Log the end of every job, not only failures.")
@shared
def command(
    session: Session, children: int | None, queues: str | None, async_slots: int,
    max_jobs_per_child: int | None, max_memory_per_child: int | None, grace: float,
    poll: float | None, burst: bool, reload: bool, log_format: str, log_level: str, log_jobs: bool,
) -> int:  # fmt: skip
    """Run jobs: a supervisor and its children.

    SIGTERM or Ctrl-C lets running jobs end (--grace), a second one stops at once; SIGHUP starts
    fresh children with fresh code. With --json the log is JSON.
    """
    if session.database is not None:
        raise click.UsageError(
            "a worker takes the database from its app: set $HAMMERFLOW_DATABASE_URL instead of "
            "--database"
        )
    options = WorkerOptions(
        app=session.spec,
        children=children or os.cpu_count() or 1,
        queues=None if queues is None else read_queues(queues),
        async_slots=async_slots,
        max_jobs_per_child=max_jobs_per_child,
        max_memory_per_child=max_memory_per_child,
        grace=grace,
        poll=poll,
        burst=burst,
        reload=reload,
        log_format="json" if session.as_json else log_format,
        log_level=log_level,
        log_jobs=log_jobs,
    )
    return run(options)
