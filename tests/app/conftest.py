"""An app on a fresh database of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hammerflow import Hammerflow


@pytest.fixture
def app(migrated_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("shop", database=migrated_url)
    yield app
    app.close()
