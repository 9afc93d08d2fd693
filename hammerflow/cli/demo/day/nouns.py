"""Everything around the jobs of the day: schedules, limits, sinks, webhooks, alerts, tokens."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hammerflow.cli.demo.day.live import WORKERS
from hammerflow.cli.demo.day.writing import DayWriter, Ids
from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record, pack, packed_clock
from hammerflow.ids import name_id
from hammerflow.jobs.job import FINAL_CODES, JobState
from hammerflow.jobs.limit import Limit
from hammerflow.schedules.definition import Ticks, read_definition
from hammerflow.stores.pauses import PauseKind
from hammerflow.stores.store import Store
from hammerflow.stores.transitions.packing import Entry
from hammerflow.stores.transitions.packing import pack as pack_entries
from hammerflow.webhooks import new_secret

__all__ = ["Surroundings", "write_log"]

_SCHEDULE = (
    "id", "name", "app", "code", "anchor", "created_at", "next_at", "look_at", "last_tick",
    "last_outcome", "missed",
)  # fmt: skip
_TICK = ("schedule_id", "tick", "at", "outcome", "missed")
_SINK = (
    "name", "kind", "config", "filters", "app", "wanted", "position", "state", "created_at",
    "changed_by", "reason", "term", "sent", "sent_at", "failures", "error", "error_at", "delivered",
)  # fmt: skip
_WEBHOOK = (
    "name", "secret", "state", "since", "failures", "success_at", "disabled_at", "probe_at",
    "reason", "changed_by", "delivered", "failed",
)  # fmt: skip
_DELIVERY = (
    "id", "endpoint", "message", "position", "attempt", "at", "status", "ms", "address", "error",
    "answer",
)  # fmt: skip
_ALERT = ("rule", "subject", "state", "since", "severity", "value", "says", "told", "told_at")
_SETTING = ("part", "name", "kind", "config", "app", "changed_by", "changed_at")
_AUDIT = ("id", "at", "who", "address", "action", "target", "details", "outcome")
_OPERATION = (
    "id", "action", "made_by", "wanted", "at", "beat_at", "state", "total", "done", "failed",
)  # fmt: skip
_EVENT = ("position", "first_position", "at", "pack")
_ARCHIVED = (
    "id", "pack_id", "group_id", "task_id", "queue_id", "ended_at", "size", "state",
)  # fmt: skip
_PACK = ("id", "piece", "archived_at", "data")
_LOG_ROW = 120  # events
_EARLIER = 1_000_000  # events that were removed from the log before
_HOUR = 3_600.0
_DISABLED = 4.2 * _HOUR  # before the end of the day: when an endpoint was disabled


class Surroundings:
    """Writes them, as of the end of the day.

    Attributes:
        records: events that they have caused, with their times.
    """

    def __init__(self, writer: DayWriter, store: Store, rng: random.Random, now: float) -> None:
        self._writer, self._store, self._rng, self._now = writer, store, rng, now
        self._ids = Ids(rng)
        self.records: list[tuple[float, Record]] = []

    def write(self, definitions: Mapping[str, str]) -> None:
        """Write all but the sinks.

        Args:
            definitions: of the schedules of the shop's code, by name.
        """
        for name, code in definitions.items():
            self._schedule(name, code)
        self._limits_and_pauses()
        self._alerts()
        self._access()
        self._operations()
        self._archive()
        for name, kind, _, _, _, error in _SINKS:
            if kind == "webhook" and error is not None:
                at, number = self._now - _DISABLED, name_id(name)
                self._note(at, EventKind.WEBHOOK_DISABLED, number, name=name, reason=error)
        for worker in WORKERS:
            began = self._now - worker.hours * _HOUR
            self._note(began, EventKind.WORKER_STARTED, worker.id, host=worker.host, pid=worker.pid)

    def _note(self, at: float, kind: EventKind, number: int, **detail: Any) -> None:
        self.records.append((at, Record(kind, number.to_bytes(16), detail=detail)))

    def _schedule(self, name: str, code: str) -> None:
        now = datetime.fromtimestamp(self._now, UTC)
        anchor = now - timedelta(days=40)
        ticks = Ticks(name, read_definition(code, None, name), anchor)
        passed = []
        for tick in ticks.after(now - timedelta(days=2)):
            if tick >= now:
                break
            passed.append(tick.timestamp())
        id_, next_at = name_id(name), ticks.next_after(now)
        due = None if next_at is None else next_at.timestamp()
        outcomes = ["skipped" if self._rng.random() < 0.06 else "queued" for _ in passed]
        last = (passed[-1], outcomes[-1]) if passed else (None, None)
        began = anchor.timestamp()
        row = [id_, name, "shop", code, began, began, due, due, *last, 0]
        self._writer.add("schedules", _SCHEDULE, [row])
        rows = [[id_, tick, tick + 0.2, out, 0] for tick, out in zip(passed, outcomes, strict=True)]
        self._writer.add("schedule_ticks", _TICK, rows)

    def _limits_and_pauses(self) -> None:
        self._store.limits.give("queue", "payments", Limit(None, 6), by="ann@office")
        self._store.limits.give("queue", "images", Limit(None, 16), by="ann@office")
        reason = "the channel's quota is used up until 16:00"
        self._store.pauses.pause(PauseKind.QUEUE, "feeds", by="ann@office", reason=reason)
        self._note(self._now - 1_900, EventKind.QUEUE_PAUSED, name_id("feeds"), name="feeds")

    def write_sinks(self, position: int) -> None:
        """Write the sinks, which have got the events up to a position, or nearly."""
        wanted = 0
        began = self._now - 9 * 24 * _HOUR
        for name, kind, config, kinds, behind, error in _SINKS:
            filters = EventFilter.of(kinds=kinds)
            wanted |= filters.mask
            sent = self._now - (2.0 if error is None else 5 * 24 * _HOUR)
            self._writer.add("sinks", _SINK, [[
                name, kind, json.dumps(config), filters.to_json(), "", filters.mask,
                position - behind, "running", began, "ann@office", "", 1, position - behind, sent,
                0, error or "", None if error is None else self._now - 40, position - behind,
            ]])  # fmt: skip
            if kind == "webhook":
                self._webhook(name, began, position, error)
        events = self._store.database
        if not events.run("relay_want", wanted=wanted):
            events.run("relay_begin")
            events.run("relay_want", wanted=wanted)

    def _webhook(self, name: str, began: float, position: int, error: str | None) -> None:
        is_well = error is None
        disabled = None if is_well else self._now - _DISABLED
        self._writer.add("webhooks", _WEBHOOK, [[
            name, new_secret(), "enabled" if is_well else "disabled", began, 0 if is_well else 41,
            self._now - 9 if is_well else self._now - 5.1 * 24 * _HOUR, disabled,
            None if disabled is None else disabled + 24 * _HOUR, error, "ann@office",
            8_214 if is_well else 902, 12 if is_well else 41,
        ]])  # fmt: skip
        rows = []
        for n in range(24):
            at = self._now - 9 - n * (95 if is_well else 700)
            is_bad = not is_well or n == 5
            rows.append([
                self._ids.at(at), name, f"shop/{position - 40 * n - 1}", position - 40 * n - 1,
                2 if n == 4 and is_well else 1, at, 503 if is_bad else 200,
                self._rng.randrange(40, 400), "93.184.215.14", error if is_bad else None,
                "upstream connect error" if is_bad else '{"received":true}',
            ])  # fmt: skip
        self._writer.add("webhook_deliveries", _DELIVERY, rows)

    def _alerts(self) -> None:
        for rule, subject, state, ago, severity, value, text in _ALERTS:
            since = self._now - ago
            told = severity if state == "firing" else ""
            row = [rule, subject, state, since, severity, value, text, told, since]
            self._writer.add("alerts", _ALERT, [row])
            kind = EventKind.ALERT_FIRED if state == "firing" else EventKind.ALERT_RESOLVED
            name = f"{rule}/{subject}"
            detail = {"rule": rule, "subject": subject, "severity": severity, "text": text}
            self._note(since, kind, name_id(name), name=name, **detail)
        target = json.dumps({"url": "https://chat.example/hooks/ops"})
        row = ["target", "ops-chat", "slack", target, "", "ann@office", self._now - 9 * 24 * _HOUR]
        self._writer.add("alert_settings", _SETTING, [row])

    def _access(self) -> None:
        month = 30 * 24 * _HOUR
        for name, role, sees in (("deploy", 2, False), ("grafana", 1, False), ("support", 2, True)):
            self._store.access.create(
                name, role, sees_values=sees, expires_in=3 * month, by="ann@office"
            )
        rows = []
        for ago, who, action, target, outcome in _AUDITED:
            at = self._now - ago * _HOUR
            rows.append([
                self._ids.at(at), at, who, "10.0.3.17", action, target, "{}", outcome,
            ])  # fmt: skip
        self._writer.add("audit", _AUDIT, rows)

    def _operations(self) -> None:
        for ago, action, wanted, state, total, done in _OPERATIONS:
            at = self._now - ago * _HOUR
            self._writer.add("operations", _OPERATION, [[
                self._ids.at(at), action, "ann@office", json.dumps(wanted), at, at + 20, state,
                total, done, 0,
            ]])  # fmt: skip

    def _archive(self) -> None:
        """Jobs of the week before, of which a few were archived together."""
        columns = {
            "jobs": ["id", "queue_id", "priority", "task_id", "args", "depth", "flags",
                     "created_at"],
            "done": ["job_id", "started_at", "finished_at", "state", "attempt", "lease"],
        }  # fmt: skip
        task_id, queue_id = name_id("orders.place"), name_id("orders")
        state, entries, rows = FINAL_CODES[JobState.COMPLETED], [], []
        pack_id = self._ids.at(self._now - 20 * _HOUR)
        for n in range(120):
            at = datetime.fromtimestamp(self._now - (8 * 24 - n / 20) * _HOUR, UTC)
            id_, end = self._ids.at(at.timestamp()), at + timedelta(seconds=0.1)
            job = (id_, queue_id, 3, task_id, b"\x92\x91\x01\x80", 0, 0, at)
            entries.append(Entry(id_, {"jobs": [job], "done": [(id_, at, end, state, 1, 1)]}))
            rows.append([id_, pack_id, id_, task_id, queue_id, end.timestamp(), 0, state])
        packed = pack_entries(columns, entries)
        for row, size in zip(rows, packed.sizes, strict=True):
            row[6] = size
        self._writer.add("archived", _ARCHIVED, rows)
        archived = [pack_id, 0, self._now - 20 * _HOUR, packed.data]
        self._writer.add("archive_packs", _PACK, [archived])
        database = self._store.database
        database.run("retention_begin")
        database.run("archive_note", archived=len(rows), restored=0, purged=0)


def write_log(writer: DayWriter, store: Store, records: Sequence[tuple[float, Record]]) -> int:
    """Write the log of events, in the order of their times; gives the last position."""
    found = sorted(records, key=lambda record: record[0])
    position = _EARLIER + len(found)
    writer.add("events", _EVENT, _log_rows(found))
    store.database.run("relay_move", position=position)
    return position


def _log_rows(found: Sequence[tuple[float, Record]]) -> Iterator[list[Any]]:
    for at in range(0, len(found), _LOG_ROW):
        part = found[at : at + _LOG_ROW]
        packed = b"".join(packed_clock(time) + pack([record]) for time, record in part)
        first = _EARLIER + at + 1
        yield [first + len(part) - 1, first, part[0][0], packed]


_SINKS: tuple[tuple[str, str, dict[str, Any], list[str], int, str | None], ...] = (
    ("warehouse", "kafka", {"servers": "kafka.example:9092", "topic": "shop.jobs"}, ["job.*"], 14,
     None),
    ("order-desk", "webhook", {"url": "https://desk.example/hooks/jobs"},
     ["workflow.*", "job.failed"], 0, None),
    ("old-crm", "webhook", {"url": "https://crm.example/incoming"}, ["job.failed"], 212,
     "it has answered 503 for 5 days"),
)  # fmt: skip
_ALERTS: tuple[tuple[str, str, str, float, str, float, str], ...] = (
    ("queue_depth", "mail", "firing", 260.0, "warning", 12_480.0,
     "queue mail has more ready jobs than usual; its oldest one has waited for 7 min"),
    ("jobs_parked", "reports", "firing", 15_000.0, "warning", 8.0,
     "jobs of the queue reports are parked: no worker has the task reports.legacy_export"),
    ("endpoint_disabled", "old-crm", "firing", 15_120.0, "critical", 1.0,
     "the endpoint old-crm is disabled: it has answered 503 for 5 days"),
    ("failure_ratio", "payments.authorize", "resolved", 9_900.0, "critical", 0.38,
     "38 % of the jobs of payments.authorize failed within 10 min"),
)  # fmt: skip
_AUDITED: tuple[tuple[float, str, str, str, str], ...] = (
    (23.1, "token deploy", "pause_queue", "images", "done"),
    (23.0, "token deploy", "resume_queue", "images", "done"),
    (2.9, "ann@office", "start_operation", "retry", "done"),
    (2.2, "ben@support", "cancel_workflow", "order-fulfilment", "done"),
    (1.1, "ben@support", "edit_job", "mail.order_confirmation", "done"),
    (0.6, "ann@office", "set_limit", "queue:payments", "done"),
    (0.53, "ann@office", "pause_queue", "feeds", "done"),
    (
        0.2,
        "ben@support",
        "revoke_token",
        "ci-2024",
        "403 this needs the role admin; ben@support has operate",
    ),
)
_OPERATIONS: tuple[tuple[float, str, dict[str, Any], str, int, int], ...] = (
    (2.9, "retry", {"task": "payments.authorize", "state": "failed"}, "done", 1_184, 1_184),
    (1.3, "cancel", {"task": "mail.newsletter", "state": "scheduled"}, "done", 310, 310),
)
