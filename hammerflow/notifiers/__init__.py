"""Notifiers: the doorbell, which wakes workers and waiters before their next poll."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hammerflow.errors import ConfigError
from hammerflow.notifiers.base import RELAYS, Listener, Notifier, Waiter

if TYPE_CHECKING:
    from hammerflow.settings import Settings

__all__ = ["RELAYS", "Listener", "Notifier", "Waiter", "open_notifier"]


def open_notifier(settings: Settings, *, connect: Callable[[], Any] | None = None) -> Notifier:
    """Open the doorbell that the settings name; it connects at its first use.

    Args:
        connect: returns a new connection in autocommit mode (``Database.open_connection``); only
            the doorbell "postgres" calls it.

    Raises:
        MissingExtra: the doorbell's driver is not installed.
        ConfigError: the redis URL is malformed.
    """
    from hammerflow.notifiers.doorbell import Doorbell

    match settings.bell:
        case "redis":
            from hammerflow.notifiers.transports.redis import RedisTransport

            return Doorbell(RedisTransport(settings.redis or "", namespace=settings.namespace))
        case "postgres":
            from hammerflow.notifiers.transports.postgres import PostgresTransport

            if connect is None:
                raise ConfigError("the doorbell postgres needs connect= to open its connections")
            return Doorbell(PostgresTransport(connect, namespace=settings.namespace))
        case "local":
            from hammerflow.notifiers.transports.local import LocalTransport, place_of

            return Doorbell(LocalTransport(place_of(settings), namespace=settings.namespace))
        case _:
            from hammerflow.notifiers.transports.null import NullNotifier

            return NullNotifier()
