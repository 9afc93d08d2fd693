"""``hammerflow job``: list, show, enqueue, retry and cancel jobs."""

from __future__ import annotations

import contextlib
import difflib
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import click

from hammerflow.app import Hammerflow, as_key
from hammerflow.cli.dependency_view import around, around_json, around_words
from hammerflow.cli.job_view import facts_of, job_json, values_of
from hammerflow.cli.output import age, say, show_facts, show_json, show_table
from hammerflow.cli.session import Session, shared
from hammerflow.errors import HammerflowError, JobNotFound, UnknownTask
from hammerflow.jobs.job import DependencyStatus, Job, JobState, Priority
from hammerflow.results.result import Result
from hammerflow.stores.store import Store

__all__ = ["command"]

_NEIGHBOURS = 20  # named on each side of a job
_LOOKED_THROUGH, _PAGE = 10_000, 500  # jobs


@click.group("job")
def command() -> None:
    """List, show, enqueue, retry and cancel jobs."""


@command.command("list")
@click.option(
    "--state",
    "--status",
    type=click.Choice([state.value for state in JobState]),
    help="Only jobs in this state.",
)
@click.option(
    "--dependency-status",
    "dependency",
    type=click.Choice([status.value for status in DependencyStatus]),
    help="Only jobs whose dependencies stand so; the newest 10 000 jobs are looked through.",
)
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--task", metavar="NAME", help="Only calls of this task.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Only jobs older than this one: the next page.")
@shared
def list_jobs(
    session: Session, state: str | None, dependency: str | None, queue: str | None,
    task: str | None, limit: int, before: str | None,
) -> None:  # fmt: skip
    """Jobs, newest first."""
    if dependency == DependencyStatus.WAITING and state is None:
        state = JobState.WAITING  # the only ones whose dependencies are waited for
    chosen: Any = {
        "state": None if state is None else JobState(state), "queue": queue, "task": task,
    }  # fmt: skip
    mark = None if before is None else as_key(before)
    with session.store() as store:
        if dependency is None:
            jobs = store.jobs.list(**chosen, limit=limit, before=mark)
        else:
            jobs = _by_dependency(store, DependencyStatus(dependency), chosen, limit, mark)
    if session.as_json:
        show_json([job_json(job) for job in jobs])
        return
    show_table(
        ("id", "state", "task", "queue", "age", "note"),
        [(job.id, job.state, job.task, job.queue, age(job.created_at), _note(job)) for job in jobs],
        empty="no job is like that",
    )


@command.command("show")
@click.argument("job_id", metavar="ID")
@click.option(
    "--include-dependencies", "with_dependencies", is_flag=True,
    help="What it waits for and what waits for it, too.",
)  # fmt: skip
@shared
def show(session: Session, job_id: str, with_dependencies: bool) -> None:
    """All that is known about one job: its state, arguments, result and errors."""
    key = as_key(job_id)
    with session.store() as store:
        job = store.jobs.get(key)
        if job is None:
            raise _unknown(key)
        values = values_of(store, key, session.codec)
        spawn = store.jobs.spawn(key)
        found = around(store, key, _NEIGHBOURS) if with_dependencies else None
    if session.as_json:
        more = {} if found is None else {"dependencies": around_json(found)}
        show_json({**job_json(job), **values.as_json, "spawn": spawn, **more})
        return
    show_facts(facts_of(job, values, spawn) | ({} if found is None else around_words(found)))


@command.command("enqueue")
@click.argument("task")
@click.option("--args", "args_text", default="[]", metavar="JSON", help="A list: '[1, 2]'.")
@click.option("--kwargs", "kwargs_text", default="{}", metavar="JSON", help="""As '{"x": 1}'.""")
@click.option("--queue", metavar="NAME", help="Instead of the task's queue.")
@click.option(
    "--priority", metavar="0-4", help="0 to 4, or background, low, normal, high, critical."
)
@click.option("--countdown", type=click.FloatRange(0), metavar="SECONDS", help="Not before then.")
@click.option("--job-id", type=click.UUID, metavar="UUID", help="Its id; enqueues once.")
@click.option("--unique-key", metavar="KEY", help="Only if no job with this key is under way.")
@click.option("--wait", type=click.FloatRange(0), metavar="SECONDS", help="Wait for its result.")
@shared
def enqueue(
    session: Session, task: str, args_text: str, kwargs_text: str, queue: str | None,
    priority: str | None, countdown: float | None, job_id: uuid.UUID | None,
    unique_key: str | None, wait: float | None,
) -> None:  # fmt: skip
    """Write one call of a task of the app; its arguments are checked first.

    The JSON may hold the codec's tags: {"$datetime": "2025-03-30T02:30:00+02:00"}.
    """
    given = {
        "queue": queue,
        "priority": None if priority is None else _priority(priority),
        "delay": countdown,
        "job_id": job_id,
        "unique_key": unique_key,
    }
    options: Any = {name: value for name, value in given.items() if value is not None}
    with contextlib.closing(session.app) as app:
        _check_task(app, task)
        args = _parsed(app, args_text, list, "--args")
        kwargs = _parsed(app, kwargs_text, dict, "--kwargs")
        try:
            result = app.enqueue(app.signature(task, args, kwargs, **options))
        except TypeError as error:  # the argument check, in Python's own words
            raise click.ClickException(str(error)) from error
        _tell_enqueued(session, result, wait)


