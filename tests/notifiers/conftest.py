"""Fixtures: doorbells over each transport."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hammerflow.notifiers.doorbell import Doorbell
from hammerflow.notifiers.transports.local import LocalTransport
from tests.notifiers.kit import LOGGER, Lines

Make = Callable[..., Doorbell]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "transport" in metafunc.fixturenames:
        only_local = metafunc.config.getoption("--sqlite-only")
        metafunc.parametrize("transport", ["local"] if only_local else KINDS)


def _local(request: pytest.FixtureRequest) -> Callable[[str], LocalTransport]:
    folder: Path = request.getfixturevalue("root")
    return lambda namespace: LocalTransport("/srv/shop.db", namespace=namespace, roots=[folder])


def _redis(request: pytest.FixtureRequest) -> Callable[[str], object]:
    from hammerflow.notifiers.transports.redis import RedisTransport

    url: str = request.getfixturevalue("redis_url")
    return lambda namespace: RedisTransport(url, namespace=namespace)


def _postgres(request: pytest.FixtureRequest) -> Callable[[str], object]:
    import psycopg

    from hammerflow.notifiers.transports.postgres import PostgresTransport

    url: str = request.getfixturevalue("postgres_url")
    return lambda namespace: PostgresTransport(
        lambda: psycopg.connect(url, autocommit=True), namespace=namespace
    )


KINDS = {"local": _local, "redis": _redis, "postgres": _postgres}


@pytest.fixture
def root() -> Iterator[Path]:
    """An empty folder with a path short enough for sockets; pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        yield Path(folder)


@pytest.fixture
def doorbell(transport: str, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes doorbells of one transport, each as another process would have it."""
    kind = KINDS[transport](request)
    made: list[Doorbell] = []

    def make(namespace: str = "shop") -> Doorbell:
        made.append(Doorbell(kind(namespace)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def redis_doorbell() -> Iterator[Make]:
    """Makes doorbells over the Redis of a URL."""
    from hammerflow.notifiers.transports.redis import RedisTransport

    made: list[Doorbell] = []

    def make(url: str, namespace: str = "shop") -> Doorbell:
        made.append(Doorbell(RedisTransport(url, namespace=namespace)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The lines that the doorbell logs."""
    handler = Lines()
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel("INFO")
    yield handler
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(level)
