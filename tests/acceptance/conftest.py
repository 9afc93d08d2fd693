"""Fixtures of the acceptance tests: a shop on each database, with or without Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.kit import Shop


@pytest.fixture
def shop_at(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Opens a shop on the database of a URL."""
    shops: list[Shop] = []

    def open_shop(url: str, *, redis: str | None = None) -> Shop:
        folder = tmp_path / f"shop-{len(shops)}"
        folder.mkdir()
        shops.append(Shop(url, folder, redis=redis))
        return shops[-1]

    yield open_shop
    for shop in shops:
        shop.close()


@pytest.fixture
def shop(migrated_url: str, shop_at: Callable[..., Shop]) -> Shop:
    """A shop; the test runs once on each kind of database."""
    return shop_at(migrated_url)


@pytest.fixture
def sqlite_shop(migrated_database: Callable[[str], str], shop_at: Callable[..., Shop]) -> Shop:
    """A shop on SQLite, for what does not depend on the database."""
    return shop_at(migrated_database("sqlite"))
