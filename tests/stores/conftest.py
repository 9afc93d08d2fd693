"""Fixtures of the store tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores.kit import Desk, desk_at


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A store over a fresh, migrated database; the test runs once for each kind."""
    with desk_at(migrated_url) as desk:
        yield desk
