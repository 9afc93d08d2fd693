"""Output: tables, facts, trees and JSON; rich in a terminal, plain aligned text elsewhere."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

__all__ = [
    "age", "can_print", "is_terminal", "say", "show_facts", "show_json", "show_table", "when",
]  # fmt: skip

STYLES = {
    "completed": "green", "ok": "green",
    "failed": "red", "fail": "red",
    "parked": "yellow", "cancelled": "yellow", "skipped": "yellow", "warn": "yellow",
    "running": "cyan",
}  # fmt: skip


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
    """One line for people (what its encoding lacks is escaped)."""
    encoding = sys.stdout.encoding or "ascii"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def show_json(value: Any, *, is_line: bool = False) -> None:
    """One JSON document; for people on many lines unless it must be one."""
    indent = 2 if is_terminal() and not is_line else None
    click.echo(json.dumps(value, indent=indent, default=_plain))


def show_table(heads: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Rows under headings; ``empty`` is said when there are none."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not cells:
        say(empty)
    elif is_terminal():
        _show_rich(heads, cells)
    else:
        _show_plain(heads, cells)


def show_facts(facts: Mapping[str, Any]) -> None:
    """One fact a line; those that are None or empty are left out."""
    known = {name: str(fact) for name, fact in facts.items() if fact is not None and fact != ""}
    width = max(map(len, known), default=0)
    for name, fact in known.items():
        lines = fact.splitlines() or [""]
        say(f"{name.ljust(width)}  {lines[0]}")
        for line in lines[1:]:
            say(f"{' ' * width}  {line}")


def age(instant: datetime | None, now: datetime | None = None) -> str:
    """How long ago: ``12s``, ``3m``, ``5h``, ``2d``; with a sign where it is still to come."""
    if instant is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - instant) / timedelta(seconds=1)
    sign, seconds = ("in ", -seconds) if seconds < -0.5 else ("", abs(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{sign}{seconds / size:.0f}{unit}"
    return f"{sign}{seconds:.0f}s"


def when(instant: datetime | None) -> str | None:
    """An instant in the reader's own time zone."""
    return None if instant is None else f"{instant.astimezone():%Y-%m-%d %H:%M:%S%z}"


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
        table.add_column(head, no_wrap=head in ("id", "state", "age"), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case uuid.UUID():
            return str(value)
        case set() | frozenset() | tuple():
            return list(value)
        case _:
            return repr(value)
