"""``hammerflow worker``: run jobs."""

from __future__ import annotations

from typing import Any

import click

from hammerflow.cli.options import choice_option, count_option, flag, seconds_option, shared
from hammerflow.cli.session import Session
from hammerflow.worker import WorkerOptions, run

__all__ = ["command"]


@click.command("worker")
@count_option(
    "-c",
    "--children",
    help="Child processes for each kind of task, sync and async [default: one per CPU].",
)
@click.option(
    "-Q", "--queues", metavar="NAME[:WEIGHT],...",
    help="The queues to serve, with weights: high:5,default:1 [default: all queues].",
)  # fmt: skip
@count_option("--async-slots", default=100, help="Async jobs that each child runs at once.")
@count_option("--max-jobs-per-child", help="Replace a child after this many jobs [default: never].")
@click.option(
    "--max-memory-per-child", type=click.IntRange(min=1), metavar="MIB",
    help="Replace a child that uses more than this many MiB after a job [default: never].",
)  # fmt: skip
@seconds_option(
    "--grace",
    default=30.0,
    help="Time that running jobs get to end after SIGTERM; then they go back to the queue.",
)
@click.option(
    "--poll", type=click.FloatRange(0.01), metavar="SECONDS",
    help="Time between two polls when the doorbell is silent [default: the setting poll, 1].",
)  # fmt: skip
@flag("--burst", help="End when no job is ready and none runs.")
@flag("--reload", help="Replace the children when a source file changes.")
@choice_option(
    "--log-format", values=("text", "json"), default="text",
    help="Write the log as text or as one JSON object a line.",
)  # fmt: skip
@choice_option(
    "--log-level", values=("debug", "info", "warning", "error"), default="info",
    help="Log this level and the more severe ones.",
)  # fmt: skip
@click.option(
    "--configure-logging/--no-configure-logging", default=True,
    help="Replace the handlers of the root logger, or keep those that the app has set.",
)  # fmt: skip
@flag("--log-jobs", help="Log the end of every job, not only failures.")
@shared
def command(session: Session, log_format: str, **options: Any) -> int:
    """Run jobs: a supervisor and its children.

    SIGTERM or Ctrl-C ends the worker once running jobs have ended (see --grace); a second one
    ends it at once. SIGHUP replaces the children by ones with fresh code. With --json the log is
    JSON.

    \b
    Examples:
      hammerflow -A shop.tasks:app worker
      hammerflow -A shop.tasks:app worker -c 8 -Q high:5,default:1 --max-jobs-per-child 1000
    """
    if session.database is not None:
        raise click.UsageError(
            "a worker takes the database from its app: set $HAMMERFLOW_DATABASE_URL instead of "
            "--database"
        )
    log_format = "json" if session.as_json else log_format
    return run(WorkerOptions(app=session.spec, log_format=log_format, **options))
