"""What is shown of jobs: rows and facts for people."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hammerflow.admin.jobs import JobLine, JobValues, details_of, error_text, line_json
from hammerflow.cli.output import TableView, local_time
from hammerflow.cli.session import Session
from hammerflow.durations import age, seconds_between
from hammerflow.jobs.job import ErrorRecord, Job, JobState, Priority
from hammerflow.stores.job_logs import LogSize
from hammerflow.stores.store import Store
from hammerflow.text import counted, one_line

__all__ = ["JOBS", "JobView", "job_facts", "view_of"]


def _job_row(line: JobLine) -> Sequence[Any]:
    """One line of the list; its note holds only what is unusual."""
    job = line.job
    limit = f" of {line.max_attempts}" if line.max_attempts is not None else ""
    attempt, error = f"attempt {job.attempt}{limit}", line.error and error_text(*line.error)
    is_failed = job.state is JobState.FAILED and error
    note = one_line(
        f"{error} ({attempt})" if is_failed else "",
        f"due {age(job.run_at)}" if job.run_at is not None else "",
        job.priority.name.lower() if job.priority != Priority.NORMAL else "",
        attempt if job.attempt > 1 and not is_failed else "",
        f"{job.progress:.0%}" if job.progress is not None and not job.state.is_final else "",
        job.reason,
        error if not is_failed and not job.reason else "",
    )
    return (
        job.id, job.state, job.task, job.queue, age(job.created_at), _seconds_text(job),
        _worker_text(line.worker), note,
    )  # fmt: skip


JOBS = TableView(
    ("id", "state", "task", "queue", "age", "ran", "worker", "note"), _job_row, line_json
)


def _worker_text(worker: Mapping[str, Any] | None) -> str:
    """``host:4711``, or the number of a worker that has ended."""
    if worker is None:
        return ""
    return f"{worker['host']}:{worker['pid']}" if worker["host"] else f"worker {worker['id']}"


def _key_text(job: Job, holder: uuid.UUID | None) -> str | None:
    if job.unique_key is None:
        return None
    if holder is None:
        return f"{job.unique_key} (free)"
    return f"{job.unique_key} (held by {'this job' if holder == job.id else f'job {holder}'})"


class JobView(NamedTuple):
    """Everything about one job, as JSON and as facts."""

    as_json: dict[str, Any]
    facts: dict[str, Any]


def view_of(session: Session, store: Store, job: Job) -> JobView:
    """Read everything about a job that was read with its errors."""
    details = details_of(store, session.codec, job, lease=session.settings.lease)
    lines = [
        f"{each.says}\n  -> {each.advice}" if each.advice else each.says
        for each in details.obstacles
    ]
    return JobView(
        details.as_json(),
        {
            **job_facts(job, details.values, details.spawn, details.worker, "\n".join(lines)),
            "unique key": _key_text(job, details.unique_holder),
            "limit key": details.limit_key,
            "fairness key": details.fair_key,
            "logs": _logs_text(job, details.logs),
        },
    )


def _logs_text(job: Job, sizes: Sequence[LogSize]) -> str:
    """``attempt 1: 3 lines; hammerflow job logs ID shows them``."""
    kept = [f"attempt {size.attempt}: {counted(size.lines, 'line')}" for size in sizes]
    return f"{', '.join(kept)} (hammerflow job logs {job.id})" if kept else ""


def job_facts(
    job: Job,
    values: JobValues,
    spawn: Mapping[str, Any] | None,
    worker: Mapping[str, Any] | None,
    why: str = "",
) -> dict[str, Any]:
    """Everything about one job, the most asked for first."""
    progress = None if job.progress is None else f"{job.progress:.0%} {job.progress_note or ''}"
    return {
        "id": job.id,
        "state": job.state,
        "reason": job.reason,
        "blocked": why,
        "task": job.task,
        "call": values.call,
        "result": values.result,
        "queue": job.queue,
        "priority": job.priority.name.lower(),
        "attempt": job.attempt,
        "created": job.created_at,
        "due": job.run_at,
        "started": job.started_at,
        "finished": job.finished_at,
        "ran": _run_text(job, worker),
        "progress": progress and progress.rstrip(),
        "depends": None if job.dependency_status == "none" else job.dependency_status,
        "parent": job.parent_id,
        "root": job.root_id,
        "workflow": job.workflow_id,
        "spawned": f"{spawn['spawned']} by {spawn['handler']}" if spawn else None,
        "unique key": job.unique_key,
        "headers": job.headers,
        "options": job.options,
        "errors": _error_history(job),
    }


def _run_text(job: Job, worker: Mapping[str, Any] | None) -> str:
    """``3.2 s on host:4711 (worker 8)``; ``12.0 s so far on ...`` for a running job."""
    where = ""
    if worker is not None:
        host = f"{_worker_text(worker)} " if worker["host"] else ""
        where = f" on {host}(worker {worker['id']})"
    so_far = " so far" if job.state is JobState.RUNNING else ""
    seconds = _seconds_text(job)
    return f"{seconds}{so_far}{where}" if seconds else ""


def _seconds_text(job: Job) -> str:
    """``3.2 s``: how long the last attempt ran, or has run."""
    end = datetime.now(UTC) if job.state is JobState.RUNNING else job.finished_at
    seconds = seconds_between(job.started_at, end)
    return "" if seconds is None else _duration_text(seconds)


def _duration_text(seconds: float) -> str:
    return f"{seconds:,.{3 if seconds < 0.1 else 1}f} s"


def _attempt_text(error: ErrorRecord) -> str:
    """``, 3.2 s after it began at 2026-05-01 10:00:00 on worker 8``."""
    if error.started_at is None:
        return ""
    ran = _duration_text(max(0.0, (error.at - error.started_at).total_seconds()))
    worker = "" if error.worker_id is None else f" on worker {error.worker_id}"
    return f", {ran} after it began at {local_time(error.started_at)}{worker}"


def _error_history(job: Job) -> str:
    lines = []
    for error in job.errors:
        text = f"{error.type}: {error.message}" if error.type else error.message
        ran = _attempt_text(error)
        lines.append(f"attempt {error.attempt} {error.kind} at {local_time(error.at)}{ran}: {text}")
        lines += [f"  {line}" for line in error.traceback.splitlines()]
    return "\n".join(lines)
