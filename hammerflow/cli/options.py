"""Options that several commands share, each declared once."""

from __future__ import annotations

import errno
import itertools
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from hammerflow.cli.session import Session
from hammerflow.errors import ConfigError
from hammerflow.jobs.job import Priority
from hammerflow.options.checks import (
    FLAG,
    NAME_CHECK,
    Unfit,
    ValueCheck,
    duration,
    number,
    text,
    whole,
)
from hammerflow.options.option import OptionTable
from hammerflow.text import REASON
from hammerflow.urls.database import parse_url

__all__ = [
    "Checked", "argument", "before", "bulk", "cancel_reason", "choice_option", "exact", "flag",
    "hours", "interval", "job_argument", "json_option", "last_hours", "limit", "name_option",
    "new_priority", "number_option", "of_table", "only_queue", "path_argument", "path_option",
    "priority_option", "seconds_option", "shared", "text_option", "updates", "watch_count",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])

_COUNT, _ID = whole(1, 10**9), text(100, least=1)
_INTERVAL, _HOURS = number(0.1, 86_400), number(0, 24 * 365 * 100)


def shared(command: F) -> F:
    """Give a command the options that all commands have, before and after its name, and the
    session as first argument."""
    passed = click.make_pass_decorator(Session, ensure=True)(command)
    for option in reversed(_SHARED):
        passed = option(passed)
    return passed  # type: ignore[return-value]


