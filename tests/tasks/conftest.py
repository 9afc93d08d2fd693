"""An app for the tests of tasks, on SQLite or on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hammerflow import Hammerflow


@pytest.fixture
def app(sqlite_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("shop", database=sqlite_url, doorbell="none")
    app.migrate()
    yield app
    app.close()


@pytest.fixture
def each_app(migrated_url: str) -> Iterator[Hammerflow]:
    """An app on each kind of database."""
    app = Hammerflow("shop", database=migrated_url, doorbell="none")
    yield app
    app.close()
