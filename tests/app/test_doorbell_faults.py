"""A doorbell that cannot work: said before the first row is written, or not at all."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from hammerflow import Hammerflow, MissingExtra, Workflow, chain

#: Nothing listens there.
UNREACHABLE = "redis://127.0.0.1:1/0"


@contextmanager
def ringing(url: str) -> Iterator[Hammerflow]:
    """An app with a Redis URL."""
    app = Hammerflow("shop", database=url, redis=UNREACHABLE)
    app.task(_echo, name="echo")
    with closing(app):
        yield app


def _echo(x: int) -> int:
    return x


def _delay(app: Hammerflow) -> None:
    app.tasks["echo"].delay(1)


def _enqueue_many(app: Hammerflow) -> None:
    app.enqueue_many([app.tasks["echo"].s(1)])


def _canvas(app: Hammerflow) -> None:
    chain(app.tasks["echo"].s(1), app.tasks["echo"].s()).delay()


def _batch(app: Hammerflow) -> None:
    app.batch([app.tasks["echo"].s(1)]).enqueue()


def _workflow(app: Hammerflow) -> None:
    Workflow("w", submit=app.enqueue).add(app.tasks["echo"].s(1)).enqueue()


def _transaction(app: Hammerflow) -> None:
    with app.transaction():
        app.tasks["echo"].delay(1)


def _async_transaction(app: Hammerflow) -> None:
    async def main() -> None:
        async with app.transaction():
            await app.tasks["echo"].adelay(1)

    asyncio.run(main())


def _adelay(app: Hammerflow) -> None:
    async def main() -> None:
        await app.tasks["echo"].adelay(1)

    asyncio.run(main())


def _using(app: Hammerflow) -> None:
    owner = Hammerflow("owner", database=app.settings.database)
    with closing(owner), owner.transaction() as tx, app.using(tx.connection):
        app.tasks["echo"].delay(1)


WAYS = [
    _delay, _enqueue_many, _canvas, _batch, _workflow, _transaction, _async_transaction, _adelay,
    _using,
]  # fmt: skip


def _count(app: Hammerflow) -> int:
    with closing(Hammerflow("reader", database=app.settings.database)) as reader:
        return len(reader.jobs())


def test_a_missing_driver_is_an_error_before_anything_is_written(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "hammerflow.notifiers.transports.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)

    for way in WAYS:
        with ringing(migrated_url) as app:
            for _ in range(2):  # the second call finds no store that the first one has opened
                with pytest.raises(MissingExtra, match=r"hammerflow\[redis\]"):
                    way(app)
            assert _count(app) == 0, way


class _Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("the log is full")


def test_after_a_commit_nothing_raises(migrated_url: str) -> None:
    handler = _Broken()
    log = logging.getLogger("hammerflow")
    log.addHandler(handler)
    try:
        for number, way in enumerate(WAYS, start=1):
            with ringing(migrated_url) as app:
                way(app)  # Redis cannot be reached, and even saying so fails
                assert _count(app) >= number, way
    finally:
        log.removeHandler(handler)


def test_a_job_is_cancelled_and_retried_without_a_doorbell(sqlite_url: str) -> None:
    with ringing(sqlite_url) as app:
        result: Any = app.tasks["echo"].delay(1)
        result.cancel()
        result.retry()

        assert result.state == "ready"


@pytest.mark.parametrize("runtime", ["/dev/null", "/nowhere/at/all", "relative", "/proc/self"])
def test_a_bad_folder_for_sockets_stops_no_call(
    sqlite_url: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    app = Hammerflow("shop", database=sqlite_url)
    app.task(_echo, name="echo")

    with app.transaction():
        app.tasks["echo"].delay(1)

    assert _count(app) == 1
    app.close()
