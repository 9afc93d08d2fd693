"""The shop as an app to name: ``hammerflow -A hammerflow.cli.demo.shop_app:app``."""

from __future__ import annotations

from hammerflow.cli.demo.shop import create_shop

__all__ = ["app"]

app = create_shop()
