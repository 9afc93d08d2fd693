"""``hammerflow task``: list, pause and resume tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from hammerflow.cli.known_names import check_task, warn_of_queue
from hammerflow.cli.options import argument, flag, last_hours, only_queue, shared, text_option
from hammerflow.cli.output import TableView
from hammerflow.cli.pause_view import paused_text
from hammerflow.cli.session import Session
from hammerflow.cli.statistics_view import NO_JOBS, summary_view
from hammerflow.options.checks import NAME_CHECK
from hammerflow.results.pauses import pause as pause_jobs
from hammerflow.results.pauses import resume as resume_jobs
from hammerflow.results.statistics import task_totals
from hammerflow.stores.pauses import PauseKind
from hammerflow.stores.tasks import TaskStatus
from hammerflow.text import user_at_host

__all__ = ["command"]


@click.group("task")
def command() -> None:
    """List, pause and resume tasks."""


@command.command("list")
@shared
def list_tasks(session: Session) -> None:
    """List the tasks, with the number of workers that have registered each, and who paused it."""
    with session.store() as store:
        tasks = store.tasks.list()
    session.show_list(tasks, _TASKS, empty="there are no tasks: no worker has started yet")


@command.command("stats")
@argument("name", NAME_CHECK, required=False)
@last_hours(default=24.0)
@only_queue
@shared
def stats(session: Session, name: str | None, hours: float, queue: str | None) -> None:
    """Show how many jobs of each task, or of one, were enqueued and ended, and their times.

    Waiting times cover jobs that could start when they were enqueued; running times are those of
    the last attempt. A worker counts each minute soon after its end, and again three minutes later.
    Percentiles are accurate to within 9.1 %.
    """
    with session.store() as store:
        if name is not None:
            check_task(session, store, name)
        warn_of_queue(session, store, queue)
        found = task_totals(store, hours * 3600, task=name, queue=queue)
    session.show_list(found, summary_view("task"), empty=NO_JOBS)


@command.command("pause")
@argument("name", NAME_CHECK)
@text_option("--reason", default="", show_default=False, help="Why; it is listed.")
@flag("--new", help="The task need not be known yet.")
@shared
def pause(session: Session, name: str, reason: str, new: bool) -> None:
    """Stop workers from starting jobs of a task in any queue; running jobs go on."""
    with session.backend() as backend:
        if not new:
            check_task(session, backend.store, name, remedy="give --new to pause it beforehand")
        pause_jobs(backend, PauseKind.TASK, name, by=user_at_host(), reason=reason)
    session.tell({"task": name, "paused": True}, f"task {name} is paused")


@command.command("resume")
@argument("name", NAME_CHECK)
@shared
def resume(session: Session, name: str) -> None:
    """Let workers start the jobs of a paused task again."""
    with session.backend() as backend:
        check_task(session, backend.store, name)
        resume_jobs(backend, PauseKind.TASK, name)
    session.tell({"task": name, "paused": False}, f"task {name} is open")


def _task_row(task: TaskStatus) -> Sequence[Any]:
    return task.name, task.workers, paused_text(task)


_TASKS = TableView(("task", "workers", "paused"), _task_row, asdict)
