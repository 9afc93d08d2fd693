"""The doorbells that a command rings: its own, and those that the workers listen to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hammerflow.errors import ConfigError, MissingExtra
from hammerflow.notifiers import Notifier, open_notifier
from hammerflow.notifiers.several import SeveralNotifiers
from hammerflow.settings import Settings
from hammerflow.stores.store import Store

__all__ = ["open_doorbells", "settings_of"]


def open_doorbells(settings: Settings, store: Store, warn: Callable[[str], None]) -> Notifier:
    """Open the doorbell of the settings, and those of the workers on this database.

    A command without its app knows neither the namespace nor the Redis that the app gives to its
    workers, so these have written them down. ``warn`` tells of those that it cannot ring.
    """
    connect = store.database.open_connection
    own = open_notifier(settings, connect=connect)
    others: list[Notifier] = []
    for doorbell in _others(settings, store.workers.list()):
        try:
            others.append(open_notifier(settings_of(settings, doorbell), connect=connect))
        except (ConfigError, MissingExtra) as error:
            warn(
                f"workers listen to the doorbell {doorbell['kind']} of the namespace "
                f"{doorbell['namespace']}, which this command cannot ring, so they notice the "
                f"change when they poll: {error}"
            )
    return SeveralNotifiers(own, others) if others else own


def _others(
    settings: Settings, workers: Iterable[Mapping[str, Any]]
) -> Iterable[Mapping[str, Any]]:
    """The doorbells of the workers, each once, but the command's own. Dead ones count, too, as
    a worker with a long lease may be silent for long."""
    own, found = settings.doorbell_address, {}
    for worker in workers:
        doorbell = worker["info"].get("doorbell")
        if doorbell and doorbell["kind"] != "none":
            found[doorbell["kind"], doorbell["namespace"], doorbell["redis"]] = doorbell
    return [doorbell for doorbell in found.values() if doorbell != own]


def settings_of(settings: Settings, doorbell: Mapping[str, Any]) -> Settings:
    """Settings that ring the doorbell of a worker; ConfigError if it needs a secret."""
    kind, redis = doorbell["kind"], doorbell["redis"]
    if kind == "redis" and redis is None:
        redis = settings.redis  # its URL is secret, so only whoever knows it can ring it
        if redis is None:
            raise ConfigError("set $HAMMERFLOW_REDIS_URL or name the app with -A")
    return dataclasses.replace(
        settings, doorbell=kind, redis=redis, namespace=doorbell["namespace"]
    )
