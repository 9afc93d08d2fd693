"""Alerts: the tables of their settings, their states, and the messages that are to be sent.

A process that holds the turn evaluates the rules. What changes is written under the lock of the
row of the turn, together with its events and one message for each target, so that each change is
told once, however many workers there are. Messages are sent afterwards, outside of transactions:
one that a process has begun to send when it dies is sent again by another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from hammerflow.alerts.rules import KINDS, AlertRule, rules_of
from hammerflow.alerts.states import Alert, Change, Turn
from hammerflow.errors import ConfigError
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record
from hammerflow.ids import name_id, worker_number
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.outbox import Outbox
from hammerflow.text import NAME, REASON, storable

__all__ = ["AlertMessage", "AlertSettings", "Alerts", "Mute", "TargetRow"]

#: Changes that one message tells, at most.
_AT_ONCE = 50
_Key = tuple[str, str]
Part = Literal["rule", "target", "mute"]


class TargetRow(NamedTuple):
    """Who is told."""

    name: str
    kind: str
    config: Mapping[str, Any]  # may hold secrets: never print it as it is
    app: str  # whose code declares it; empty: an operator has added it
    changed_by: str
    is_paused: bool
    sent_at: datetime | None
    error: str  # of the last try; empty: it was sent


class Mute(NamedTuple):
    """Alerts that tell nobody until a time."""

    rule: str
    subject: str  # empty: all of the rule
    until: datetime | None
    by: str
    reason: str


class AlertSettings(NamedTuple):
    """What the database says of rules, targets and mutes."""

    rules: Mapping[str, AlertRule]  # the shipped ones, too
    targets: Mapping[str, TargetRow]
    mutes: Sequence[Mute]

    @property
    def muted(self) -> frozenset[_Key]:
        """(rule, subject) of those that tell nobody now."""
        return frozenset((mute.rule, mute.subject) for mute in self.mutes)


class AlertMessage(NamedTuple):
    """What a target is to be told."""

    id: int
    target: str
    age: float  # seconds
    due_in: float
    tries: int
    body: Sequence[Mapping[str, Any]]


class Alerts:
    """The tables ``alerting``, ``alert_settings``, ``alerts`` and ``alert_messages``."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    # -- settings

    def settings(self, now: float | None = None) -> AlertSettings:
        """All of them; mutes that are over are left out.

        Args:
            now: seconds since 1970; else the database is asked.
        """
        rules, targets, mutes = dict[str, AlertRule](), dict[str, TargetRow](), []
        now = float(self._database.column("clock")[0]) if now is None else now
        for part, name, kind, text, app, by, _, until, sent_at, error in self._database.rows(
            "alert_settings"
        ):
            config = json.loads(text)
            if part == "rule" and kind in KINDS:
                rules[name] = AlertRule.of(name, kind, config, app=app, by=by or "")
            elif part == "target":
                targets[name] = TargetRow(
                    name, kind, config, app, by or "", until is not None, _time(sent_at),
                    error or "",
                )  # fmt: skip
            elif part == "mute" and (until is None or until > now):
                mutes.append(_mute(text, until, by or ""))
        return AlertSettings(rules_of(rules), targets, mutes)

    def put(
        self, part: Part, name: str, kind: str, config: Mapping[str, Any], *, app: str = "",
        by: str = "", until: float | None = None,
    ) -> bool:  # fmt: skip
        """Add a rule or a target, or replace it; whether anything has changed.

        Raises:
            ConfigError: the name is that of one which somebody else has added.
        """
        values = {
            "kind": kind, "config": json.dumps(config, sort_keys=True), "app": app,
            "by": storable(by), "until": until,
        }  # fmt: skip

        def work(tx: Tx) -> bool:
            rows = tx.rows("alert_setting_lock", part=part, name=name)
            if not rows:
                tx.run("alert_setting_insert", part=part, name=name, **values)
                return True
            if rows[0][2] != app:
                owner = f"the code of {rows[0][2]}" if rows[0][2] else "an operator"
                raise ConfigError(
                    f"there is an alert {part} {name!r} already, which {owner} has added: give "
                    "this one another name, or remove that one with hammerflow alert "
                    f"{'reset' if part == 'rule' else 'remove'}"
                )
            kept = rows[0][3] if part == "target" else until  # a target that is paused stays so
            if rows[0] == (kind, values["config"], app, kept):
                return False
            tx.run("alert_setting_update", part=part, name=name, **{**values, "until": kept})
            return True

        return self._database.unit(work)

    def remove(self, part: Part, name: str) -> bool:
        """Remove a rule or a target with its messages; whether there was one."""

        def work(tx: Tx) -> bool:
            if part == "target":
                tx.run("alert_messages_drop", target=name)
            return tx.run("alert_setting_delete", part=part, name=name) > 0

        return self._database.unit(work)

    def set_paused(self, name: str, *, by: str, paused: bool) -> None:
        """Send nothing to a target any more, or again.

        Raises:
            ConfigError: there is none of this name.
        """
        target = self.target(name)
        values: dict[str, Any] = {
            "kind": target.kind, "config": json.dumps(target.config, sort_keys=True),
            "app": target.app, "by": storable(by), "until": 0.0 if paused else None,
        }  # fmt: skip
        self._database.run("alert_setting_update", part="target", name=name, **values)
        if paused:
            self._database.run("alert_messages_drop", target=name)

    def target(self, name: str) -> TargetRow:
        """One target.

        Raises:
            ConfigError: there is none of this name.
        """
        found = self.settings().targets.get(name)
        if found is None:
            raise ConfigError(f"there is no alert target {name!r}: see hammerflow alert targets")
        return found

    def mute(
        self, rule: str, subject: str, *, seconds: float | None, by: str, reason: str = ""
    ) -> datetime | None:
        """Let an alert, or with an empty subject all of a rule, tell nobody; until when."""
        now = float(self._database.column("clock")[0])
        until = None if seconds is None else now + seconds
        config = {"rule": rule, "subject": subject, "reason": storable(reason, REASON)}
        self.put("mute", _mute_name(rule, subject), "mute", config, by=by, until=until)
        return _time(until)

    def unmute(self, rule: str, subject: str) -> bool:
        """Take a mute back; whether there was one."""
        return self.remove("mute", _mute_name(rule, subject))

    # -- evaluation

    def take_turn(self, holder: int, hold: float) -> bool:
        """Whether this process is the one that evaluates, for the next ``hold`` seconds."""
        if self._database.run("alerting_take", holder=holder, hold=hold):
            return True
        if self._database.first("alerting_lock") is None:  # the first process of all
            self._database.run("alerting_begin")
            return self._database.run("alerting_take", holder=holder, hold=hold) > 0
        return False

    def give_turn(self, holder: int) -> None:
        """Let another process evaluate at once."""
        self._database.run("alerting_give", holder=holder)

    def list(self) -> Sequence[Alert]:
        """All alerts: pending, firing, and those that have resolved within a day."""
        return [_alert(row) for row in self._database.rows("alerts_all")]

    def firing(self, now: float) -> tuple[Sequence[Alert], Sequence[Mute]]:
        """The alerts that fire, and the mutes, by one query.

        Args:
            now: seconds since 1970; mutes that are over are left out.
        """
        alerts, mutes = [], []
        for row in self._database.rows("alerts_told"):
            if row[2] != "mute":
                alerts.append(_alert(row))
            elif row[7] is None or row[7] > now:
                mutes.append(_mute(row[1], row[7], row[4]))
        return alerts, mutes

    def apply(
        self,
        holder: int,
        decide: Callable[[Mapping[_Key, Alert], float], Turn],
        tell: Callable[[Turn], Mapping[str, Sequence[Change]]],
    ) -> Turn | None:
        """Write what follows from one evaluation, with its events and messages.

        Args:
            decide: gets the alerts as they are, and the database's time.
            tell: what each target is told.

        Returns:
            None, and nothing is written: another process has the turn by now.
        """

        def work(tx: Tx) -> Turn | None:
            place = tx.rows("alerting_lock")
            if not place or place[0][0] != holder:
                return None
            before = {(alert.rule, alert.subject): alert for alert in _read(tx)}
            turn = decide(before, float(place[0][1]))
            _write(tx, before, turn.kept)
            rows = [
                (worker_number(), target, json.dumps([plain_of(one) for one in part]))
                for target, changes in tell(turn).items()
                for part in _parts(changes)
            ]
            if rows:
                tx.many("alert_message_insert", rows)
            if turn.events:
                self._outbox.current()
                self._outbox.write(tx, [_record(change) for change in turn.events])
            return turn

        return self._database.unit(work)

    def clean(self) -> None:
        """Remove mutes that are over."""
        self._database.run("alert_mutes_expire")

    # -- messages

    def next_messages(self) -> Sequence[AlertMessage]:
        """The oldest message of each target that is due; the later ones wait for it."""
        first: dict[str, AlertMessage] = {}
        for id_, target, age, due_in, tries, body in self._database.rows("alert_messages_next"):
            message = AlertMessage(
                id_, target, float(age), float(due_in), int(tries), json.loads(body)
            )
            first.setdefault(target, message)
        return [message for message in first.values() if message.due_in <= 0]

    def waiting(self) -> Mapping[str, int]:
        """How many messages wait, by target."""
        return {name: int(n) for name, n in self._database.rows("alert_messages_waiting")}

    def take(self, message: AlertMessage, hold: float) -> bool:
        """Whether this process is the one that sends it; it has ``hold`` seconds for that."""
        return self._database.run("alert_message_take", id=message.id, hold=hold) > 0

    def note_sent(self, message: AlertMessage) -> None:
        """The target has it."""
        self._database.run("alert_message_delete", id=message.id)
        self._database.run("alert_target_note", name=message.target, error="")

    def note_failed(self, message: AlertMessage, error: str, pause: float | None) -> None:
        """Send it again after ``pause`` seconds; None: never."""
        error = storable(error, REASON)
        if pause is None:
            self._database.run("alert_message_delete", id=message.id)
        else:
            self._database.run("alert_message_delay", id=message.id, pause=pause, error=error)
        self._database.run("alert_target_note", name=message.target, error=error)


