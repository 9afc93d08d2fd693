"""States: when an alert begins and ends, and when somebody is told; no clock and no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from hammerflow.alerts.rules import AlertRule, Measure

__all__ = ["KEPT", "Alert", "Change", "State", "Turn", "advance"]

State = Literal["pending", "firing", "resolved"]
#: Seconds that an alert is kept after it has resolved.
KEPT = 86_400.0


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule broken by one subject. All times are seconds since 1970, by the database's clock.

    Attributes:
        since: when the state began.
        below_since: while it fires: since when the value is below the threshold.
        severity: the highest while it fires.
        told: the severity of which messages were made; empty: of none.
        told_at: when the last message that it fires was made.
    """

    rule: str
    subject: str
    state: State
    since: float
    severity: str
    value: float
    text: str
    below_since: float | None = None
    told: str = ""
    told_at: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A firing alert, or one that has just resolved, as events and messages tell it."""

    alert: Alert
    what: Literal["fired", "resolved"]


@dataclass(slots=True)
class Turn:
    """What one evaluation has changed.

    Attributes:
        kept: all alerts afterwards, by (rule, subject).
        events: what the log gets.
        messages: what targets get.
    """

    kept: dict[tuple[str, str], Alert] = field(default_factory=dict)
    events: list[Change] = field(default_factory=list)
    messages: list[Change] = field(default_factory=list)

    def note(self, alert: Alert | None) -> None:
        """Keep an alert."""
        if alert is not None:
            self.kept[alert.rule, alert.subject] = alert


def advance(
    rules: Mapping[str, AlertRule], found: Mapping[str, Sequence[Measure]],
    alerts: Mapping[tuple[str, str], Alert], muted: frozenset[tuple[str, str]], now: float,
) -> Turn:  # fmt: skip
    """What follows from one evaluation.

    Args:
        found: what was measured, by the name of the rule; one that is missing could not be
            measured, and its alerts stay as they are.
        alerts: those before, by (rule, subject).
        muted: (rule, subject) of those that tell nobody; an empty subject mutes all of the rule.
    """
    turn = Turn()
    for name, rule in rules.items():
        if name not in found and rule.enabled:
            continue
        for measure in found.get(name, ()):
            if severity := rule.severity(measure.value):
                before = alerts.get((name, measure.subject))
                is_muted = not muted.isdisjoint({(name, measure.subject), (name, "")})
                _rise(turn, rule, before, measure, severity, is_muted=is_muted, now=now)
    for key, alert in alerts.items():
        if key in turn.kept:
            continue
        one = rules.get(alert.rule)
        if one is not None and one.enabled and alert.rule not in found:
            turn.note(alert)
        else:
            clear = one.clear if one is not None and one.enabled else 0.0
            cooldown = 0.0 if one is None else one.cooldown
            _fall(turn, alert, clear, cooldown, now)
    return turn


def _rise(
    turn: Turn, rule: AlertRule, before: Alert | None, measure: Measure, severity: str, *,
    is_muted: bool, now: float,
) -> None:  # fmt: skip
    if before is None:
        before = Alert(rule.name, measure.subject, "pending", now, severity, 0.0, "")
    elif before.state == "resolved":
        before = replace(before, state="pending", since=now, severity=severity)
    alert = replace(before, value=measure.value, text=measure.text, below_since=None)
    if alert.state == "pending":
        alert = replace(alert, severity=severity)
        if now - alert.since >= rule.hold:
            alert = replace(alert, state="firing", since=now)
            turn.events.append(Change(alert, "fired"))
    elif severity == "critical":
        alert = replace(alert, severity=severity)
    if alert.state == "firing" and not is_muted and alert.told != alert.severity:
        is_rested = alert.told_at is None or now - alert.told_at >= rule.cooldown
        if is_rested or alert.told:  # a warning has become critical
            alert = replace(alert, told=alert.severity, told_at=now)
            turn.messages.append(Change(alert, "fired"))
    turn.note(alert)


def _fall(turn: Turn, alert: Alert, clear: float, cooldown: float, now: float) -> None:
    if alert.state == "firing":
        below_since = now if alert.below_since is None else alert.below_since
        if now - below_since < clear:
            turn.note(replace(alert, below_since=below_since))
            return
        ended = replace(alert, state="resolved", since=now, below_since=None)
        turn.events.append(Change(ended, "resolved"))
        if alert.told:
            turn.messages.append(Change(ended, "resolved"))
        turn.note(replace(ended, told=""))
    elif alert.state == "pending":  # it has not fired
        if alert.told_at is not None and now - alert.told_at < cooldown:
            turn.note(replace(alert, state="resolved", since=now))
    elif now - alert.since < KEPT:
        turn.note(alert)
