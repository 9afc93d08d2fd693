"""Webhooks: what the database knows of endpoints besides their sinks, and the log of deliveries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record
from hammerflow.ids import first_id_at, name_id, new_id
from hammerflow.jobs.limit import key_id, lane_of
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.text import NAME, REASON, storable

__all__ = [
    "DELIVER", "DELIVERY_PRIORITY", "DISABLE_AFTER", "DISABLE_FAILURES", "WEBHOOK_QUEUE",
    "LoggedDelivery", "Webhook", "WebhookAttempt",
    "WebhookTarget", "Webhooks", "endpoint_key",
]  # fmt: skip

#: The task and the queue of deliveries, and their priority there.
DELIVER, WEBHOOK_QUEUE, DELIVERY_PRIORITY = "hammerflow.deliver", "_webhooks", 2
#: Failures in a row, and seconds without a success, after which an endpoint is disabled, unless its
#: options say otherwise.
DISABLE_FAILURES, DISABLE_AFTER = 20, 5 * 86_400.0
#: Seconds between two deliveries that try a disabled endpoint again.
_PROBE = 86_400.0
#: Seconds for which a delivery is logged, and an old secret signs besides the new one.
_KEPT, _OVERLAP = 7 * 86_400.0, 86_400.0
_ANSWER = 4_096
_GONE = "it has answered 410 Gone"
#: Failures in a row after which all deliveries to an endpoint rest, and for how many seconds after
#: the first of them and at most; it doubles in between.
_MANY, _FIRST_REST, _LONGEST_REST = 5, 5.0, 300.0
#: Deliveries that are made due, and rows of the log that are removed, in one transaction.
_PAGE = 2_000
#: Deliveries that are counted as waiting.
_COUNTED = 10_000
#: Above every id.
_NEWEST = b"\xff" * 16


class Webhook(NamedTuple):
    """An endpoint, without its secrets."""

    name: str
    config: Mapping[str, Any]  # of its sink; may hold a secret: never print it as it is
    filters: EventFilter
    app: str  # whose code declares it; empty: an operator has added it
    sink_state: str
    position: int
    state: str  # enabled or disabled
    since: datetime  # added, or last enabled
    failures: int  # attempts in a row that have failed
    success_at: datetime | None
    disabled_at: datetime | None
    probe_at: datetime | None  # when a delivery tries a disabled one again
    rest_until: datetime | None  # nothing is sent before, as it asked for a pause or fails
    reason: str  # why it is disabled
    old_secret_until: datetime | None
    delivered: int  # attempts that it has accepted, since it was added
    failed: int  # and others
    changed_by: str  # who has added, disabled or enabled it; "hammerflow": itself


class WebhookTarget(NamedTuple):
    """What a delivery needs; never to be printed."""

    config: Mapping[str, Any]
    app: str  # whose code declares it; empty: a row of the database alone
    generation: int  # another one after it was removed and added again
    is_paused: bool  # the sink is, by a person or by the restore of a backup
    is_enabled: bool
    disabled_for: float  # seconds
    probe_in: float | None  # seconds; None: nothing tries a disabled one again
    rest_in: float  # seconds for which nothing is to be sent to it
    secrets: Sequence[str]


class WebhookAttempt(NamedTuple):
    """What became of one request."""

    status: int | None
    ms: int
    address: str | None
    error: str
    answer: str

    @property
    def is_delivered(self) -> bool:
        """Whether the endpoint has accepted it."""
        return self.status is not None and 200 <= self.status < 300


class LoggedDelivery(NamedTuple):
    """A row of the log."""

    id: bytes
    endpoint: str
    message: str
    position: int
    attempt: int  # 0: of webhook test
    at: datetime
    status: int | None
    ms: int
    address: str
    error: str
    answer: str


class Webhooks:
    """The tables ``webhooks`` and ``webhook_deliveries``."""

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._outbox = names.outbox

    def rotate(self, name: str, secret: str, *, overlap: float = _OVERLAP) -> None:
        """Sign with another secret.

        Args:
            overlap: seconds for which the one before signs as well.

        Raises:
            ConfigError: there is no such endpoint.
        """
        values = {"secret": secret, "keep": overlap}
        if not self._database.run("webhook_rotate", name=name, **values):
            raise _missing(name)

    def list(self) -> Sequence[Webhook]:
        """All endpoints, by name."""
        return [_webhook(row) for row in self._database.rows("webhooks_list")]

    def get(self, name: str) -> Webhook:
        """One endpoint.

        Raises:
            ConfigError: there is none of this name.
        """
        for found in self.list():
            if found.name == name:
                return found
        raise _missing(name)

    def waiting(self, names: Iterable[str]) -> Mapping[str, int]:
        """How many deliveries wait for each endpoint: 10 000 of all are counted, and of those that
        come later only such as are among the next 10 000 jobs of all queues."""
        values = {"queue": name_id(WEBHOOK_QUEUE), "n": _COUNTED}
        found = dict(self._database.rows("webhook_backlog", **values))
        lanes = {name: lane_of(endpoint_key(name), DELIVERY_PRIORITY) for name in names}
        return {name: int(found.get(lane, 0)) for name, lane in lanes.items()}

    def target(self, name: str) -> WebhookTarget | None:
        """What a delivery needs; None if the endpoint was removed."""
        row = self._database.first("webhook_target", name=name)
        if row is None:
            return None
        config, app, created, sink_state, state, disabled_for, probe_in, rest_in, secret, old = row
        is_enabled = state == "enabled"
        return WebhookTarget(
            json.loads(config), app, round(created * 1000), is_enabled and sink_state == "paused",
            is_enabled, disabled_for or 0.0, probe_in, max(rest_in or 0.0, 0.0),
            [one for one in (secret, old) if one],
        )  # fmt: skip

    def generation(self, name: str) -> int:
        """What tells an endpoint from a removed one of its name; 0 if there is none."""
        target = self.target(name)
        return 0 if target is None else target.generation

    def take_probe(self, name: str) -> bool:
        """Whether this delivery is the one that tries a disabled endpoint again today."""
        return self._database.run("webhook_probe", name=name, pause=_PROBE) > 0

    def enable(self, name: str, *, by: str) -> None:
        """Deliver again, from where it was disabled; what waits is due at once.

        Raises:
            ConfigError: there is no such endpoint.
        """
        self._outbox.current()

        def work(tx: Tx) -> None:
            row, _ = _lock(tx, name)
            if not row:
                raise _missing(name)
            if row[0] == "disabled":
                self._enable(tx, name, by, row[5])

        self._database.unit(work)
        self.release(name)

    def release(self, name: str) -> int:
        """Let all deliveries to an endpoint that wait for a time be due; how many."""
        lane = lane_of(endpoint_key(name), DELIVERY_PRIORITY)
        values = {"queue": name_id(WEBHOOK_QUEUE), "lane": lane, "n": _PAGE}
        count = 0
        while ids := sorted(self._database.column("webhook_waiting", **values)):
            count += self._database.unit(partial(_release, ids=ids))
        return count

    def disable(self, name: str, reason: str, *, by: str) -> None:
        """Deliver nothing until it is enabled; the log keeps its events for a time.

        Raises:
            ConfigError: there is no such endpoint.
        """
        self._outbox.current()

        def work(tx: Tx) -> None:
            if not _lock(tx, name)[0]:
                raise _missing(name)
            self._disable(tx, name, reason, by, None)

        self._database.unit(work)

    def note(
        self, name: str, message: str, position: int, attempt: int, made: WebhookAttempt, *,
        pause: float | None = None,
    ) -> None:  # fmt: skip
        """Log an attempt, and let the endpoint rest, disable or enable it if it follows from that.

        Args:
            attempt: its number; 0 for a test, which changes nothing else.
            pause: seconds that the endpoint asks for.
        """
        self._outbox.current()
        values = {
            "id": new_id(), "endpoint": name, "message": message, "position": position,
            "attempt": attempt, "status": made.status, "ms": made.ms, "address": made.address,
            "error": storable(made.error, REASON) or None, "answer": storable(made.answer, _ANSWER),
        }  # fmt: skip

        is_well: list[bool] = []  # by all runs of this transaction

        def work(tx: Tx) -> bool:
            row, config = _lock(tx, name)
            if not row:
                return False  # removed meanwhile
            if tx.repeated and tx.rows("webhook_logged", id=values["id"]):
                return is_well[-1]  # that run was committed, and its reply was lost
            tx.run("webhook_log_insert", **values)
            is_well.append(attempt > 0 and self._count(tx, name, made, row, config, pause))
            return is_well[-1]

        if self._database.unit(work):
            self.release(name)

    def _count(
        self, tx: Tx, name: str, made: WebhookAttempt, row: tuple[Any, ...], config: str,
        pause: float | None,
    ) -> bool:  # fmt: skip
        """Whether the endpoint is well again, after which what waits for it is due."""
        state, since, failures, success_at, probe_at, reason, now = row
        if made.is_delivered:
            tx.run("webhook_succeed", name=name)
            is_well = state == "disabled" and probe_at is not None
            if is_well:
                self._enable(tx, name, "a delivery that tried it again", reason)
            return is_well or failures >= _MANY
        tx.run("webhook_fail", name=name, rest=_rest(failures + 1, pause))
        silence = now - max(since, success_at or 0.0)
        self._give_up(tx, name, made, state, config, failures + 1, silence)
        return False

    def _give_up(
        self, tx: Tx, name: str, made: WebhookAttempt, state: str, config: str, failures: int,
        silence: float,
    ) -> None:  # fmt: skip
        """Disable an endpoint that has failed this often and had no success for this long."""
        if made.status == 410 and state == "disabled":
            tx.run("webhook_probe_never", name=name)
        elif state == "disabled":
            return
        elif made.status == 410:
            self._disable(tx, name, _GONE, "hammerflow", None)
        elif _is_enough(json.loads(config), failures, silence):
            reason = f"{failures} attempts in a row have failed: {made.error}"
            self._disable(tx, name, reason, "hammerflow", _PROBE)

    def _disable(self, tx: Tx, name: str, reason: str, by: str, probe: float | None) -> None:
        why, who = storable(reason, REASON), storable(by, NAME)
        tx.run("webhook_disable", name=name, probe=probe, reason=why, by=who)
        tx.run("webhook_pause", name=name, by=who, reason=why)
        self._tell(tx, EventKind.WEBHOOK_DISABLED, name, reason=why, by=who)

    def _enable(self, tx: Tx, name: str, by: str, reason: str | None) -> None:
        who = storable(by, NAME)
        tx.run("webhook_enable", name=name, by=who)
        tx.run("webhook_resume", name=name, by=who, reason=reason or "")
        self._tell(tx, EventKind.WEBHOOK_ENABLED, name, by=who)

    def _tell(self, tx: Tx, kind: EventKind, name: str, **detail: Any) -> None:
        id_ = name_id(f"webhook {name}").to_bytes(16)
        self._outbox.write(tx, [Record(kind, id_, detail={"name": name, **detail})])

    def deliveries(
        self, name: str, limit: int, *, before: bytes = _NEWEST
    ) -> Sequence[LoggedDelivery]:
        """The last attempts, the newest first.

        Args:
            before: an id of the log: only older ones.
        """
        rows = self._database.rows("webhook_log_page", endpoint=name, before=before, n=limit)
        return [_logged(row) for row in rows]

    def prune(self, clock: float) -> None:
        """Remove what the log has kept for a week.

        Args:
            clock: the database's, in seconds since 1970.
        """
        before, page = first_id_at(clock - _KEPT), {"n": _PAGE}
        while ends := self._database.column("webhook_log_next", before=before, **page):
            self._database.run("webhook_log_prune", before=ends[0])
        self._database.run("webhook_log_prune", before=before)

    def forget(self, name: str) -> None:
        """Remove the log of an endpoint, page by page, before the endpoint itself."""
        while ends := self._database.column("webhook_log_next_of", name=name, n=_PAGE):
            self._database.run("webhook_log_drop", name=name, before=ends[0])


def endpoint_key(name: str) -> int:
    """The number of the key of the limit of deliveries to an endpoint."""
    return key_id(name_id(DELIVER), name)


def _release(tx: Tx, ids: Sequence[bytes]) -> int:
    return tx.run("webhook_release", ids=ids)


def _rest(failures: int, pause: float | None) -> float:
    """Seconds for which nothing is sent to an endpoint after this number of failures in a row."""
    if pause is not None:
        return pause
    if failures < _MANY:
        return 0.0
    return float(min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(failures - _MANY, 20)))


def _is_enough(config: Mapping[str, Any], failures: int, silence: float) -> bool:
    most = int(config.get("disable_failures", DISABLE_FAILURES))
    return failures >= most and silence >= float(config.get("disable_after", DISABLE_AFTER))


def _lock(tx: Tx, name: str) -> tuple[tuple[Any, ...] | None, str]:
    """The row, and the options of the sink, whose row is locked before it: in the order of every
    other unit."""
    sinks = tx.rows("sink_lock", name=name)
    rows = tx.rows("webhook_lock", name=name)
    return (rows[0] if rows else None), (sinks[0][1] if sinks else "{}")


def _missing(name: str) -> ConfigError:
    return ConfigError(f"there is no webhook {name!r}: see hammerflow webhook list")


def _webhook(row: tuple[Any, ...]) -> Webhook:
    name, config, filters, app, sink_state, position, state, since, failures = row[:9]
    success_at, disabled_at, probe_at, rest_until, reason, old_until = row[9:15]
    delivered, failed, by = row[15:]
    return Webhook(
        name, json.loads(config), EventFilter.from_json(filters), app, sink_state, int(position),
        state, _time(since), int(failures), _maybe(success_at), _maybe(disabled_at),
        _maybe(probe_at), _maybe(rest_until), reason or "", _maybe(old_until), int(delivered),
        int(failed), by or "",
    )  # fmt: skip


def _logged(row: tuple[Any, ...]) -> LoggedDelivery:
    id_, endpoint, message, position, attempt, at, status, ms, address, error, answer = row
    return LoggedDelivery(
        id_, endpoint, message, int(position), int(attempt), _time(at), status, int(ms),
        address or "", error or "", answer,
    )  # fmt: skip


def _maybe(at: float | None) -> datetime | None:
    return None if at is None else _time(at)


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
