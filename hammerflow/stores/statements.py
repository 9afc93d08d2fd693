"""Statements: named SQL blocks, a dialect's laid over the common ones, fitted to its parameters.

A ``.sql`` file holds blocks that begin with ``-- name: some_name``. Inside a block:

``{jobs}``             a table's full name (prefix and schema from the settings)
``{now}``              the database's clock
``{after:delay}``      that clock plus the parameter ``:delay`` in seconds (NULL gives NULL)
``:name::type``        a parameter with its PostgreSQL type (other dialects drop the type)
``IN (:name*type)``    membership in a list parameter

An ``INSERT ... VALUES (...)`` block can be run for many rows at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

__all__ = ["TABLES", "Param", "Statement", "load_statements", "read_migrations", "table_names"]

TABLES = (
    "migrations",
    "queues",
    "tasks",
    "workers",
    "worker_tasks",
    "jobs",
    "ready",
    "leases",
    "scheduled",
    "waiting",
    "done",
    "errors",
    "parked",
    "unique_keys",
    "spawns",
    "edges",
    "workflows",
    "nodes",
    "barriers",
    "progress",
    "job_states",
)

_PARAM = re.compile(
    r"IN \(:(?P<list>\w+)\*(?P<list_type>\w+)\)"
    r"|(?<!:):(?P<name>[a-z]\w*)(?:::(?P<type>[a-z0-9]+(?:\[\])?))?"
)
_BLOCK = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class Param(NamedTuple):
    """One place in a statement where a value goes."""

    name: str
    type: str
    is_list: bool


class Statement:
    """One block, cut at its parameters: text and Param by turns."""

    __slots__ = ("before_row", "name", "parts", "row", "tail")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.parts = _cut(text)
        self.before_row: str | None = None
        self.row: list[str | Param] = []
        self.tail = ""
        if text.lstrip().startswith("INSERT") and (match := _split_values(text)):
            before, row, self.tail = match
            self.before_row = before
            self.row = _cut(row)

    @property
    def text(self) -> str:
        """The whole block, of one without parameters: DDL."""
        return "".join(map(str, self.parts))

    @property
    def row_params(self) -> list[Param]:
        """The parameters of one row of VALUES, in order; each name stands there once."""
        return [part for part in self.row if isinstance(part, Param)]


def _split_values(text: str) -> tuple[str, str, str] | None:
    """Text before VALUES, the parenthesised row, and what follows it."""
    found = re.search(r"\bVALUES\s*\(", text)
    if found is None:
        return None
    depth = 0
    for at in range(found.end() - 1, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[: found.start()], text[found.end() - 1 : at + 1], text[at + 1 :]
    return None


def _cut(text: str) -> list[str | Param]:
    parts: list[str | Param] = []
    at = 0
    for match in _PARAM.finditer(text):
        parts.append(text[at : match.start()])
        if match["list"]:
            parts.append(Param(match["list"], match["list_type"], True))
        else:
            parts.append(Param(match["name"], match["type"] or "", False))
        at = match.end()
    parts.append(text[at:])
    return parts


def table_names(prefix: str, schema: str | None, quote: str) -> dict[str, str]:
    """What ``{jobs}`` and its like become; the prefix and schema are validated names."""
    place = f"{quote}{schema}{quote}." if schema else ""
    return {table: f"{place}{quote}{prefix}{table}{quote}" for table in TABLES}


def load_statements(dialect: str, macros: Mapping[str, str]) -> dict[str, Statement]:
    """All blocks of a dialect: its own laid over the common ones."""
    texts: dict[str, str] = {}
    for folder in ("common", dialect):
        for entry in sorted(_sql(folder).iterdir(), key=lambda e: e.name):
            if entry.name.endswith(".sql"):
                texts.update(_blocks(entry.read_text("utf-8")))
    return {name: Statement(name, expand(text, macros)) for name, text in texts.items()}


def read_migrations(dialect: str) -> list[tuple[int, str, str]]:
    """(version, name, SQL) of each migration of a dialect, in order."""
    found = []
    for entry in _sql("migrations").joinpath(dialect).iterdir():
        number, _, rest = entry.name.removesuffix(".sql").partition("_")
        found.append((int(number), rest, entry.read_text("utf-8")))
    return sorted(found)


def expand(text: str, macros: Mapping[str, str]) -> str:
    """The text with ``{...}`` replaced."""

    def replaced(match: re.Match[str]) -> str:
        key, _, argument = match[1].partition(":")
        return macros[key].replace("@", argument) if argument else macros[key]

    return re.sub(r"\{(\w+(?::\w+)?)\}", replaced, text)


def _sql(folder: str) -> resources.abc.Traversable:
    return resources.files("hammerflow.stores").joinpath("sql", folder)


def _blocks(text: str) -> dict[str, str]:
    pieces = _BLOCK.split(text)
    bodies = [re.sub(r"^\s*--.*\n", "", body, flags=re.MULTILINE).strip() for body in pieces[2::2]]
    return dict(zip(pieces[1::2], [b.rstrip(";") for b in bodies], strict=True))
