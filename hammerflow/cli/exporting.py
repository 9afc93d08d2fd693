"""Exports: rows written as they are read, as JSON lines or CSV, to standard output or a file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from hammerflow.cli import options, output
from hammerflow.cli.session import Session
from hammerflow.text import counted

__all__ = ["export_options", "write_export"]

F = TypeVar("F", bound=Callable[..., Any])


def export_options(command: F) -> F:
    """``--format`` and ``--output``."""
    given = options.path_option(
        "--output", "path", help="Write to this file, once all was read [default: standard output]."
    )(command)
    return options.choice_option(
        "--format", "form", values=("json-lines", "csv"), default="json-lines",
        help="How each row is written.",
    )(given)  # fmt: skip


def write_export(
    session: Session, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, form: str,
    path: str | None,
) -> None:  # fmt: skip
    """Write rows as they come; no more than a page of them is in memory.

    Args:
        columns: of CSV; JSON has every field.
        form: json-lines or csv; with --json it is JSON lines.
        path: None or "-" for standard output. A file appears there once it is complete.
    """
    number = 0

    def each() -> Iterator[Mapping[str, Any]]:
        nonlocal number
        for row in rows:
            yield row
            number += 1

    with _opened(path):
        if form == "csv" and not session.as_json:
            output.show_csv(columns, each())
        else:
            output.show_json_list(each(), is_lines=True)
    if path not in (None, "-"):
        session.tell({"rows": number, "file": path}, f"{counted(number, 'row')} in {path}")


@contextlib.contextmanager
def _opened(path: str | None) -> Iterator[None]:
    """Standard output leads to a file with another name, which gets its own once all is written, so
    that half an export is not taken for a whole one; a device or pipe is written as it is."""
    if path is None or path == "-":
        yield
        return
    place = Path(path)
    if place.exists() and not place.is_file():
        with place.open("w", encoding="utf-8", newline="") as file, _redirected(file):
            yield
        return
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file, _redirected(file):
            yield
        part.replace(place)
    except OSError as error:
        if error.filename == str(part):
            error.filename = str(place)
        raise
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _redirected(file: IO[str]) -> Iterator[None]:
    before, sys.stdout = sys.stdout, file
    try:
        yield
    finally:
        sys.stdout = before
