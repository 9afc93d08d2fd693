"""Fixtures of the store tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.kit import Desk, desk_at


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a server when only SQLite is asked for."""
    if not config.getoption("--sqlite-only"):
        return
    left_out = [item for item in items if _needs_a_server(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _needs_a_server(item: pytest.Item) -> bool:
    if Path(__file__).parent not in item.path.parents:
        return False
    callspec = getattr(item, "callspec", None)
    kinds = (
        {value for value in callspec.params.values() if isinstance(value, str)}
        if callspec
        else set()
    )
    return bool(kinds & {"postgres", "mariadb"}) or "servers" in getattr(item, "fixturenames", ())


@pytest.fixture
def servers() -> None:
    """Marks a test that needs a server whatever its parameters."""


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A store over a fresh, migrated database; the test runs once for each kind."""
    with desk_at(migrated_url) as desk:
        yield desk
