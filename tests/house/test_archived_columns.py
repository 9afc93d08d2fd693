"""The archive keeps every column of the tables whose rows it moves, on each database."""

from __future__ import annotations

import re

import pytest

from hammerflow.stores.statements import load_statements, read_migrations
from hammerflow.stores.transitions.archiving import ARCHIVED_TABLES
from tests.stores.test_rows import DIALECTS, MACROS

#: What begins a line of a table that is no column.
_NO_COLUMN = ("PRIMARY", "UNIQUE", "KEY", "INDEX")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("table", ARCHIVED_TABLES)
def test_every_column_goes_and_comes_back(dialect: str, table: str) -> None:
    statements = load_statements(dialect, MACROS)
    written = [param.name for param in statements[f"archive_write_{table}"].row_params]
    read = re.match(r"SELECT (.*?)\s+FROM", statements[f"archive_read_{table}"].text, re.DOTALL)
    assert read is not None and re.split(r",\s+", read[1]) == written
    assert sorted(written) == sorted(_columns(dialect, table))


def _columns(dialect: str, table: str) -> set[str]:
    """Those of CREATE TABLE and of every later ALTER TABLE ... ADD, without those that the database
    computes."""
    found: set[str] = set()
    for _, _, text in read_migrations(dialect):
        head = rf"CREATE TABLE (?:IF NOT EXISTS )?\{{{table}\}} \("
        made = re.search(head + r"(.*?)\)(?:\s+WITH[^;]*|\s*\{table\})?;\n", text, re.DOTALL)
        if made is not None:
            parts = re.split(r",\s+(?![^()]*\))", made[1].strip())
            columns = [part for part in parts if not part.startswith(_NO_COLUMN)]
            found |= {part.split()[0] for part in columns if not part.endswith(" STORED")}
        found |= set(re.findall(rf"ALTER TABLE \{{{table}\}} ADD (?:COLUMN )?(\w+)", text))
    return found
