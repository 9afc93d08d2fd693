"""Fixtures of all tests: a fresh database on every kind of server, Redis, and servers to break.

`database_url` runs a test once on each of SQLite, PostgreSQL and MariaDB. The servers for it are
started at the first use and shared; a test that kills its server asks for `own_postgres`,
`own_mariadb` or `own_redis`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

from tests.support.pool import DatabasePool
from tests.support.programs import KINDS, missing
from tests.support.servers import (
    MariaDB,
    Postgres,
    Redis,
    Server,
    create_database,
    drop_database,
    open_redis,
    temporary_folder,
)

settings.register_profile("shared", deadline=None)  # the machine may be shared
settings.load_profile("shared")

DATABASES = ("sqlite", "postgres", "mariadb")
_SERVER_FIXTURES = {
    "postgres_url",
    "mariadb_url",
    "redis_url",
    "own_postgres",
    "own_mariadb",
    "own_redis",
}
S = TypeVar("S", bound=Server)
_numbers = itertools.count(1)


# -- options and the beginning of a session


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sqlite-only", action="store_true", help="leave out every test that needs a server"
    )
    parser.addoption(
        "--whole", action="store_true", help="try all values on servers, too, where a sample is"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds; left out by `tox -e fast`")
    for name in [name for name in os.environ if name.startswith("HAMMERFLOW_")]:
        if not name.startswith("HAMMERFLOW_TEST_"):
            del os.environ[name]  # a developer's own settings are not the tests'
    if config.getoption("--sqlite-only"):
        return
    lacking = missing()
    if lacking:
        raise pytest.UsageError(
            *(kind.advice() for kind in lacking),
            "`python -m tests.support.install` installs them on Debian and Ubuntu; "
            "`pytest --sqlite-only` runs the tests that need none",
        )
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        for kind in ("postgres", "mariadb"):  # one of each for all of pytest-xdist's processes
            os.environ[KINDS[kind].variable] = _shared_url(kind)


def pytest_unconfigure(config: pytest.Config) -> None:
    for pool in _pools:
        with contextlib.suppress(Exception):  # its server may be gone
            pool.close()
    _pools.clear()
    for server in _shared.values():
        server.close()
    _shared.clear()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" in metafunc.fixturenames:
        kinds = DATABASES[:1] if metafunc.config.getoption("--sqlite-only") else DATABASES
        metafunc.parametrize("database_kind", kinds, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--sqlite-only"):
        return
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        needs = _SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        (left_out if needs else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


# -- shared servers

_shared: dict[str, Server] = {}
_pools: list[DatabasePool] = []


def _shared_url(kind: str) -> str:
    """The URL of the server of this kind for the ordinary tests; started at the first call."""
    given = KINDS[kind].given()
    if given is not None:
        return given
    if kind not in _shared:
        server = {"postgres": Postgres, "mariadb": MariaDB, "redis": Redis}[kind]()
        server.start()
        _shared[kind] = server
    return _shared[kind].url()


def _name(word: str) -> str:
    return f"hf_{word}_{os.getpid()}_{next(_numbers)}"


def _migrate(url: str) -> None:
    from hammerflow.settings import Settings
    from hammerflow.stores import open_store

    store = open_store(Settings(database=url))
    try:
        store.schema.migrate()
    finally:
        store.close()


def _migrated(kind: str, name: str) -> str:
    """A new database of a server, with the current schema."""
    if kind == "postgres":
        return create_database(_shared_url(kind), name, _template(kind))
    url = create_database(_shared_url(kind), name)
    _migrate(url)
    return url


@functools.cache
def _pool(kind: str) -> DatabasePool:
    """Databases with the current schema, which tests use in turns."""
    _pools.append(DatabasePool(_shared_url(kind), functools.partial(_migrated, kind)))
    return _pools[-1]


@functools.cache
def _template(kind: str) -> str:
    """A database with the current schema to copy from: a file's path or a database's name."""
    if kind == "sqlite":
        path = temporary_folder() / "template.db"
        _migrate(f"sqlite:///{path}")
        return str(path)
    name = _name("template")
    _migrate(create_database(_shared_url(kind), name))
    return name


# -- databases


@pytest.fixture
def database_url(database_kind: str, fresh_database: Callable[[str], str]) -> str:
    """A fresh, empty database; the test runs once for each kind."""
    return fresh_database(database_kind)


@pytest.fixture
def migrated_url(database_kind: str, migrated_database: Callable[[str], str]) -> str:
    """A fresh database with the current schema; the test runs once for each kind."""
    return migrated_database(database_kind)


@pytest.fixture
def sqlite_url(fresh_database: Callable[[str], str]) -> str:
    """A SQLite file that does not exist yet."""
    return fresh_database("sqlite")


@pytest.fixture
def postgres_url(fresh_database: Callable[[str], str]) -> str:
    """A fresh, empty PostgreSQL database."""
    return fresh_database("postgres")


@pytest.fixture
def mariadb_url(fresh_database: Callable[[str], str]) -> str:
    """A fresh, empty MariaDB database."""
    return fresh_database("mariadb")


@pytest.fixture
def fresh_database(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes an empty database of a kind (any number of them); dropped after the test."""
    made: list[tuple[str, str]] = []

    def make(kind: str) -> str:
        name = _name("test")
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        made.append((kind, name))
        return create_database(_shared_url(kind), name)

    yield make
    for kind, name in made:
        drop_database(_shared_url(kind), name)


@pytest.fixture
def migrated_database(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes a database of a kind with the current schema; dropped after the test."""
    made: list[tuple[str, str]] = []

    def make(kind: str) -> str:
        name = _name("test")
        if kind == "sqlite":
            shutil.copy(_template(kind), tmp_path / f"{name}.db")
            return f"sqlite:///{tmp_path / name}.db"
        url = _pool(kind).take(name)
        made.append((kind, url))
        return url

    yield make
    for kind, url in made:
        _pool(kind).give(url)


@pytest.fixture
def redis_url() -> str:
    """The URL of an empty Redis."""
    url = _shared_url("redis")
    with open_redis(url) as client:
        client.flushdb()
    return url


# -- servers that belong to one test, to be killed, paused and started again


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, running."""
    yield from _own(Postgres)


@pytest.fixture
def own_mariadb() -> Iterator[MariaDB]:
    """A MariaDB of the test's own, running."""
    yield from _own(MariaDB)


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis of the test's own, running."""
    yield from _own(Redis)


def _own(kind: type[S]) -> Iterator[S]:
    try:
        kind.programs()
    except LookupError as error:
        pytest.fail(str(error))
    with kind() as server:
        yield server
