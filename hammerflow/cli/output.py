"""Output: tables, facts and JSON; rich in a terminal, plain aligned text elsewhere."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import IO, Any, Generic, NamedTuple, TypeVar

import click

from hammerflow.text import safe_repr, timestamp, visible_lines

__all__ = [
    "TableView", "can_print", "cell_text", "complain", "drop", "fitted",
    "folded", "id_text", "is_terminal", "json_text", "local_time", "say", "say_block",
    "show_csv", "show_facts", "show_json", "show_json_list", "show_table",
]  # fmt: skip

STYLES = {
    "completed": "green", "ok": "green",
    "failed": "red", "fail": "red",
    "parked": "yellow", "cancelled": "yellow", "skipped": "yellow", "warn": "yellow",
    "running": "cyan",
}  # fmt: skip
_LONGEST_REPR = 1_000
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
#: Columns of a terminal's table that may be cut, to this width; notes before all others.
_NOTES = ("note", "paused", "not ended")
_LEAST = {**dict.fromkeys(_NOTES, 16), **dict.fromkeys(("task", "handler", "name", "queue"), 14)}
#: Columns that a narrow terminal lacks, the first of them first; then others from the right.
_LEFT_OUT = (
    "worker", "queue", "kind", "children", "ran", "age", "note", "paused", "handler", "task",
)  # fmt: skip
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


def say(text: str, *, status: str = "") -> None:
    """Print a sentence for people; lines after its first are indented, so that none can be forged.

    ``status`` goes before the text, in its colour.
    """
    shown = visible_lines(text).replace("\n", "\n  ")
    say_block(folded(shown, sys.stdout, first=len(status)), status=status)


def say_block(text: str, *, status: str = "") -> None:
    """Print a text whose lines are ours, as a drawing's.

    This is the one way to standard output, and what a terminal would obey is shown as an escape, as
    are characters that the encoding lacks.
    """
    head = click.style(status, fg=STYLES.get(status.strip()), bold=True) if status else ""
    click.echo(head + _encodable(visible_lines(text)))


def folded(text: str, stream: IO[str], *, first: int = 0, each: int = 0) -> str:
    """A text whose lines fit into the terminal that a stream writes to, if it does.

    They are broken between words, and what follows is indented by two more characters. A word
    stays whole, as an id or a path is to be copied.

    Args:
        first: columns that something takes before the first line.
        each: columns that something takes before each line.
    """
    if not stream.isatty():
        return text
    room = max(20, shutil.get_terminal_size().columns - each)
    lines: list[str] = []
    for line in (" " * first + text).split("\n"):
        margin = " " * (len(line) - len(line.lstrip(" ")) + 2)
        lines += textwrap.wrap(
            line, room, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)[first:]


def complain(kind: str, text: str, *, as_json: bool, **more: Any) -> None:
    """Print an error, a warning or a note to standard error: ``error: ...``, or
    ``{"error": "..."}`` with what programs may want to know besides.

    Lines after the first are indented. Where standard error cannot be written either, the exit
    code is all that tells.
    """
    shown = folded(visible_lines(f"{kind}: {text}").replace("\n", "\n  "), sys.stderr)
    colour = {"error": STYLES["fail"], "warning": STYLES["warn"]}.get(kind)
    try:
        if as_json:
            click.echo(json_text({kind: text, **more}), err=True)
        else:
            click.secho(shown, fg=colour, err=True)
    except OSError:
        drop(sys.stderr)


def drop(stream: IO[str]) -> None:
    """Send what a stream still holds to nowhere: Python would try to write it again at the exit,
    and end with 120."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def show_json(value: Any, *, is_line: bool = False) -> None:
    """Print one JSON document; ``is_line`` prints it on one line in a terminal, too."""
    click.echo(json_text(value, indent=2 if is_terminal() and not is_line else None))


def show_json_list(values: Iterable[Any], *, is_lines: bool = False) -> None:
    """Print values as they come: as one JSON array, or with ``is_lines`` one document a line.

    Where an error ends them, the array is closed, so that what was printed can be read.
    """
    if is_lines:
        for value in values:
            show_json(value, is_line=True)
        return
    indent, mark = (2 if is_terminal() else None), "["
    try:
        for value in values:
            click.echo(f"{mark}{json_text(value, indent=indent)}", nl=False)
            mark = ",\n"
    except BaseException:
        if mark != "[":
            click.echo("]")
        raise
    click.echo("[]" if mark == "[" else "]")


def show_csv(fields: Sequence[str], values: Iterable[Mapping[str, Any]]) -> None:
    """Print values as they come as CSV (RFC 4180) with a head; anything but texts and numbers
    is written as JSON.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, as
    https://owasp.org/www-community/attacks/CSV_Injection advises.
    """
    line = io.StringIO(newline="")
    writer = csv.writer(line)
    for cells in chain([fields], ([_cell(value.get(name)) for name in fields] for value in values)):
        writer.writerow(cells)
        click.echo(line.getvalue(), nl=False)
        line.seek(0)
        line.truncate()


