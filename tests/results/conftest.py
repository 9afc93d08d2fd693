"""An app on a fresh database of each kind, and a thread that works for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from hammerflow import Hammerflow
from hammerflow.testing import drain


@pytest.fixture
def app(migrated_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("shop", database=migrated_url)
    yield app
    app.close()


@pytest.fixture
def sqlite_app(sqlite_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("shop", database=sqlite_url)
    yield app
    app.close()


@pytest.fixture
def work() -> Iterator[Callable[[Hammerflow], None]]:
    """Runs an app's jobs in a thread that belongs to no event loop."""
    threads: list[threading.Thread] = []

    def start(app: Hammerflow) -> None:
        threads.append(threading.Thread(target=drain, args=(app,)))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()
