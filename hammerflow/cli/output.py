"""Output: tables, facts and JSON; rich in a terminal, plain aligned text elsewhere."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any, Generic, NamedTuple, TypeVar

import click

__all__ = [
    "TableView", "age", "can_print", "counts_text", "is_terminal", "local_time", "one_line", "say",
    "seconds_between", "show_facts", "show_json", "show_table",
]  # fmt: skip

STYLES = {
    "completed": "green", "ok": "green",
    "failed": "red", "fail": "red",
    "parked": "yellow", "cancelled": "yellow", "skipped": "yellow", "warn": "yellow",
    "running": "cyan",
}  # fmt: skip
_WIDEST_NOTE = 80
T = TypeVar("T")


class TableView(NamedTuple, Generic[T]):
    """How things of one kind are listed: the headings and one row for people, and JSON."""

    heads: Sequence[str]
    row: Callable[[T], Sequence[Any]]
    as_json: Callable[[T], Any]


def is_terminal() -> bool:
    """Whether a person reads this."""
    return sys.stdout.isatty()


def can_print(text: str) -> bool:
    """Whether standard output's encoding has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def say(text: str) -> None:
    """Print a text for people; characters that the encoding lacks are escaped."""
    encoding = sys.stdout.encoding or "ascii"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def show_json(value: Any, *, is_line: bool = False) -> None:
    """Print one JSON document, datetimes as ISO 8601 in UTC and ids with dashes in it.

    ``is_line`` prints it on one line in a terminal, too.
    """
    indent = 2 if is_terminal() and not is_line else None
    click.echo(json.dumps(value, indent=indent, default=_for_json))


def show_table(heads: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Print rows under headings, or the sentence ``empty`` when there are none."""
    cells = [[_for_people(cell) for cell in row] for row in rows]
    if not cells:
        say(empty)
    elif is_terminal():
        _show_rich(heads, cells)
    else:
        _show_plain(heads, cells)


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print one fact a line, without those that are None or empty."""
    known = {name: text for name, fact in facts.items() if (text := _for_people(fact))}
    width = max(map(len, known), default=0)
    for name, text in known.items():
        heads = chain([name], repeat(""))
        for head, line in zip(heads, text.splitlines() or [""], strict=False):
            say(f"{head.ljust(width)}  {line}")


def age(instant: datetime | None) -> str:
    """How long ago an instant was: ``12s``, ``3m``, ``5h``, ``2d``; ``in 3m`` if it is to come."""
    if instant is None:
        return ""
    seconds = (datetime.now(UTC) - instant) / timedelta(seconds=1)
    sign, seconds = ("in ", -seconds) if seconds < -0.5 else ("", abs(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{sign}{seconds / size:.0f}{unit}"
    return f"{sign}{seconds:.0f}s"


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from start to end, 0 where the clock went back; None where one is not known."""
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())


def local_time(instant: datetime) -> str:
    """An instant in the reader's time zone: ``2026-11-26 02:08:03+01:00``."""
    return instant.astimezone().isoformat(" ", "seconds")


def counts_text(counts: Mapping[str, int]) -> str:
    """``5 completed, 1 failed``."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def one_line(*parts: str | None) -> str:
    """The parts that are not empty, joined by commas and cut to the width of a table's note."""
    line = " ".join(", ".join(filter(None, parts)).split())
    return line if len(line) <= _WIDEST_NOTE else f"{line[: _WIDEST_NOTE - 3]}..."


def _for_people(value: Any) -> str:
    """The one way in which a value is written in tables and facts."""
    match value:
        case None:
            return ""
        case datetime():
            return local_time(value)
        case bytes():
            return str(uuid.UUID(bytes=value))
        case Mapping():
            return json.dumps(dict(value)) if value else ""
        case _:
            return str(value)


def _for_json(value: Any) -> Any:
    """The one way in which a value that JSON lacks is written."""
    match value:
        case datetime():
            utc = value.astimezone(UTC).isoformat(timespec="milliseconds")
            return utc.replace("+00:00", "Z")
        case uuid.UUID() | bytes():
            return _for_people(value)
        case set() | frozenset():
            return list(value)
        case _:
            return repr(value)


def _show_plain(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in ([head.upper() for head in heads], *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(line.replace("\n", " ").rstrip())


def _show_rich(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for head in heads:
        table.add_column(head, no_wrap=head in ("id", "state", "status", "age"), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    Console().print(table)