def _cell(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
        case datetime() | uuid.UUID() | bytes():
            return _for_json(value)
        case _:
            return json_text(value)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Any value as valid JSON in ASCII; it never raises.

    Keys are text, instants ISO 8601 in UTC, ids have dashes. NaN and the infinities, which JSON
    lacks, are the texts "NaN", "Infinity" and "-Infinity" (as
    https://protobuf.dev/programming-guides/json has them). Integers are exact, also those beyond
    2**53 that JavaScript and jq round.
    """
    try:
        return json.dumps(value, indent=indent, allow_nan=False, default=_for_json)
    except (TypeError, ValueError):
        return json.dumps(_as_json(value), indent=indent, allow_nan=False)


def show_table(heads: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Print rows under headings, or the sentence ``empty`` when there are none."""
    cells = [[_for_people(cell).replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        say(empty)
    elif is_terminal():
        _show_rich(heads, cells)
    else:
        _show_plain(heads, cells)


def cell_text(value: Any) -> str:
    """A value on one line, as it is written in tables."""
    return _encodable(_for_people(value).replace("\n", " "))


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print one fact a line, without those that are None or empty."""
    known = {name: text for name, fact in facts.items() if (text := _for_people(fact))}
    width = max(map(len, known), default=0)
    for name, text in known.items():
        heads = chain([name], repeat(""))
        shown = folded(visible_lines(text), sys.stdout, each=width + 2)
        for head, line in zip(heads, shown.splitlines() or [""], strict=False):
            say_block(f"{head.ljust(width)}  {line}")


def local_time(instant: datetime) -> str:
    """An instant in the reader's time zone: ``2026-11-26T02:08:03.123+01:00``."""
    return timestamp(instant.astimezone())


def id_text(id_: bytes) -> str:
    """An id with dashes, as everywhere."""
    return str(uuid.UUID(bytes=id_))


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
            return json_text(dict(value)) if value else ""
        case _:
            return visible_lines(str(value))


def _for_json(value: Any) -> Any:
    """The one way in which a value that JSON lacks is written."""
    match value:
        case datetime():
            return timestamp(value.astimezone(UTC))
        case uuid.UUID() | bytes():
            return _for_people(value)
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return list(value)
        case _:
            return safe_repr(value, _LONGEST_REPR)


def _as_json(value: Any) -> Any:
    """The value with nothing in it that JSON lacks."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _NOT_FINITE[str(value)]
        case Mapping():
            return {_key(key): _as_json(part) for key, part in value.items()}
        case list() | tuple():
            return [_as_json(part) for part in value]
        case _:
            return _as_json(_for_json(value))


def _key(value: Any) -> str:
    plain = _as_json(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _show_plain(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in ([head.upper() for head in heads], *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(line.rstrip())


def _show_rich(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console, dots = Console(), "\u2026" if can_print("\u2026") else "."
    rows = [[_encodable(cell) for cell in row] for row in rows]
    natural = [max(map(cell_len, column)) for column in zip(heads, *rows, strict=True)]
    widths = fitted(heads, natural, shutil.get_terminal_size().columns)

    def cell(text: str, width: int, style: str) -> Text:
        shown = Text(text, style)
        if shown.cell_len > width:
            shown.truncate(width - 1)
            shown.append(dots)
        shown.pad_right(width - shown.cell_len)
        return shown

    for number, row in enumerate((heads, *rows)):
        parts = [
            cell(text, width, STYLES.get(text, "") if number else "bold")
            for text, width in zip(row, widths, strict=True)
            if width
        ]
        line = Text("  ").join(parts)
        line.rstrip()
        console.print(line, soft_wrap=True)


def fitted(heads: Sequence[str], natural: Sequence[int], room: int) -> list[int]:
    """The width of each column of a table that fits into ``room``; 0 for a column left out.

    Notes and names are cut first, then columns are left out. The first column and ids are whole
    in any case, as half an id is good for nothing.

    Args:
        natural: the width of the longest cell of each column.
    """
    least = [
        min(width, _LEAST.get(head, width)) for head, width in zip(heads, natural, strict=True)
    ]
    least[0] = natural[0]
    spare = [n for n, head in enumerate(heads) if n and head != "id"]
    spare.sort(key=lambda n: (_LEFT_OUT.index(heads[n]) if heads[n] in _LEFT_OUT else 99, -n))

    def left() -> int:
        return room - sum(least) - 2 * (sum(width > 0 for width in least) - 1)

    for column in spare:
        if left() >= 0:
            break
        least[column] = 0
    for column in sorted(range(len(heads)), key=lambda n: heads[n] in _NOTES):
        if least[column]:
            least[column] += max(0, min(natural[column] - least[column], left()))
    return least
