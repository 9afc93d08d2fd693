"""``hammerflow demo seed``: a database with a realistic day of a shop."""

from __future__ import annotations

import contextlib
import time

import click

from hammerflow.cli.options import number_option, shared
from hammerflow.cli.progress_line import ProgressLine
from hammerflow.cli.session import Session

__all__ = ["command"]

_JOBS, _MOST_JOBS = 20_000, 10_000_000
_QUEUES, _MOST_QUEUES = 11, 10_000


@click.command("seed")
@number_option("--jobs", 100, _MOST_JOBS, default=_JOBS, help="Jobs that have ended on the day.")
@number_option(
    "--queues", _QUEUES, _MOST_QUEUES, default=_QUEUES,
    help="Queues in all; those beyond the shop's own belong to merchants.",
)  # fmt: skip
@number_option("--seed", 0, 2**31, default=1, help="The same number makes the same day.")
@shared
def command(session: Session, jobs: int, queues: int, seed: int) -> None:
    """Fill an empty database with the day of a shop that ends now, to try the dashboard on.

    It has jobs in every state, failures in groups, workflows that run, wait and have failed, spawn
    trees, a batch, schedules, limits, webhooks, alerts, events, an archive, an audit, and the
    figures of 24 hours. Its workers are made up: soon they count as silent. One that runs what is
    left is started with -A hammerflow.cli.demo.shop_app:app.

    \b
    Examples:
      hammerflow --database sqlite:///day.db demo seed
      hammerflow --database sqlite:///day.db web
    """
    from hammerflow.cli.demo.day.seed import seed_day
    from hammerflow.stores import open_store

    settings, began = session.settings, time.monotonic()
    with contextlib.closing(open_store(settings)) as store:
        store.schema.migrate()
        line = ProgressLine(session, jobs)
        day = seed_day(store, jobs=jobs, queues=queues, seed=seed, tell=line.show)
        line.end()
    seconds = time.monotonic() - began
    found = {"jobs": day.jobs, "queues": day.queues, "events": day.events, "seconds": seconds}
    session.tell(
        found,
        f"wrote a day of {day.jobs:,} ended jobs in {day.queues:,} queues to "
        f"{settings.url.redacted} in {seconds:.1f} s",
        f"look at it: hammerflow --database {settings.url.redacted} web",
    )
