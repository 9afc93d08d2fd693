"""``hammerflow worker``: run jobs."""

from __future__ import annotations

from typing import Any

import click

from hammerflow.cli.options import shared
from hammerflow.cli.session import Session
from hammerflow.worker import WorkerOptions, run

__all__ = ["command"]

_COUNT = click.IntRange(min=1)


@click.command("worker")
@click.option(
    "-c", "--children", type=_COUNT, metavar="N",
    help="Processes that run jobs [default: one per CPU].",
)  # fmt: skip
@click.option(
    "-Q", "--queues", metavar="NAME[:WEIGHT],...",
    help="The queues to serve, with weights: high:5,default:1 [default: all queues].",
)  # fmt: skip
@click.option(
    "--async-slots", type=_COUNT, default=100, metavar="N",
    help="Async jobs that each child runs at once.",
)  # fmt: skip
@click.option(
    "--max-jobs-per-child", type=_COUNT, metavar="N",
    help="Replace a child after this many jobs [default: never].",
)  # fmt: skip
@click.option(
    "--max-memory-per-child", type=_COUNT, metavar="MIB",
    help="Replace a child that uses more than this many MiB after a job [default: never].",
)  # fmt: skip
@click.option(
    "--grace", type=click.FloatRange(0), default=30.0, metavar="SECONDS",
    help="Seconds that running jobs have to end after SIGTERM; the others run elsewhere.",
)  # fmt: skip
@click.option(
    "--poll", type=click.FloatRange(0.01), metavar="SECONDS",
    help="Seconds between two polls when the doorbell is silent [default: the setting poll, 1].",
)  # fmt: skip
@click.option("--burst", is_flag=True, help="End when no job is ready and none runs.")
@click.option("--reload", is_flag=True, help="Replace the children when a source file changes.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text",
    help="Write the log as text or as one JSON object a line.",
)  # fmt: skip
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
    help="Log this level and the more severe ones.",
)  # fmt: skip
@click.option(
    "--configure-logging/--no-configure-logging", default=True,
    help="Own the root logger [default: yes]; no keeps the app's own logging configuration.",
)  # fmt: skip
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
