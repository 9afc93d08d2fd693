"""``app.alert_rule`` and ``app.alert_target``: alerts that the code declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hammerflow.alerts.declared import DeclaredAlerts

__all__ = ["declare_rule", "declare_target", "declared_alerts"]


class _AlertingApp(Protocol):
    @property
    def alerts(self) -> DeclaredAlerts: ...


def declared_alerts(self: Any) -> DeclaredAlerts:
    """The rules and targets that the code declares; workers write them to the database."""
    from hammerflow.alerts.declared import DeclaredAlerts

    return DeclaredAlerts()


def declare_rule(self: _AlertingApp, name: str, *, kind: str | None = None, **options: Any) -> None:
    """Declare what alerts watch: ``app.alert_rule("mail_depth", kind="queue_depth",
    threshold=100, subjects=["mail"])``. Workers write it to the database at their start.

    Args:
        name: of the rule; that of a shipped rule changes it.
        kind: what is watched; by default the name.
        options: thresholds and times in seconds; those that are left out are the kind's.

    Raises:
        ConfigError: the name is taken, or an option is unknown or wrong.
    """
    self.alerts.add_rule(name, kind, options)


def declare_target(self: _AlertingApp, name: str, kind: str, **options: Any) -> None:
    """Declare who is told of alerts: ``app.alert_target("ops", "slack", url="${SLACK_HOOK}")``.
    Workers write it to the database at their start.

    Args:
        name: of the target.
        kind: ``webhook``, ``slack``, ``mattermost``, ``teams``, ``discord``, ``email`` or
            ``alertmanager``.
        options: of the kind. ``${NAME}`` in a text is an environment variable of the workers.

    Raises:
        ConfigError: the name is taken, or an option is unknown, missing or wrong.
    """
    self.alerts.add_target(name, kind, options)
