"""How a command ends: errors become one sentence and an exit code, in this one place."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Sequence

import click

from hammerflow.cli.output import complain, drop
from hammerflow.errors import HammerflowError
from hammerflow.text import storable, visible_lines

__all__ = ["FAILED", "INTERRUPTED", "exit_code_of", "show_warnings"]

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
_LONGEST_MISUSE = 400  # characters: click repeats the whole of a wrong value


def _is_json(args: Sequence[str]) -> bool:
    return "--json" in args or "--json-lines" in args


def exit_code_of(command: click.Command, args: Sequence[str]) -> int:
    """Run a command; an error is printed to stderr as one sentence.

    Args:
        command: returns an exit code, or anything else for 0.
        args: the command line; its ``--json`` and ``--debug`` count even if the rest is wrong.

    Returns:
        0 or the command's code; 1 if it failed, 2 if it was used wrongly, 130 after Ctrl-C.
    """
    try:
        code = command.main(args, "hammerflow", standalone_mode=False)
        _flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return MISUSED
    except (KeyboardInterrupt, click.Abort) as error:
        complain("error", str(error) or "interrupted", as_json=_is_json(args))
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a border: the user gets a sentence
        if "--debug" in args:
            click.echo(visible_lines(traceback.format_exc()).rstrip(), err=True)
        complain("error", _sentence(error), as_json=_is_json(args))
        with contextlib.suppress(OSError):  # said already
            _flush()
        return MISUSED if isinstance(error, click.UsageError) else FAILED
    return code if isinstance(code, int) else 0


def _flush() -> None:
    """Write what is still buffered; where that fails, Python must not try it again at the exit."""
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except OSError:
        drop(sys.stdout)
        raise


def _sentence(error: Exception) -> str:
    match error:
        case click.UsageError():
            hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
            text = storable(error.format_message(), _LONGEST_MISUSE).replace("\n", " ")
            return re.sub(r"(?<!\.)\.$", "", text) + hint
        case click.ClickException():
            return error.format_message()
        case HammerflowError() | TimeoutError():
            return str(error)
        case OSError(strerror=str(reason)):  # a full disk, a folder that is gone
            what = f"cannot use {error.filename}" if error.filename else "reading or writing failed"
            return f"{what}: {reason} (--debug shows where)"
        case _:
            name = type(error).__name__
            return f"unexpected {name}: {error}; run it again with --debug to see where"


def show_warnings(args: Sequence[str]) -> None:
    """Print what the engine logs in this process as sentences, where no handler is set up."""
    logging.lastResort = _Warnings(_is_json(args))


class _Warnings(logging.Handler):
    def __init__(self, as_json: bool) -> None:
        super().__init__(logging.WARNING)
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        complain("warning", record.getMessage(), as_json=self._as_json)
