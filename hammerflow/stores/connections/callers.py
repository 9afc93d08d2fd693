"""Callers' connections: the driver's own connection inside what a caller passes to ``using()``."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import iscoroutinefunction
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a, kind_name, module_name

__all__ = ["async_driver_connection", "driver_connection", "kind_of"]

#: Drivers whose connections are asynchronous although their methods do not show it.
_ASYNC = {"asyncpg", "aiomysql", "asyncmy", "aiosqlite"}


def driver_connection(given: Any) -> Any:
    """The driver's connection inside a SQLAlchemy Connection or Session, a Django connection, or
    what is a driver's connection itself.

    Raises:
        ConfigError: it is asynchronous.
    """
    module = _root(given)
    found = given
    if not _is_async(given):
        if module == "sqlalchemy" or _has(given, "get_bind"):  # a Session, or a subclass of one
            inner = getattr(given, "connection", None)
            found = (given.connection() if callable(inner) else given).connection.driver_connection
        elif module == "django" or _has(given, "ensure_connection"):
            given.ensure_connection()
            found = given.connection
    if _is_async(found):
        raise ConfigError(
            f"{kind_of(given)} is asynchronous: write `async with app.using(...)` with the "
            "AsyncSession, AsyncConnection or driver's connection itself, and await adelay() in it"
        )
    return found


async def async_driver_connection(given: Any) -> Any:
    """The driver's async connection inside a SQLAlchemy AsyncConnection or AsyncSession, or what is
    a driver's connection itself.

    Raises:
        ConfigError: it is not asynchronous.
    """
    if not _is_async(given):
        raise ConfigError(
            f"{kind_of(given)} is not asynchronous: write `with app.using(...)`, or pass an "
            "AsyncSession, an AsyncConnection or the connection of an async driver"
        )
    if not _is_of_sqlalchemy(given):
        return given
    if hasattr(given, "get_bind"):  # an AsyncSession
        given = await given.connection()
    return (await given.get_raw_connection()).driver_connection


def kind_of(connection: Any) -> str:
    """How a message names what the caller passed."""
    return f"a connection of type {module_name(type(connection))}.{kind_name(connection)}"


def _is_async(given: Any) -> bool:
    kind = type(given)
    return (
        _root(given) in _ASYNC
        or _is_of_sqlalchemy(given)
        or any(iscoroutinefunction(getattr(kind, name, None)) for name in ("commit", "execute"))
        or is_a(given, Awaitable)  # type: ignore[type-abstract]
    )


def _is_of_sqlalchemy(given: Any) -> bool:
    return any(
        module_name(base).startswith("sqlalchemy.ext.asyncio") for base in type(given).__mro__
    )


def _has(given: Any, name: str) -> bool:
    try:
        return hasattr(given, name)
    except (Exception, SystemExit):  # noqa: BLE001 - a border: the object's own methods may raise
        return False


def _root(given: Any) -> str:
    return module_name(type(given)).partition(".")[0]
