"""Fixtures of the tests of sinks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sinks.receiver import Receiver
from tests.stores.kit import Desk, desk_at


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A store over a fresh, migrated database; the test runs once for each kind."""
    with desk_at(migrated_url) as desk:
        yield desk


@pytest.fixture
def embedded_desk(migrated_database: object) -> Iterator[Desk]:
    """A store over a SQLite file."""
    with desk_at(migrated_database("sqlite")) as desk:  # type: ignore[operator]
        yield desk


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP receiver."""
    receiver = Receiver()
    yield receiver
    receiver.close()
