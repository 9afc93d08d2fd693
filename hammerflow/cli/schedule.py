"""``hammerflow schedule``: list, create, change, pause and run schedules; when one is due."""

from __future__ import annotations

import contextlib
import shlex
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import click

from hammerflow.admin.pauses import held_by, held_json, held_text
from hammerflow.admin.schedules import (
    STATES,
    edited_job,
    is_like,
    next_runs,
    schedule_changes,
    schedule_json,
    state_of,
    tick_json,
    when_of,
)
from hammerflow.cli import output, schedule_view
from hammerflow.cli.calls import check_task, check_values, parsed_json
from hammerflow.cli.options import (
    SHOWN,
    argument,
    checked,
    choice_option,
    flag,
    json_option,
    limit,
    name_option,
    number_option,
    of_table,
    priority_option,
    shared,
    text_option,
)
from hammerflow.cli.paging import tell_cut
from hammerflow.cli.session import Session, SessionBackend
from hammerflow.cli.workflow_file import file_options, read_file
from hammerflow.options.checks import EARLIEST, LATEST, NAME_CHECK, Unfit, ValueCheck, text
from hammerflow.schedules.cron import Cron
from hammerflow.schedules.description import description
from hammerflow.schedules.options import INTERVAL, SCHEDULE_OPTIONS
from hammerflow.stores.schedules import ScheduleRow
from hammerflow.text import safe_repr, timestamp, user_at_host

__all__ = ["command"]

_ONE_SECOND = 1.0
_TICKS = 10  # that show prints


def _instant(given: str) -> datetime:
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise Unfit from None
    if not EARLIEST.year <= found.year < LATEST.year:
        raise Unfit
    return found


_TIME = ValueCheck("datetime", 'a time since 1970, such as "2026-03-29 01:00"', _instant)
_cron_option = checked(
    "--cron", check=text(200, least=1), metavar="CRON", help="A cron expression: when it is due."
)
_every_option = checked(
    "--every", check=INTERVAL, metavar="INTERVAL", help='Or an interval such as "90s" or "1h30m".'
)
_name = argument("name", NAME_CHECK)


def _options(command: Any) -> Any:
    """The flags of what :data:`SCHEDULE_OPTIONS` describes."""
    metavars = {"tz": "ZONE", "catch_up": "DURATION", "jitter": "DURATION", "after": "NAME"}
    metavars |= {"start": "TIME", "end": "TIME", "misfire": "POLICY", "overlap": "POLICY"}
    for option in reversed(SCHEDULE_OPTIONS):
        if option.name != "paused":
            flag_name = f"--{option.name.replace('_', '-')}"
            command = of_table(SCHEDULE_OPTIONS, flag_name, metavar=metavars[option.name])(command)
    return command


def _place_options(command: Any) -> Any:
    """The flags for queue and priority of the jobs."""
    command = priority_option(command)
    return name_option("--queue", help="The queue of its jobs [default: the task's].")(command)


@click.group("schedule")
def command() -> None:
    """List, create, change, pause and run schedules, and say when one is due.

    A schedule that an app's code declares follows the code. Changes made here override the code
    until schedule update --reset.
    """


@command.command("list")
@choice_option("--state", values=STATES, help="Only schedules in this state.")
@name_option("--task", help="Only schedules that call this task.")
@name_option("--queue", help="Only schedules with a job in this queue.")
@limit(None, "Show at most this many schedules.")
@text_option("--after", default="", show_default=False, help="Only names after this one.")
@shared
def list_schedules(
    session: Session, state: str | None, task: str | None, queue: str | None, limit: int | None,
    after: str,
) -> None:  # fmt: skip
    """List the schedules by name: when they are due, next and last tick, and what is wrong."""
    with session.store() as store:
        rows = store.schedules.list()
    found = [row for row in rows if is_like(row, state, task, queue)]
    rest = [row for row in found if row.name > after]
    most = limit or (len(rest) if session.as_json else SHOWN)
    session.show_list(
        rest[:most], schedule_view.SCHEDULES,
        empty="no matching schedules" if rows else "there are no schedules: declare them with "
        "@app.cron, @app.every or app.schedule, and start a worker",
    )  # fmt: skip
    if len(rest) > most:
        last = rest[most - 1].name
        tell_cut(session, f"there are more schedules: add --after {shlex.quote(last)}", next=last)


