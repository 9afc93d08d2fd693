"""DeclaredAlerts: the rules and targets of alerts that the code of an app declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from hammerflow.alerts.rules import check_rule
from hammerflow.alerts.targets import check_target
from hammerflow.errors import ConfigError
from hammerflow.options.checks import NAME_CHECK

__all__ = ["AlertDefinition", "DeclaredAlerts"]


class AlertDefinition(NamedTuple):
    """One of them."""

    part: Literal["rule", "target"]
    name: str
    kind: str
    config: Mapping[str, Any]

    @classmethod
    def from_json(cls, text: str) -> AlertDefinition:
        """The inverse of :meth:`to_json`."""
        return cls(*json.loads(text))

    def to_json(self) -> str:
        """As one process tells another."""
        return json.dumps(self, sort_keys=True)


class DeclaredAlerts:
    """What the code says."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], AlertDefinition] = {}

    def add_rule(self, name: str, kind: str | None, options: Mapping[str, Any]) -> None:
        """Declare a rule.

        Raises:
            ConfigError: another one has this name, or an option is wrong.
        """
        name = NAME_CHECK(name, "the name of an alert rule")
        kind = name if kind is None else NAME_CHECK(kind, "the kind of an alert rule")
        self._add(AlertDefinition("rule", name, kind, check_rule(kind, options)))

    def add_target(self, name: str, kind: str, options: Mapping[str, Any]) -> None:
        """Declare who is told.

        Raises:
            ConfigError: another one has this name, or an option is wrong.
        """
        name = NAME_CHECK(name, "the name of an alert target")
        kind = NAME_CHECK(kind, "the kind of an alert target")
        self._add(AlertDefinition("target", name, kind, check_target(kind, options)))

    def _add(self, definition: AlertDefinition) -> None:
        key = definition.part, definition.name
        if key in self._known:
            raise ConfigError(
                f"two alert {definition.part}s are named {definition.name!r}: rename one"
            )
        self._known[key] = definition

    def definitions(self) -> list[str]:
        """All of them, as JSON."""
        return [self._known[key].to_json() for key in sorted(self._known)]
