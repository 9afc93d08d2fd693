"""Statements: the named blocks of the ``.sql`` files, cut at their parameters.

A block begins with ``-- name: some_name``; one of a dialect's folder replaces the common one of the
same name. Inside a block:

``{jobs}``             a table's full name (prefix and schema from the settings)
``{now}``              the database's clock
``{after:delay}``      that clock plus the parameter ``:delay`` in seconds (NULL gives NULL)
``:name::type``        a parameter with its PostgreSQL type (other dialects drop the type)
``IN (:name*type)``    membership in a list parameter

A block that begins with ``-- macro: some_name`` is text that others share: they write it as
``{some_name}``, or as ``{some_name:argument}`` where it has an ``@`` for the argument.

An ``INSERT ... VALUES (...)`` block can be run for many rows at once. The dialects write the
parameters in the way of their driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import NamedTuple

from hammerflow.jobs.histogram import bucket_sql

__all__ = [
    "TABLES", "Param", "Statement", "Statements", "expand", "load_statements", "read_migrations",
    "table_names",
]  # fmt: skip

#: Every table and view, without the prefix; each is a macro of its name.
TABLES = (
    "migrations", "queues", "tasks", "pauses", "workers", "worker_tasks", "worker_requests",
    "clients",
    "jobs", "ready", "leases", "scheduled", "waiting", "done", "parked", "job_states",
    "errors", "job_logs", "progress", "unique_keys", "spawns", "edges", "workflows", "nodes",
    "barriers", "limits", "limit_keys", "limit_locks",
    "schedules", "schedule_ticks", "schedule_sets",
    "retention", "replays", "archived", "archive_packs", "restored",
    "outbox", "events", "relay", "sinks", "sink_errors",
    "webhooks", "webhook_deliveries",
    "statistics", "spawn_statistics", "workflow_statistics", "statistics_progress", "metrics",
    "web_tokens", "audit", "web_answers", "operations",
    "alerting", "alert_settings", "alerts", "alert_messages", "worker_losses",
)  # fmt: skip

_PARAM = re.compile(
    r"IN \(:(?P<list>\w+)\*(?P<list_type>\w+)\)"
    r"|(?<!:):(?P<name>[a-z]\w*)(?:::(?P<type>[a-z0-9]+(?:\[\])?))?"
)
_BLOCK = re.compile(r"^-- (name|macro): (\w+)\n", re.MULTILINE)


class Param(NamedTuple):
    """One place in a statement where a value goes."""

    name: str
    type: str  # of PostgreSQL; of the elements, for a list
    is_list: bool  # an ``IN`` with a list of values


class Statement:
    """One block, cut at its parameters.

    Attributes:
        parts: text and Param in turns.
        before_row: of an ``INSERT ... VALUES (...)``, the text before ``VALUES``; else empty.
        row: the parts of its parenthesised row.
        tail: the text after the row.
    """

    __slots__ = ("before_row", "name", "parts", "row", "tail")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.parts = _parts(text)
        self.before_row, row, self.tail = _split_values(text)
        self.row = _parts(row)

    @property
    def text(self) -> str:
        """The whole block, of one without parameters: DDL."""
        return "".join(map(str, self.parts))

    @property
    def row_params(self) -> list[Param]:
        """The parameters of one row of VALUES, in order; each name occurs once."""
        return [part for part in self.row if isinstance(part, Param)]


#: By name.
Statements = Mapping[str, Statement]


def _split_values(text: str) -> tuple[str, str, str]:
    """The text before VALUES, the parenthesised row, and what follows it; empty without VALUES."""
    found = re.search(r"\bVALUES\s*\(", text)
    if found is None:
        return "", "", ""
    start, depth = found.end() - 1, 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[: found.start()], text[start : at + 1], text[at + 1 :]
    raise ValueError(f"unbalanced parentheses after VALUES: {text}")


def _parts(text: str) -> list[str | Param]:
    parts: list[str | Param] = []
    at = 0
    for match in _PARAM.finditer(text):
        parts.append(text[at : match.start()])
        is_list = match["list"] is not None
        name, type_ = match["list"] or match["name"], match["list_type"] or match["type"] or ""
        parts.append(Param(name, type_, is_list))
        at = match.end()
    parts.append(text[at:])
    return parts


def table_names(prefix: str, schema: str | None, quote: str) -> dict[str, str]:
    """The macros ``{jobs}``, ``{ready}`` ... and the quoted full name of each table.

    Prefix and schema are valid names: the settings have checked them.
    """
    place = f"{quote}{schema}{quote}." if schema else ""
    return {table: f"{place}{quote}{prefix}{table}{quote}" for table in TABLES}


def load_statements(dialect: str, macros: Mapping[str, str]) -> dict[str, Statement]:
    """All blocks of a dialect by name: its own, and the common ones that it does not replace."""
    blocks = {"name": dict[str, str](), "macro": {**macros, "bucket": bucket_sql("@")}}
    for folder in ("common", dialect):
        for entry in _sql(folder).iterdir():
            for kind, name, text in _blocks(entry.read_text("utf-8")):
                blocks[kind][name] = text
    return {
        name: Statement(name, expand(text, blocks["macro"]))
        for name, text in blocks["name"].items()
    }


def read_migrations(dialect: str) -> list[tuple[int, str, str]]:
    """(version, name, SQL) of each migration of a dialect, in order."""
    found = []
    for entry in _sql("migrations").joinpath(dialect).iterdir():
        number, _, rest = entry.name.removesuffix(".sql").partition("_")
        found.append((int(number), rest, entry.read_text("utf-8")))
    return sorted(found)


def expand(text: str, macros: Mapping[str, str]) -> str:
    """The text with each ``{macro}`` replaced, and ``{macro:argument}`` by one whose ``@`` is the
    argument."""

    def replaced(match: re.Match[str]) -> str:
        key, _, argument = match[1].partition(":")
        return expand(macros[key].replace("@", argument), macros)

    return re.sub(r"\{(\w+(?::\w+)?)\}", replaced, text)


def _sql(folder: str) -> resources.abc.Traversable:
    # Through importlib, not by a path: an installed package may be a zip file.
    return resources.files("hammerflow.stores").joinpath("sql", folder)


def _blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """(kind, name, text without the lines of comment) of each block."""
    pieces = _BLOCK.split(text)
    for kind, name, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        yield kind, name, re.sub(r"^\s*--.*\n", "", body, flags=re.MULTILINE).strip().rstrip(";")
