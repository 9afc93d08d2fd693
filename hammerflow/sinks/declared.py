"""DeclaredSinks: the sinks that the code of an app declares, as definitions for workers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.events.filter import EventFilter
from hammerflow.options.checks import NAME_CHECK
from hammerflow.sinks.registry import check_config, code_of
from hammerflow.stores.events.sinks import Sinks

__all__ = ["DeclaredSinks", "code_named", "follow_code"]

log = logging.getLogger("hammerflow.sinks")


class DeclaredSinks:
    """What the code says, by name."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def add(
        self, name: str, kind: str, options: Mapping[str, Any], parts: Mapping[str, Any]
    ) -> None:
        """Declare a sink.

        Args:
            parts: of its filter, as :meth:`EventFilter.of` takes them.

        Raises:
            ConfigError: another sink has this name, or an option is wrong.
        """
        name = NAME_CHECK(name, "the name of a sink")
        kind = NAME_CHECK(kind, "the kind of a sink")
        if name in self._known:
            raise ConfigError(f"two sinks are named {name!r}: rename one")
        plain = {
            "kind": kind, "config": check_config(kind, options),
            "filters": EventFilter.of(**parts).to_plain(),
        }  # fmt: skip
        self._known[name] = json.dumps(plain, sort_keys=True)

    def code(self) -> frozenset[str]:
        """What of the user's own these sinks need: ``module:name``."""
        return code_named(self._known)

    def definitions(self) -> Mapping[str, str]:
        """By name, as JSON."""
        return dict(self._known)


def code_named(definitions: Mapping[str, str]) -> frozenset[str]:
    """What these definitions need to be imported: ``module:name``."""
    plain = [json.loads(text) for text in definitions.values()]
    return frozenset().union(*(code_of(one["kind"], one["config"]) for one in plain))


def follow_code(sinks: Sinks, app: str, definitions: Mapping[str, str]) -> None:
    """Write the sinks of an app's code to the database. One that is in the code no longer stays,
    with a warning: in a rolling deploy older code still runs, and a removed sink loses events."""
    for name, text in sorted(definitions.items()):
        plain = json.loads(text)
        try:
            filters = EventFilter.of(**plain["filters"])
            if sinks.put(name, plain["kind"], plain["config"], filters, app=app, by=app):
                log.info("sink %s follows the code", name)
        except ConfigError as error:
            log.error("sink %s of the code is left as it is: %s", name, error)
    gone = [row.name for row in sinks.list() if row.app == app and row.name not in definitions]
    if gone:
        log.warning(
            "sinks that are in the code no longer: %s; remove them with hammerflow sink remove",
            ", ".join(gone),
        )