class Checked(click.ParamType):  # type: ignore[type-arg]  # click < 8.2 has none
    """A parameter that a check reads: the same that Python callers and settings meet."""

    def __init__(self, check: ValueCheck) -> None:
        self.check, self.name = check, check.type

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value in its stored form, from text or from the default."""
        try:
            if isinstance(value, str):
                return self.check.from_text(value, _called(param))
            return self.check(value, _called(param))
        except ConfigError as error:
            raise click.UsageError(str(error), ctx) from None


def _called(param: click.Parameter | None) -> str:
    if isinstance(param, click.Option):
        return "/".join(param.opts)
    return param.make_metavar(click.Context(click.Command(""))) if param is not None else "it"


def checked(
    *names: str,
    check: ValueCheck,
    metavar: str,
    help: str,  # noqa: A002 - as click's
    **more: Any,
) -> Callable[[F], F]:
    """An option that a check reads; its help shows the range of a number."""
    shown = f"{help} [{check.bounds}]" if metavar in _NUMBERS else help
    return click.option(*names, type=Checked(check), metavar=metavar, help=shown, **more)


_NUMBERS = ("N", "N[:MAX]", "DURATION", "INTERVAL", "SECONDS", "HOURS", "MIB")

flag = partial(click.option, is_flag=True)
json_option = partial(checked, check=text(10_000_000), metavar="JSON")
seconds_option = partial(checked, check=duration(), metavar="SECONDS")
name_option = partial(checked, check=NAME_CHECK, metavar="NAME")
text_option = partial(checked, check=text(REASON), metavar="TEXT")


def argument(name: str, check: ValueCheck = _ID, **more: Any) -> Callable[[F], F]:
    """A positional argument that a check reads, by default an id."""
    return click.argument(name, type=Checked(check), **more)


def _path(given: str) -> str:
    if not 0 < len(given) <= 1_000 or b"\0" in os.fsencode(given):  # it refuses lone surrogates
        raise Unfit
    return given


_PATH = ValueCheck("str", "a path", _path)
path_option = partial(checked, check=_PATH, metavar="FILE")
path_argument = argument("path", _PATH, metavar="FILE")


def of_table(
    table: OptionTable, *names: str, metavar: str = "", default: Any = None
) -> Callable[[F], F]:
    """The flag of an option that a table describes; the last of ``names`` is that of the option."""
    option = table.by_name[names[-1].split("/")[0].removeprefix("--").replace("-", "_")]
    if option.check is FLAG:
        return click.option(*names, is_flag=True, default=default or False, help=option.meaning)
    return checked(
        *names, check=option.check, metavar=metavar, default=default, help=option.meaning,
        show_default=True if default is not None else option.default != "None" and option.default,
    )  # fmt: skip


def choice_option(*names: str, values: Iterable[str], **more: Any) -> Callable[[F], F]:
    """An option that takes one of these values."""
    return click.option(*names, type=click.Choice([str(value) for value in values]), **more)


def number_option(name: str, least: int, most: int, **more: Any) -> Callable[[F], F]:
    """An option that takes a whole number in this range."""
    return checked(name, check=whole(least, most), metavar="N", **more)


def limit(default: int | None, what: str, *, least: int = 1) -> Callable[[F], F]:
    """``--limit``: at most this many rows, from ``least`` to 10 000; for None as many as the page
    for people holds, and with --json all of them."""
    shown = what if default is not None else f"{what[:-1]} [default: {SHOWN}; with --json all]."
    return number_option("--limit", least, 10_000, default=default, help=shown)


#: Rows of a list that people see unless they give --limit.
SHOWN = 50


def before(noun: str) -> Callable[[F], F]:
    """``--before``: the page of a list that follows this one."""
    help_ = f"Only {noun} older than this one: the next page."
    return checked("--before", check=text(100), metavar="ID", help=help_)


hours = partial(
    checked, "--hours", check=_HOURS, metavar="HOURS",
    help="Count the operations that ended in the last HOURS hours.",
)  # fmt: skip
last_hours = partial(
    checked, "--hours", check=_HOURS, metavar="HOURS",
    help="Count the jobs of the last HOURS hours.",
)  # fmt: skip
interval = partial(
    checked, "--interval", check=_INTERVAL, metavar="SECONDS", help="Seconds between two updates."
)
job_argument = argument("job_id", metavar="ID")
cancel_reason = text_option(
    "--reason", default="cancelled by hand", help="Why; kept in the database."
)


def _priority(given: Any) -> int:
    name = given.upper()
    return Priority[name] if name in Priority.__members__ else Priority(int(given))


_PRIORITY = ValueCheck("int", "0 to 4, or background, low, normal, high or critical", _priority)


def _priority_option(end: str) -> Callable[[F], F]:
    return click.option(
        "--priority", metavar="PRIORITY", type=Checked(_PRIORITY),
        help=f"0 to 4, or background, low, normal, high or critical{end}.",
    )  # fmt: skip


priority_option = _priority_option(" [default: the task's]")
new_priority = _priority_option("")


def bulk(command: F) -> F:
    """``--yes`` and ``--dry-run``, for what changes many jobs."""
    given = flag("--dry-run", help="Only show how many jobs it would be.")(command)
    return flag("--yes", help="Do not ask.")(given)


exact = flag("--exact", "is_exact", help="Count all of them, however long that takes.")
only_queue = name_option("--queue", help="Only jobs of this queue.")
watch_count = checked(
    "--count", check=_COUNT, metavar="N", help="End after this many updates [default: no limit]."
)


def updates(interval: float, count: int | None) -> Iterator[None]:
    """The updates of a watch, ``interval`` seconds apart, until there were ``count``."""
    for done in itertools.count(1):
        yield
        if done == count:
            return
        _pause(interval)


def _pause(seconds: float) -> None:
    """Sleep, but end as a write would once nobody reads stdout any more, as after ``| head -1``:
    a watch that has nothing new to print would not notice."""
    try:
        output = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # there is none
        time.sleep(seconds)
        return
    gone = select.poll()
    gone.register(output, 0)
    if gone.poll(min(seconds * 1000, 2**31 - 1)):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Set the session's attribute of the parameter's name."""
    session, name = ctx.ensure_object(Session), parameter.name or ""
    source = ctx.get_parameter_source(name)
    if value is None or value is False:
        return
    if source is ParameterSource.ENVIRONMENT and getattr(session, name) is not None:
        return  # given on the command line already, before the command's name
    setattr(session, name, value)
    session.as_json |= session.as_lines
    if name == "app_spec":
        session.is_app_asked_for = source is ParameterSource.COMMANDLINE


def _database(url: str) -> str:
    if not url.isprintable() or len(url) > 10_000:  # it is not shown: it may hold a password
        raise ConfigError("a database URL has up to 10000 printable characters")
    parse_url(url)
    return url


def _app(spec: str) -> str:
    from hammerflow.worker.loading import read_spec

    if len(spec) > 200:
        raise Unfit
    read_spec(spec)
    return spec


_kept = partial(click.option, expose_value=False, callback=_keep)
_SHARED = (
    _kept("-A", "--app", "app_spec", envvar="HAMMERFLOW_APP", metavar="MODULE:APP",
          type=Checked(ValueCheck("str", "package.module:app, without .py", _app)),
          help="The app, as package.module:app [env: HAMMERFLOW_APP]."),
    _kept("--database", metavar="URL", type=Checked(ValueCheck("str", "a URL", _database)),
          help="Use this database instead of the app's [env: HAMMERFLOW_DATABASE_URL]."),
    _kept("--json", "as_json", is_flag=True, help="Print JSON, for errors too."),
    _kept("--json-lines", "as_lines", is_flag=True,
          help="Print JSON, and of a list one document a line."),
    flag("--debug", expose_value=False, help="Print the traceback of an error, too."),
)  # fmt: skip
