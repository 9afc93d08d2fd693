"""Options that several commands share, each declared once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from hammerflow.cli.session import Session
from hammerflow.errors import ConfigError

__all__ = [
    "before", "cancel_reason", "choice_option", "count_option", "flag", "hours", "interval",
    "job_argument", "json_option", "limit", "number", "only_queue", "seconds_option", "shared",
    "updates", "watch_count",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


def shared(command: F) -> F:
    """Give a command the options that all commands have, before and after its name, and the
    session as first argument."""
    passed = click.make_pass_decorator(Session, ensure=True)(command)
    for option in reversed(_SHARED):
        passed = option(passed)
    return passed  # type: ignore[return-value]


flag = partial(click.option, is_flag=True)
count_option = partial(click.option, type=click.IntRange(min=1), metavar="N")
json_option = partial(click.option, metavar="JSON")
seconds_option = partial(click.option, type=click.FloatRange(min=0), metavar="SECONDS")


def choice_option(*names: str, values: Iterable[str], **more: Any) -> Callable[[F], F]:
    """An option that takes one of these values."""
    return click.option(*names, type=click.Choice([str(value) for value in values]), **more)


def number(name: str, least: int, most: int | None = None, **more: Any) -> Callable[[F], F]:
    """An option that takes a whole number in this range."""
    return click.option(name, type=click.IntRange(least, most), **more)


def limit(default: int, what: str, *, least: int = 1) -> Callable[[F], F]:
    """``--limit``: at most this many rows, from ``least`` to 10 000."""
    return number("--limit", least, 10_000, default=default, help=what)


def before(noun: str) -> Callable[[F], F]:
    """``--before``: the page of a list that follows this one."""
    text = f"Only {noun} older than this one: the next page."
    return click.option("--before", metavar="ID", help=text)


hours = partial(
    click.option, "--hours", type=click.FloatRange(0, 24 * 365 * 100), metavar="HOURS",
    help="Count the operations that ended in the last HOURS hours.",
)  # fmt: skip
interval = partial(
    click.option, "--interval", type=click.FloatRange(0.1, 86_400), metavar="SECONDS",
    help="Seconds between two updates.",
)  # fmt: skip
job_argument = click.argument("job_id", metavar="ID")
cancel_reason = click.option(
    "--reason", default="cancelled by hand", metavar="TEXT", help="Why; kept in the database."
)
only_queue = click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
watch_count = count_option("--count", help="End after this many updates [default: no limit].")


def updates(interval: float, count: int | None) -> Iterator[None]:
    """The updates of a watch, ``interval`` seconds apart, until there were ``count``."""
    for number in itertools.count(1):
        yield
        if number == count:
            return
        time.sleep(interval)


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Set the session's attribute of the parameter's name."""
    session, name = ctx.ensure_object(Session), parameter.name or ""
    source = ctx.get_parameter_source(name)
    if value is None or value is False:
        return
    if source is ParameterSource.ENVIRONMENT and getattr(session, name) is not None:
        return  # given on the command line already, before the command's name
    if name == "database":
        _check_url(value)
    setattr(session, name, value)
    if name == "app_spec":
        session.is_app_asked_for = source is ParameterSource.COMMANDLINE


def _check_url(url: str) -> None:
    from hammerflow.settings import parse_url

    try:
        parse_url(url)
    except ConfigError as error:
        raise ConfigError(f"--database: {error}") from error


_kept = partial(click.option, expose_value=False, callback=_keep)
_SHARED = (
    _kept("-A", "--app", "app_spec", envvar="HAMMERFLOW_APP", metavar="MODULE:APP",
          help="The app, as package.module:app [env: HAMMERFLOW_APP]."),
    _kept("--database", metavar="URL",
          help="Use this database instead of the app's [env: HAMMERFLOW_DATABASE_URL]."),
    _kept("--json", "as_json", is_flag=True, help="Print JSON, for errors too."),
    flag("--debug", expose_value=False, help="Print the traceback of an error, too."),
)  # fmt: skip
