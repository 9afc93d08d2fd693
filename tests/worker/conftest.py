"""Fixtures of the worker's tests: the shop of the acceptance tests, and jobs made by hand."""

from __future__ import annotations

from tests.acceptance.conftest import shop, shop_at, sqlite_shop

__all__ = ["shop", "shop_at", "sqlite_shop"]
