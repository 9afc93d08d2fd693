"""``hammerflow alert``: what is wrong now, the rules that find it, and who is told."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hammerflow.alerts.rules import KINDS, RULE_OPTIONS, AlertRule, check_rule
from hammerflow.cli.alert_view import RULES, alerts_view, rule_json
from hammerflow.cli.options import argument, flag, name_option, seconds_option, shared, text_option
from hammerflow.cli.session import Session
from hammerflow.errors import ConfigError
from hammerflow.options.checks import NAME_CHECK, Unfit, ValueCheck, text
from hammerflow.options.option import unknown_option
from hammerflow.text import timestamp, user_at_host

__all__ = ["command"]


def _pair(given: object) -> tuple[str, str]:
    name, sign, value = str(given).partition("=")
    if not sign or not name:
        raise Unfit
    return name, value


_PAIR = ValueCheck("str", "NAME=VALUE", _pair)
_options = argument("options", _PAIR, nargs=-1, metavar="[NAME=VALUE]...")
_rule = argument("rule", NAME_CHECK)


@click.group("alert")
def command() -> None:
    """List alerts, set their rules, mute them, and say who is told.

    A worker evaluates the rules each 15 seconds where somebody is told; hammerflow doctor and queue
    health look once.
    """


@command.command("list")
@flag("--all", "show_all", help="Also those that are pending, or have resolved within a day.")
@shared
def list_alerts(session: Session, show_all: bool) -> None:
    """List what fires now."""
    with session.store() as store:
        settings, found = store.alerts.settings(), store.alerts.list()
    shown = [alert for alert in found if show_all or alert.state == "firing"]
    session.show_list(shown, alerts_view(settings), empty="no alert fires")


@command.command("rules")
@shared
def rules(session: Session) -> None:
    """List the rules with their thresholds."""
    with session.store() as store:
        found = store.alerts.settings().rules
    session.show_list([*found.values()], RULES, empty="there are no rules")


@command.command("set")
@_rule
@_options
@name_option("--kind", help="The kind of a new rule [default: that of the rule, or its name].")
@shared
def set_rule(
    session: Session, rule: str, options: Sequence[tuple[str, str]], kind: str | None
) -> None:
    """Change a rule, or add one of a kind.

    NAME=VALUE are its options: threshold, critical, hold, clear, cooldown, window, least, subjects,
    enabled. The others are those of the kind.

    \b
    Examples:
      hammerflow alert set queue_depth threshold=50000
      hammerflow alert set mail_depth --kind queue_depth threshold=100 subjects=mail
      hammerflow alert set queue_age enabled=no
    """
    given = {}
    for name, value in options:
        option = RULE_OPTIONS.by_name.get(name)
        if option is None:
            owner = f"the alert rule {rule}"
            raise ConfigError(unknown_option(name, RULE_OPTIONS.by_name, owner))
        given[name] = option.check.from_text(value, name)
    with session.store() as store:
        before = store.alerts.settings().rules.get(rule)
        kind = kind or (before.kind.name if before is not None else rule)
        config = check_rule(kind, given)
        store.alerts.put("rule", rule, kind, config, by=user_at_host())
    found = AlertRule.of(rule, kind, config, by=user_at_host())
    limits = f"warns at {found.threshold:g} {found.kind.unit}, critical at {found.critical:g}"
    session.tell(rule_json(found), f"rule {rule} {limits if found.enabled else 'is off'}")


@command.command("reset")
@_rule
@shared
def reset(session: Session, rule: str) -> None:
    """Give a rule its shipped values again, or remove one that was added."""
    with session.store() as store:
        before = store.alerts.settings().rules.get(rule)
        if before is None:
            raise ConfigError(f"there is no alert rule {rule!r}: see hammerflow alert rules")
        changed = store.alerts.remove("rule", rule)
    what = "has its shipped values" if rule in KINDS else "is removed"
    session.tell({"rule": rule, "changed": changed}, f"rule {rule} {what}")


@command.command("mute")
@_rule
@text_option("--subject", default="", help="Only of this queue, task ... [default: all].")
@seconds_option("--for", "seconds", help="Until so much later [default: until alert unmute].")
@text_option("--reason", default="", help="Why; kept in the database.")
@shared
def mute(session: Session, rule: str, subject: str, seconds: float | None, reason: str) -> None:
    """Tell nobody of a rule's alerts; they are listed, and in the log of events.

    Who was told that one fires is told when it resolves.
    """
    subject = text(255)(subject, "--subject")
    with session.store() as store:
        if rule not in store.alerts.settings().rules:
            raise ConfigError(f"there is no alert rule {rule!r}: see hammerflow alert rules")
        until = store.alerts.mute(rule, subject, seconds=seconds, by=user_at_host(), reason=reason)
    end = "until alert unmute" if until is None else f"until {timestamp(until.astimezone())}"
    found = {"rule": rule, "subject": subject or None, "until": until, "reason": reason}
    session.tell(found, f"rule {rule} is muted {end}{' for ' + subject if subject else ''}")


@command.command("unmute")
@_rule
@text_option("--subject", default="", help="As it was muted.")
@shared
def unmute(session: Session, rule: str, subject: str) -> None:
    """Tell of a rule's alerts again; of those that fire at once."""
    with session.store() as store:
        changed = store.alerts.unmute(rule, subject)
    if not changed:
        raise ConfigError(f"rule {rule} is not muted{' for ' + subject if subject else ''}")
    session.tell({"rule": rule, "subject": subject or None}, f"rule {rule} is not muted any more")
