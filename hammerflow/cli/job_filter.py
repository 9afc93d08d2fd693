"""The options that choose jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hammerflow.admin.job_filter import WHEN
from hammerflow.cli.options import checked, choice_option, name_option, only_queue
from hammerflow.jobs.job import DependencyStatus, JobState
from hammerflow.options.checks import text

__all__ = ["filter_options", "job_options", "since_option", "until_option", "workflow_times"]

F = TypeVar("F", bound=Callable[..., Any])
_TEXT = text(1_000, least=1)


def filter_options(command: F) -> F:
    """``--error``, ``--argument``, ``--since`` and ``--until``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


since_option = checked(
    "--since", check=WHEN, metavar="TIME",
    help="Only jobs that ended, or were enqueued if they have not, since then: an instant, or a "
         "duration before now such as 2h.",
)  # fmt: skip
until_option = checked("--until", check=WHEN, metavar="TIME", help="Likewise, before then.")
_OPTIONS = (
    checked("--error", check=_TEXT, metavar="TEXT",
            help="Only jobs whose last error is of this type, or has this in its message."),
    checked("--argument", check=_TEXT, metavar="TEXT",
            help="Only jobs that have this among their arguments."),
    checked("--since", check=WHEN, metavar="TIME",
            help="Only jobs that ended, or were enqueued if they have not, since then: an instant, "
                 "or a duration before now such as 2h."),
    checked("--until", check=WHEN, metavar="TIME", help="Likewise, before then."),
)  # fmt: skip


def workflow_times(noun: str) -> Callable[[F], F]:
    """``--since`` and ``--until`` of lists of workflows."""

    def given(command: F) -> F:
        until = checked("--until", check=WHEN, metavar="TIME", help="Likewise, before then.")
        since = checked(
            "--since", check=WHEN, metavar="TIME",
            help=f"Only {noun} that ended, or were created if they have not, since then: an "
                 "instant, or a duration before now such as 2h.",
        )  # fmt: skip
        return since(until(command))

    return given


def job_options(command: F) -> F:
    """Every filter of jobs, for :func:`chosen_jobs`."""
    for option in reversed(_JOB_OPTIONS):
        command = option(command)
    return command


_JOB_OPTIONS = (
    choice_option("--state", "--status", values=JobState, help="Only jobs in this state."),
    choice_option(
        "--dependency-status", "dependency", values=DependencyStatus,
        help="Only jobs with this dependency status.",
    ),
    only_queue,
    name_option("--task", help="Only calls of this task."),
    filter_options,
    checked("--trace-id", check=_TEXT, metavar="ID",
            help="Only jobs of this trace, or of workflows with this trace id."),
    checked("--correlation-id", check=_TEXT, metavar="ID",
            help="Only jobs of workflows, or with a header correlation_id, of this value."),
)  # fmt: skip
