"""Isolated: an app on a database for tests, however and wherever the app was made."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from hammerflow.app import Hammerflow
from hammerflow.errors import ConfigError
from hammerflow.text import safe_repr
from hammerflow.urls.database import parse_url

__all__ = ["isolated"]

_URLS = ("HAMMERFLOW_DATABASE", "HAMMERFLOW_REDIS")
_VARIABLES = (*_URLS, *(f"{name}_URL" for name in _URLS))


@contextlib.contextmanager
def isolated(app: Hammerflow, database: str | Path) -> Iterator[Hammerflow]:
    """Let an app use another database inside a ``with`` block, and no Redis::

        @pytest.fixture(autouse=True)
        def jobs(tmp_path):
            with isolated(app, tmp_path):
                yield

    The database is migrated at the beginning of the block. Its URL is in
    ``$HAMMERFLOW_DATABASE_URL`` meanwhile, for apps that are made and workers that are started
    inside the block.

    Args:
        app: nothing else may use it at the same time, not even another thread.
        database: a folder, in which the SQLite file ``jobs.db`` is made; or the URL of a database
            for tests, whose jobs remain after the block.

    Raises:
        ConfigError: it is the app's own database, or the URL is wrong.
        StoreUnavailable: the database cannot be reached.
    """
    given: object = database
    if not isinstance(given, str | Path):
        shown = safe_repr(given)
        raise ConfigError(
            f"isolated() takes a folder (a Path) or the URL of a database, not {shown}"
        )
    url = database if isinstance(database, str) else _url_in(database)
    before = app.settings
    schema = before.schema if parse_url(url).dialect == "postgres" else None
    inside = dataclasses.replace(before, database=url, redis=None, schema=schema, doorbell="auto")
    if inside.database == before.database:
        raise ConfigError(
            f"isolated() was given the app's own database {before.database_label}: give it one "
            "for tests"
        )
    variables = {name: os.environ.pop(name, None) for name in _VARIABLES}
    app.close()
    try:
        app.settings = inside
        os.environ["HAMMERFLOW_DATABASE_URL"] = inside.database
        app.migrate()
        yield app
    finally:
        app.close()
        app.settings = before
        os.environ.pop("HAMMERFLOW_DATABASE_URL", None)
        os.environ.update({name: value for name, value in variables.items() if value is not None})


def _url_in(folder: Path) -> str:
    path = str(folder.absolute() / "jobs.db").replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///{path}"