def plain_of(change: Change) -> dict[str, Any]:
    """A change as messages and events have it."""
    alert = change.alert
    return {
        "rule": alert.rule, "subject": alert.subject, "state": change.what,
        "severity": alert.severity, "value": alert.value, "text": alert.text, "since": alert.since,
    }  # fmt: skip


def _record(change: Change) -> Record:
    kind = EventKind.ALERT_FIRED if change.what == "fired" else EventKind.ALERT_RESOLVED
    detail = plain_of(change)
    detail |= {"name": f"{change.alert.rule}/{change.alert.subject}"}
    return Record(kind, name_id(detail["name"]).to_bytes(16), detail=detail)


def _parts(changes: Sequence[Change]) -> list[Sequence[Change]]:
    return [changes[at : at + _AT_ONCE] for at in range(0, len(changes), _AT_ONCE)]


def _read(tx: Tx) -> list[Alert]:
    return [_alert(row) for row in tx.rows("alerts_all")]


def _alert(row: tuple[Any, ...]) -> Alert:
    rule, subject, state, since, severity, value, text, below_since, told, told_at = row
    return Alert(
        rule, subject, state, since, severity, value, text, below_since, told or "", told_at
    )


def _write(tx: Tx, before: Mapping[_Key, Alert], after: Mapping[_Key, Alert]) -> None:
    for key in before.keys() | after.keys():
        if before.get(key) == after.get(key):
            continue
        if key in before:
            tx.run("alert_delete", rule=key[0], subject=key[1])
        if key in after:
            values = asdict(after[key])
            tx.run("alert_insert", **{**values, "says": storable(values.pop("text"), REASON)})


def _mute(config: str, until: float | None, by: str) -> Mute:
    found = json.loads(config)
    return Mute(found["rule"], found["subject"], _time(until), by, found["reason"])


def _mute_name(rule: str, subject: str) -> str:
    name = f"{rule}/{subject}"
    return name if len(name) <= NAME else f"{name[: NAME - 20]}{name_id(name)}"


def _time(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
