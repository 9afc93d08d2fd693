"""``hammerflow worker pool``: change how many children a running worker has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from hammerflow.admin.ids import find_worker, only_worker
from hammerflow.cli.asking import WAIT_HELP, ask_worker
from hammerflow.cli.options import argument, seconds_option, shared
from hammerflow.cli.session import Session
from hammerflow.errors import ConfigError
from hammerflow.options.checks import ValueCheck, whole
from hammerflow.text import counted
from hammerflow.worker.options import WORKER_OPTIONS

__all__ = ["pool"]

F = TypeVar("F", bound=Callable[..., Any])
_STEP = whole(1, 1_023)
_SIZE = WORKER_OPTIONS.by_name["children"].check


@click.group("pool")
@shared
def pool(session: Session) -> None:
    """Change how many children a running worker has, on whatever host it runs.

    The worker is asked through the database, and answers with its new size. It starts only as many
    children as fit into memory. Surplus children end once their running jobs have ended; jobs that
    they have not started go to others. The change holds until the worker ends.

    WORKER is its id, a unique prefix of it, or HOST:PID; it can be left out if there is only one.
    """


def _resizes(command: F) -> F:
    command = seconds_option("--timeout", default=10.0, help=WAIT_HELP)(shared(command))
    return argument("given", metavar="[WORKER] N", nargs=-1, required=True)(command)


@pool.command("grow")
@_resizes
def grow(session: Session, given: tuple[str, ...], timeout: float) -> None:
    """Start N more children of each kind, from 1 to 1023; at most 1024 in all.

    For a worker with a range, such as -c 2:16, the second number grows.
    """
    _resize(session, "grow", _STEP, given, timeout)


@pool.command("shrink")
@_resizes
def shrink(session: Session, given: tuple[str, ...], timeout: float) -> None:
    """End N children of each kind, from 1 to 1023; one is left at least.

    For a worker with a range, such as -c 2:16, the second number shrinks, and the first with it if
    it would be larger.
    """
    _resize(session, "shrink", _STEP, given, timeout)


@pool.command("set")
@_resizes
def set_(session: Session, given: tuple[str, ...], timeout: float) -> None:
    """Have N children of each kind, from 1 to 1024, or a range such as 2:16, as -c takes them.

    \b
    Examples:
      hammerflow worker pool set 8
      hammerflow worker pool set web-3:4711 2:16
    """
    _resize(session, "set", _SIZE, given, timeout)


def _resize(
    session: Session, how: str, check: ValueCheck, given: tuple[str, ...], timeout: float
) -> None:
    *names, number = given
    if len(names) > 1:
        raise click.UsageError("give at most one worker, and a number: [WORKER] N")
    try:
        value = check.from_text(number, "N")
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    with session.backend() as backend:
        found = find_worker(backend.store, *names) if names else only_worker(backend.store)
        told = ask_worker(backend, found["id"], "pool", timeout, detail=json.dumps({how: value}))
    place = {name: found[name] for name in ("id", "host", "pid")}
    session.tell({**place, **told}, _text(f"{found['host']} (pid {found['pid']})", told))


def _text(place: str, told: dict[str, Any]) -> str:
    children = counted(told["children"], "child", "children")
    each = " of each kind" if told["kinds"] > 1 else ""
    limits = (
        f", {told['least']} to {told['most']} with its load" if told["least"] < told["most"] else ""
    )
    lines = [f"the worker on {place} has {children}{each} now{limits}; it had {told['before']}"]
    if told["children"] < told["asked"]:
        lines.append(f"memory is left for no more of the {told['asked']}")
    if told["ending"]:
        ends = (
            "1 child ends once its jobs have"
            if told["ending"] == 1
            else (f"{told['ending']} children end once their jobs have")
        )
        lines.append(f"{ends} ended")
    return "\n".join(lines)