@command.command("show")
@_name
@number_option("--ticks", 0, 1_000, default=_TICKS, help="Last ticks to show.")
@shared
def show(session: Session, name: str, ticks: int) -> None:
    """Show one schedule: what the code says, what was edited, and its last ticks."""
    with session.store() as store:
        row = store.schedules.get(name)
        last = store.schedules.ticks(name, ticks) if ticks else []
    found = schedule_json(row)
    found["ticks"] = [*map(tick_json, last)]
    session.show_facts(found, schedule_view.facts_of(row), schedule_view.tick_rows(last))


@command.command("create")
@_name
@argument("task", NAME_CHECK, required=False)
@file_options(required=False)
@_cron_option
@_every_option
@json_option("--args", "args_text", help="The positional arguments, as a list.")
@json_option("--kwargs", "kwargs_text", help="The keyword arguments, as an object.")
@_place_options
@flag("--paused", help="Begin paused.")
@_options
@shared
def create(
    session: Session, name: str, task: str | None, path: str | None, form: str | None,
    cron: str | None, every: float | None, args_text: str | None, kwargs_text: str | None,
    queue: str | None, priority: int | None, **options: Any,
) -> None:  # fmt: skip
    """Create a schedule that calls a task of the app, or enqueues a workflow file.

    \b
    Examples:
      hammerflow -A shop:app schedule create nightly shop.clean --cron "0 2 * * 1-5" --tz Europe/Berlin
      hammerflow -A shop:app schedule create pulse shop.ping --every 5m --overlap skip
      hammerflow -A shop:app schedule create etl --file etl.yaml --cron @daily
    """  # noqa: E501
    when = _when(cron, every)
    if when is None:
        raise click.UsageError("say when: --cron CRON or --every INTERVAL")
    if (task is None) == (path is None):
        raise click.UsageError("give a task or --file FILE")
    call, place = _given(args=args_text, kwargs=kwargs_text), _given(queue=queue, priority=priority)
    with contextlib.closing(session.app) as app:
        try:
            if path is not None:
                work = _workflow(app, path, form, {**call, **place})
            else:
                work = _signature(app, str(task), call, place)
            plain = app.schedules.definition(name, when, work, options)
        except TypeError as error:  # the argument check, in Python's own words
            raise click.ClickException(str(error)) from error
        _warn_of_names(session, app.store, queue, options["after"])
        row = app.store.schedules.create(name, plain, by=user_at_host())
        app.notifier.ring_control()
    _tell(session, row, f"schedule {name}: {when_of(row)}")


def _signature(app: Any, task: str, call: Mapping[str, str], place: Mapping[str, Any]) -> Any:
    check_task(app, task)
    args = parsed_json(app, call.get("args", "[]"), list, "--args")
    kwargs = parsed_json(app, call.get("kwargs", "{}"), dict, "--kwargs")
    check_values(app, task, args, kwargs)
    return app.signature(task, args, kwargs, **place)


def _workflow(app: Any, path: str, form: str | None, others: Mapping[str, Any]) -> Any:
    if others:
        raise click.UsageError(
            "a workflow file has the arguments, queues and priorities of its jobs: leave out "
            f"--{' and --'.join(others)}"
        )
    return read_file(app, path, form)


