"""``hammerflow alert``: what is wrong now, the rules that find it, and who is told."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hammerflow.admin.alerts import rule_json, target_json, try_target
from hammerflow.alerts.rules import KINDS, RULE_OPTIONS, AlertRule, check_rule
from hammerflow.alerts.targets import (
    target_of_text,
)
from hammerflow.cli.alert_view import RULES, alerts_view, targets_view
from hammerflow.cli.confirming import confirm
from hammerflow.cli.options import argument, flag, name_option, seconds_option, shared, text_option
from hammerflow.cli.session import Session
from hammerflow.errors import ConfigError
from hammerflow.options.checks import NAME_CHECK, Unfit, ValueCheck, text
from hammerflow.options.option import unknown_option
from hammerflow.options.variables import check_variables
from hammerflow.text import counted, timestamp, user_at_host

__all__ = ["command"]


def _pair(given: object) -> tuple[str, str]:
    name, sign, value = str(given).partition("=")
    if not sign or not name:
        raise Unfit
    return name, value


_PAIR = ValueCheck("str", "NAME=VALUE", _pair)
_options = argument("options", _PAIR, nargs=-1, metavar="[NAME=VALUE]...")
_rule = argument("rule", NAME_CHECK)
_name = argument("name", NAME_CHECK)


@click.group("alert")
def command() -> None:
    """List alerts, set their rules, mute them, and say who is told.

    If anybody is to be notified, a worker evaluates the rules every 15 seconds; hammerflow doctor
    and queue health check once.
    """


@command.command("list")
@flag("--all", "show_all", help="Include alerts that are pending, or resolved within the last day.")
@shared
def list_alerts(session: Session, show_all: bool) -> None:
    """List the alerts that are firing."""
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
@name_option("--kind", help="The kind of a new rule [default: the rule's kind, or its name].")
@shared
def set_rule(
    session: Session, rule: str, options: Sequence[tuple[str, str]], kind: str | None
) -> None:
    """Change a rule, or add one of a kind.

    NAME=VALUE are its options: threshold, critical, hold, clear, cooldown, window, least, subjects,
    enabled. Options that you leave out keep the values of the kind.

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
    """Restore a rule's shipped values, or remove a rule that was added."""
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
@seconds_option("--for", "seconds", help="For how long [default: until alert unmute].")
@text_option("--reason", default="", help="Why; kept in the database.")
@shared
def mute(session: Session, rule: str, subject: str, seconds: float | None, reason: str) -> None:
    """Tell nobody of a rule's alerts; they are listed, and in the log of events.

    Targets that were told of a firing alert are still told when it resolves.
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


@command.command("targets")
@shared
def targets(session: Session) -> None:
    """List who is told, without secrets."""
    with session.store() as store:
        found, waiting = store.alerts.settings().targets, store.alerts.waiting()
    empty = "nobody is told of alerts: name a target with hammerflow alert add"
    session.show_list([*found.values()], targets_view(waiting), empty=empty)


@command.command("add")
@_name
@argument("kind", text(200, least=1))
@_options
@shared
def add(session: Session, name: str, kind: str, options: Sequence[tuple[str, str]]) -> None:
    """Name who is told of alerts, or change it.

    KIND is webhook, slack, mattermost, teams, discord, email or alertmanager. NAME=VALUE are its
    options, which the how-to lists; a value may name an environment variable of the workers, such
    as ${TOKEN}, so that no secret is in the database.

    \b
    Examples:
      hammerflow alert add ops slack url='${SLACK_HOOK}'
      hammerflow alert add mail email host=mx.example to=ops@example.com sender=jobs@example.com
    """
    config = target_of_text(kind, dict(options))
    check_variables(f"the alert target {name}", config, session.settings.bounds)
    with session.store() as store:
        changed = store.alerts.put("target", name, kind, config, by=user_at_host())
        found = target_json(store.alerts.target(name), 0)
    what = "is told of alerts" if changed else "has not changed"
    session.tell(found, f"target {name} {what}; try it with hammerflow alert test {name}")


@command.command("remove")
@_name
@flag("--yes", help="Do not ask.")
@flag("--dry-run", help="Only show how many messages it has not got.")
@shared
def remove(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Remove a target; undelivered messages to it are dropped."""
    with session.store() as store:
        target, waits = store.alerts.target(name), store.alerts.waiting().get(name, 0)
        if not dry_run:
            confirm(session, f"remove target {name} with {counted(waits, 'message')}", yes=yes)
            store.alerts.remove("target", name)
    would = "would be removed" if dry_run else "removed"
    session.tell(target_json(target, waits), f"target {name}: {would}")


@command.command("pause")
@_name
@shared
def pause(session: Session, name: str) -> None:
    """Tell a target nothing until alert resume; messages that wait for it are dropped."""
    with session.store() as store:
        store.alerts.set_paused(name, by=user_at_host(), paused=True)
        found = target_json(store.alerts.target(name), 0)
    session.tell(found, f"target {name} is paused")


@command.command("resume")
@_name
@shared
def resume(session: Session, name: str) -> None:
    """Tell a target of alerts again, as after a pause or a restored backup."""
    with session.store() as store:
        store.alerts.set_paused(name, by=user_at_host(), paused=False)
        found = target_json(store.alerts.target(name), 0)
    session.tell(found, f"target {name} is told of alerts again")


@command.command("test")
@_name
@shared
def test(session: Session, name: str) -> None:
    """Send a test message to a target, from this process, and print the outcome."""
    with session.store() as store:
        found = try_target(store, name, session.settings)
    took = found["seconds"]
    session.tell(found, f"target {name} has taken a test message within {took:.2f} s")
