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
    "choice_option", "count_option", "flag", "hours", "interval", "job_argument", "limit",
    "only_queue", "seconds_option", "shared", "updates", "watch_count",
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
seconds_option = partial(click.option, type=click.FloatRange(min=0), metavar="SECONDS")


def choice_option(*names: str, values: Iterable[str], **more: Any) -> Callable[[F], F]:
    """An option that takes one of these values."""
    return click.option(*names, type=click.Choice([str(value) for value in values]), **more)


def limit(default: int, what: str, *, least: int = 1) -> Callable[[F], F]:
    """``--limit``: at most this many rows, from ``least`` to 10 000."""
    return click.option("--limit", type=click.IntRange(least, 10_000), default=default, help=what)


def hours(default: float) -> Callable[[F], F]:
    """``--hours``: how far back operations are counted."""
    text = "Count the operations that ended in the last HOURS hours."
    kind = click.FloatRange(0, 24 * 365 * 100)
    return click.option("--hours", type=kind, default=default, metavar="HOURS", help=text)


def interval(default: float) -> Callable[[F], F]:
    """``--interval``: seconds between two updates of a watch."""
    text, kind = "Seconds between two updates.", click.FloatRange(0.1, 86_400)
    return click.option("--interval", type=kind, default=default, metavar="SECONDS", help=text)


job_argument = click.argument("job_id", metavar="ID")
only_queue = click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
watch_count = count_option("--count", help="End after this many updates [default: no limit].")


def updates(interval: float, count: int | None) -> Iterator[None]:
    """The updates of a watch, ``interval`` seconds apart, until there were ``count``."""
    for number in itertools.count(1):
        yield
        if number == count:
            return
        time.sleep(interval)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        session = ctx.ensure_object(Session)
        source = ctx.get_parameter_source(parameter.name or "")
        if value is None or value is False:
            return
        if source is ParameterSource.ENVIRONMENT and getattr(session, name) is not None:
            return  # given on the command line already, before the command's name
        if name == "database":
            _check_url(value)
        setattr(session, name, value)
        if name == "app_spec":
            session.is_app_asked_for = source is ParameterSource.COMMANDLINE

    return keep


def _check_url(url: str) -> None:
    from hammerflow.settings import parse_url

    try:
        parse_url(url)
    except ConfigError as error:
        raise ConfigError(f"--database: {error}") from error


_SHARED = (
    click.option(
        "-A", "--app", "app_spec", envvar="HAMMERFLOW_APP", metavar="MODULE:APP",
        expose_value=False, callback=_keep("app_spec"),
        help="The app, as package.module:app [env: HAMMERFLOW_APP].",
    ),
    click.option(
        "--database", metavar="URL", expose_value=False, callback=_keep("database"),
        help="Use this database instead of the app's [env: HAMMERFLOW_DATABASE_URL].",
    ),
    click.option(
        "--json", "as_json", is_flag=True, expose_value=False, callback=_keep("as_json"),
        help="Print JSON, for errors too.",
    ),
    click.option(
        "--debug", is_flag=True, expose_value=False, help="Print the traceback of an error, too."
    ),
)  # fmt: skip