@command.command("update")
@_name
@_cron_option
@_every_option
@json_option("--args", "args_text", help="Other positional arguments, as a list.")
@json_option("--kwargs", "kwargs_text", help="Other keyword arguments, as an object.")
@file_options(required=False)
@_place_options
@flag("--no-after", help="No longer follow another schedule.")
@flag("--reset", help="Drop all edits: go back to the code's definition.")
@_options
@shared
def update(
    session: Session, name: str, cron: str | None, every: float | None, args_text: str | None,
    kwargs_text: str | None, path: str | None, form: str | None, queue: str | None,
    priority: int | None, no_after: bool, reset: bool, **options: Any,
) -> None:  # fmt: skip
    """Change a schedule from now on, overriding the code.

    New arguments are checked against the task's signature, so they need the app (-A). They apply
    for as long as the code calls the same task. A workflow file replaces the whole call.

    \b
    Examples:
      hammerflow schedule update nightly --cron "0 3 * * 1-5" --misfire skip
      hammerflow -A shop:app schedule update nightly --args '["eu"]' --queue night
      hammerflow -A shop:app schedule update nightly --file etl.yaml
    """
    given, place = _given(**options), _given(queue=queue, priority=priority)
    call = _given(args=args_text, kwargs=kwargs_text)
    when = _when(cron, every)
    if reset == bool(given or place or call or path or no_after or when is not None):
        raise click.UsageError("say what to change, or give --reset alone")
    if no_after and "after" in given:
        raise click.UsageError("give --after or --no-after, not both")
    with contextlib.ExitStack() as opened:
        owner: Any = contextlib.closing(session.app) if call or path else session.backend()
        backend = opened.enter_context(owner)
        schedules = backend.store.schedules
        changes = None
        if not reset:
            row = schedules.get(name)
            changes = schedule_changes(row, when, given) | ({"after": None} if no_after else {})
            _warn_of_names(session, backend.store, queue, given.get("after"))
            if path is not None:
                work = _workflow(backend, path, form, {**call, **place})
                changes |= backend.schedules.call(name, work)
            elif call or place:
                changes["job"] = _edited_job(backend, row, call, place)
        row = schedules.update(name, changes, by=user_at_host())
        backend.notifier.ring_control()
    _tell(session, row, f"schedule {name}: {when_of(row)}")


def _warn_of_names(session: Session, store: Any, queue: str | None, after: str | None) -> None:
    """Point out a queue and a schedule that do not exist yet, as they may be typos."""
    if queue is not None and queue not in store.queues.names() | session.declared_queues:
        session.warn(f"queue {safe_repr(queue)} is new: see that a worker serves it")
    if after is not None and after not in {row.name for row in store.schedules.list()}:
        name = safe_repr(after)
        session.warn(f"there is no schedule {name} yet: until there is, runs are skipped")


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _edited_job(
    owner: Any, row: ScheduleRow, call: Mapping[str, str], place: Mapping[str, Any]
) -> dict[str, Any]:
    """What is changed of the call: its arguments, its queue and its priority."""
    kinds = {"args": list, "kwargs": dict}
    given: Any = {n: parsed_json(owner, text, kinds[n], f"--{n}") for n, text in call.items()}
    try:
        return edited_job(owner, row, given, place)
    except TypeError as error:  # the argument check, in Python's own words
        raise click.ClickException(str(error)) from error


def _when(cron: str | None, every: float | None) -> str | timedelta | None:
    if cron is not None and every is not None:
        raise click.UsageError("give --cron or --every, not both")
    return cron if every is None else timedelta(seconds=every)


@command.command("pause")
@_name
@text_option("--reason", default="", show_default=False, help="Why; it is listed.")
@shared
def pause(session: Session, name: str, reason: str) -> None:
    """Let ticks pass without a job until the schedule is resumed; they are recorded as paused."""
    with session.backend() as backend:
        row = backend.store.schedules.pause(name, by=user_at_host(), reason=reason)
    _tell(session, row, f"schedule {name} is paused")


@command.command("resume")
@_name
@shared
def resume(session: Session, name: str) -> None:
    """Continue with the first tick from now on; ticks that passed during the pause do not run."""
    with session.backend() as backend:
        row = backend.store.schedules.resume(name)
        backend.notifier.ring_control()
    _tell(session, row, f"schedule {name} is active")


