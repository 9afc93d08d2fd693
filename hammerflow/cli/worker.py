"""``hammerflow worker``: run jobs."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from hammerflow.cli.options import of_table, shared
from hammerflow.cli.session import Session
from hammerflow.worker import WorkerOptions, run
from hammerflow.worker.options import WORKER_OPTIONS

__all__ = ["command"]


_option = partial(of_table, WORKER_OPTIONS)


@click.command("worker")
@_option("-c", "--children", metavar="N[:MAX]")
@_option("--child-cooldown", metavar="SECONDS", default=30.0)
@_option("-Q", "--queues", metavar="NAME[:WEIGHT],...")
@_option("--queue-caps", metavar="NAME:CAP,...")
@_option("--async-slots", metavar="N", default=100)
@_option("--max-jobs-per-child", metavar="N")
@_option("--max-memory-per-child", metavar="MIB")
@_option("--grace", metavar="SECONDS", default=30.0)
@_option("--poll", metavar="SECONDS")
@_option("--import-timeout", metavar="SECONDS", default=120.0)
@_option("--wait-for-database", metavar="SECONDS")
@_option("--burst")
@_option("--until-empty")
@_option("--reload")
@_option("--log-format", metavar="text|json", default="text")
@_option("--log-level", metavar="debug|info|warning|error", default="info")
@_option("--configure-logging/--no-configure-logging", default=True)
@_option("--log-jobs")
@shared
def command(session: Session, log_format: str, **options: Any) -> int:
    """Run jobs: a supervisor and its children.

    SIGTERM or Ctrl-C ends the worker once running jobs have ended (see --grace); a second one
    ends it at once. SIGHUP replaces the children by ones with fresh code, SIGUSR1 logs what the
    worker does. With --json the log is JSON.

    \b
    Examples:
      hammerflow -A shop.tasks:app worker
      hammerflow -A shop.tasks:app worker -c 2:16
      hammerflow -A shop.tasks:app worker -c 8 -Q high:5,default:1 --max-jobs-per-child 1000
    """
    if options["until_empty"] and not options["burst"]:
        raise click.UsageError("--until-empty goes with --burst: give both")
    log_format = "json" if session.as_json else log_format
    spec, database = session.spec, session.database or ""
    return run(WorkerOptions(app=spec, database=database, log_format=log_format, **options))
