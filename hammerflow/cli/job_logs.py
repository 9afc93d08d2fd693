"""``hammerflow job logs``: what a job has logged."""

from __future__ import annotations

import click

from hammerflow.admin.ids import get_job
from hammerflow.admin.jobs import attempt_log_json
from hammerflow.cli import options, output
from hammerflow.cli.session import Session
from hammerflow.jobs.log_lines import AttemptLog
from hammerflow.text import counted

__all__ = ["logs"]

_NOTHING = (
    'nothing was kept: a task with keep_logs="always", or "on_failure", keeps what its body '
    "logs, once the attempt has ended"
)


@click.command("logs")
@options.job_argument
@options.number_option(
    "--attempt", 1, 2**31 - 1, help="Only the attempt with this number [default: all].",
)  # fmt: skip
@options.shared
def logs(session: Session, job_id: str, attempt: int | None) -> None:
    """Show what the attempts of a job have logged, if its task keeps it (keep_logs).

    \b
    Example:
      hammerflow job logs 0193 --attempt 2
    """
    with session.store() as store:
        job = get_job(store, job_id)
        found = store.job_logs.get(job.id.bytes, attempt)
    if session.as_json:
        output.show_json_list(map(attempt_log_json, found), is_lines=session.as_lines)
    elif not found:
        output.say(_NOTHING)
    for log in () if session.as_json else found:
        output.say_block("\n".join(_shown(log)))


def _shown(log: AttemptLog) -> list[str]:
    """The lines of an attempt, and where some are missing."""
    head = f"attempt {log.attempt}, {counted(len(log.lines), 'line')}"
    shown = [head if not log.dropped else f"{head} and {log.dropped:,} dropped"]
    for place, line in enumerate(log.lines):
        if log.dropped and place == log.dropped_at:
            shown.append(f"  ... {counted(log.dropped, 'line')} dropped ...")
        at = output.local_time(line.at)
        text = line.message.replace("\n", "\n    ")
        shown.append(f"  {at} {line.level.upper()} {line.logger} {text}")
    return shown