@command.command("delete")
@_name
@flag("--yes", help="Do not ask.")
@flag("--dry-run", help="Only say what would be deleted.")
@shared
def delete(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Delete a schedule that no code declares, with the record of its ticks; its jobs stay."""
    with session.backend() as backend:
        row = backend.store.schedules.get(name)
        words = f"schedule {name} ({when_of(row)})"
        if dry_run:
            session.tell({"name": name, "deleted": False}, f"would delete 1 schedule: {words}")
            return
        if not yes:
            click.confirm(f"delete 1 schedule: {words}?", abort=True, err=True)
        backend.store.schedules.delete(name)
    session.tell({"name": name, "deleted": True}, f"deleted {words}")


@command.command("run")
@_name
@shared
def run(session: Session, name: str) -> None:
    """Enqueue one run at once, in addition to the schedule's ticks, and print its id.

    A paused schedule runs, too. Its jobs wait while their task, their queue or the app is paused,
    which a note says.
    """
    with session.backend() as backend:
        run_id = _run_now(backend, name)
        jobs = backend.store.schedules.get(name).definition.call.jobs
        held = held_by(backend.store, [(job.queue, job.task) for job in jobs])
    session.tell({"name": name, "id": run_id, "paused": held_json(held)}, str(run_id))
    for sentence in held_text(held) if not session.as_json else ():
        output.complain("note", sentence, as_json=False)


def _run_now(backend: SessionBackend, name: str) -> uuid.UUID:
    run, queues = backend.store.schedules.run_now(name)
    backend.notifier.ring(queues)
    return uuid.UUID(bytes=run)


@command.command("next")
@argument("schedule", text(255, least=1), metavar="NAME|CRON")
@checked("--tz", check=text(100), metavar="ZONE", default="UTC", help="Time zone of CRON.")
@checked("--after", check=_TIME, metavar="TIME", help="Time in ZONE instead of now.")
@number_option("--count", 1, 1_000, default=5, help="Times to show.")
@shared
def show_next(session: Session, schedule: str, tz: str, after: datetime | None, count: int) -> None:
    """Say in words when a schedule or a cron expression is due, and list the next times.

    An expression has five fields (minute, hour, day of month, month, day of week), or six with the
    second first. For a schedule with jitter, the start of each run is shown, too.

    \b
    Examples:
      hammerflow schedule next nightly
      hammerflow schedule next "30 2 * * 1-5" --tz Europe/Berlin
    """
    if not _is_expression(schedule):
        _show_next_of(session, schedule, after, count)
        return
    parsed = Cron.parse(schedule, tz)
    ticks = [*islice(parsed.ticks_after(_begin(after, parsed.zone)), count)]
    words = description(parsed)
    session.tell(
        {"cron": parsed.text, "tz": tz, "description": words, "ticks": ticks},
        f"{words} ({tz})",
        *(timestamp(tick.astimezone(parsed.zone)) for tick in ticks),
    )


def _show_next_of(session: Session, name: str, after: datetime | None, count: int) -> None:
    with session.store() as store:
        row = store.schedules.get(name)
    zone = row.definition.zone
    runs = next_runs(row, _begin(after, zone), count)
    if row.disabled_since is not None:
        runs = []
    jitter = row.definition.jitter
    words, state = when_of(row), state_of(row)
    found = [{"tick": tick, "starts_at": start} for tick, start in runs]
    session.tell(
        {"name": name, "description": words, "state": state, "runs": found},
        f"{words}, {state}",
        *(
            timestamp(tick.astimezone(zone))
            + (f"  starts {timestamp(start.astimezone(zone))}" if jitter else "")
            for tick, start in runs
        ),
    )


def _begin(after: datetime | None, zone: Any) -> datetime:
    begin = datetime.now(UTC) if after is None else after
    return begin if begin.tzinfo is not None else begin.replace(tzinfo=zone)


def _is_expression(given: str) -> bool:
    return given.lstrip().startswith("@") or len(given.split()) > 1


def _tell(session: Session, row: Any, *sentences: str) -> None:
    following = f"next tick {timestamp(row.next_at)}" if row.next_at is not None else "no next tick"
    session.tell(schedule_json(row), *sentences, following)
