"""``hammerflow job logs``: what a job has logged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from hammerflow.admin.ids import get_job
from hammerflow.admin.jobs import attempt_log_json
from hammerflow.admin.log_follow import LogFollower, NewLines
from hammerflow.cli import options, output
from hammerflow.cli.exit import INTERRUPTED
from hammerflow.cli.session import Session
from hammerflow.jobs.job import JobState
from hammerflow.jobs.log_lines import AttemptLog, LogLine
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["logs"]

_NOTHING = (
    'nothing was kept: a task with keep_logs="always", or "on_failure", keeps what its body logs '
    "and prints"
)
_INTERVAL = 0.5  # seconds; workers write the lines of running bodies once a second


@click.command("logs")
@options.job_argument
@options.number_option(
    "--attempt", 1, 2**31 - 1, help="Only the attempt with this number [default: all].",
)  # fmt: skip
@options.flag(
    "--follow", "-f", help="Print lines as they come, until the job has ended; with --json one "
    "document a line.",
)  # fmt: skip
@options.watch_count
@options.shared
def logs(
    session: Session, job_id: str, attempt: int | None, follow: bool, count: int | None
) -> int:
    """Show what the attempts of a job have logged and printed, if its task keeps it (keep_logs).

    \b
    Examples:
      hammerflow job logs 0193 --attempt 2
      hammerflow job logs 0193 --follow
    """
    with session.store() as store:
        job = get_job(store, job_id)
        if follow:
            return _follow(session, store, LogFollower(store, job.id.bytes, attempt), count)
        found = store.job_logs.get(job.id.bytes, attempt)
    if session.as_json:
        output.show_json_list(map(attempt_log_json, found), is_lines=session.as_lines)
    elif not found:
        output.say(_NOTHING)
    for log in () if session.as_json else found:
        output.say_block("\n".join(_shown(log)))
    return 0


def _follow(session: Session, store: Store, follower: LogFollower, count: int | None) -> int:
    """Print lines until the job has ended, or is gone."""
    try:
        for _ in options.updates(_INTERVAL, count):
            job = store.jobs.get(follower.job_id)  # first: its end comes with the last lines
            for new in follower.read():
                _print(session, new)
            if job is None or job.state.is_final or job.state is JobState.PARKED:
                return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _print(session: Session, new: NewLines) -> None:
    if session.as_json:
        for line in new.lines:
            output.show_json({"attempt": new.attempt, **asdict(line)}, is_line=True)
        return
    shown = [f"attempt {new.attempt}"] if new.is_first else []
    if new.missed:
        shown.append(f"  ... {counted(new.missed, 'line')} dropped ...")
    output.say_block("\n".join([*shown, *_lines(new.lines)]))


def _shown(log: AttemptLog) -> list[str]:
    """The lines of an attempt, and where some are missing."""
    head = f"attempt {log.attempt}, {counted(len(log.lines), 'line')}"
    shown = [head if not log.dropped else f"{head} and {log.dropped:,} dropped"]
    lines = [*_lines(log.lines)]
    if log.dropped:
        lines.insert(log.dropped_at, f"  ... {counted(log.dropped, 'line')} dropped ...")
    return [*shown, *lines]


def _lines(lines: Sequence[LogLine]) -> Iterator[str]:
    for line in lines:
        at = output.local_time(line.at)
        text = line.message.replace("\n", "\n    ")
        yield f"  {at} {line.level.upper()} {line.logger} {text}"