@command.command("retry")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@shared
def retry(session: Session, job_ids: tuple[str, ...]) -> int:
    """Run failed, cancelled, skipped or parked jobs again, with all their attempts."""
    with session.store() as store, session.notifier() as notifier:

        def replay(key: bytes) -> str:
            notifier.ring(store.jobs.replay(key))
            return "ready"

        return _each(session, job_ids, replay)


@command.command("cancel")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="cancelled by hand", show_default=True)
@shared
def cancel(session: Session, job_ids: tuple[str, ...], reason: str) -> int:
    """Cancel jobs that have not started; tell the workers of running ones to stop them."""
    with session.store() as store, session.notifier() as notifier:

        def stop(key: bytes) -> str:
            state = _cancelled(store, key, reason)
            if state is JobState.RUNNING:
                notifier.ring_control()
                return "running, its worker was told to stop it"
            return str(state)

        return _each(session, job_ids, stop)


def _by_dependency(
    store: Store, wanted: DependencyStatus, chosen: Any, limit: int, before: bytes | None
) -> Sequence[Job]:
    """Jobs whose dependencies stand so, sought page by page."""
    found: list[Job] = []
    for _ in range(_LOOKED_THROUGH // _PAGE):
        page = store.jobs.list(**chosen, limit=_PAGE, before=before)
        found += [job for job in page if job.dependency_status is wanted]
        if not page or len(found) >= limit:
            break
        before = page[-1].id.bytes
    return found[:limit]


def _each(session: Session, job_ids: tuple[str, ...], act: Callable[[bytes], str]) -> int:
    """Act on each job; what cannot be done to one does not keep the others from it."""
    outcomes = []
    for text in job_ids:
        try:
            outcomes.append({"id": text, "now": act(as_key(text))})
        except HammerflowError as error:
            if len(job_ids) == 1:
                raise
            outcomes.append({"id": text, "error": str(error)})
    if session.as_json:
        show_json(outcomes)
    else:
        for outcome in outcomes:
            said = outcome.get("now") or f"error: {outcome['error']}"
            say(f"{outcome['id']}  {said}")
    return int(any("error" in outcome for outcome in outcomes))


def _cancelled(store: Store, key: bytes, reason: str) -> JobState:
    state = store.jobs.cancel(key, reason)
    if state is None:
        raise _unknown(key)
    if state.is_final and state is not JobState.CANCELLED:
        raise HammerflowError(
            f"job {uuid.UUID(bytes=key)} is {state} already, so there is nothing to cancel"
        )
    return state


def _tell_enqueued(session: Session, result: Result[Any], wait: float | None) -> None:
    if wait is None:
        if session.as_json:
            show_json({"id": result.id})
        else:
            say(str(result.id))
        return
    if not session.as_json:
        click.echo(str(result.id), err=True)
    try:
        value = result.get(timeout=wait)
    except TimeoutError as error:
        raise click.ClickException(
            f"{error}; it goes on: hammerflow job show {result.id}"
        ) from None
    if session.as_json:
        show_json({"id": result.id, "result": value})
    else:
        say(repr(value))


def _check_task(app: Hammerflow, task: str) -> None:
    if task in app.tasks:
        return
    near = difflib.get_close_matches(task, app.tasks, n=3, cutoff=0.4)
    near += [name for name in app.tasks if name.endswith(f".{task}") and name not in near]
    hint = f"did you mean {' or '.join(near)}?" if near else "see which the app registers"
    raise UnknownTask(f"the app {app.name} has no task {task!r}: {hint}")


def _parsed(app: Hammerflow, text: str, kind: type[Any], option: str) -> Any:
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option} is no JSON: {error}") from None
    if not isinstance(plain, kind):
        name = "list" if kind is list else "object"
        raise click.UsageError(f"{option} must be a JSON {name}, not {text}")
    if isinstance(plain, dict):  # by itself, {"$date": ...} would be a date
        return {name: app.codec.decode(f"J{json.dumps(each)}") for name, each in plain.items()}
    return app.codec.decode(f"J{text}")


def _priority(text: str) -> int:
    try:
        return Priority[text.upper()] if text.isalpha() else Priority(int(text))
    except (KeyError, ValueError):
        raise click.UsageError(
            f"--priority is 0 to 4, or background, low, normal, high or critical, not {text!r}"
        ) from None


def _unknown(key: bytes) -> JobNotFound:
    return JobNotFound(
        f"no job has the id {uuid.UUID(bytes=key)} in this database: see hammerflow job list"
    )


def _note(job: Job) -> str:
    """What is not as usual with it."""
    notes = [
        f"due {age(job.run_at)}" if job.run_at is not None else "",
        job.priority.name.lower() if job.priority != Priority.NORMAL else "",
        f"attempt {job.attempt}" if job.attempt > 1 else "",
        f"{job.progress:.0%}" if job.progress is not None and not job.state.is_final else "",
        " ".join((job.reason or "").split()),
    ]
    note = ", ".join(filter(None, notes))
    return note if len(note) <= 80 else note[:77] + "..."
