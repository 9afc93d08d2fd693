"""Sinks: the table of those who get the events, how far each has come, and who delivers to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.jobs.job import NewJob
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.outbox import BELIEVED
from hammerflow.stores.transitions.insert import insert_jobs
from hammerflow.stores.transitions.unit import Unit, Verbs
from hammerflow.text import REASON, storable
from hammerflow.webhooks import new_secret

__all__ = ["HOLD", "ParkedEvent", "SinkHold", "SinkRow", "Sinks"]

#: Seconds for which a process that delivers to a sink holds it.
HOLD = 15.0
#: Bytes of the body of a parked event that are kept.
_BODY = 4_000


class SinkRow(NamedTuple):
    """A row of ``sinks``."""

    name: str
    kind: str
    config: Mapping[str, Any]  # may hold secrets: never print it as it is
    filters: EventFilter
    app: str  # whose code declares it; empty: an operator has added it
    position: int  # of the last event that it has got
    state: str  # running, paused or stopped
    created_at: datetime
    changed_by: str
    reason: str
    holder: int | None
    term: int
    holds_for: float | None  # seconds until another process may deliver to it
    sent: int
    sent_at: datetime | None
    failures: int  # tries in a row that have failed
    error: str
    error_at: datetime | None
    gap: tuple[int, int] | None  # the last positions that were removed before it had read them

    @property
    def complete_from(self) -> datetime:
        """From when on it gets every event: then all processes know that it is there."""
        return datetime.fromtimestamp(self.created_at.timestamp() + BELIEVED, UTC)


class SinkHold(NamedTuple):
    """The right to deliver to a sink; void once the sink has a newer term."""

    name: str
    holder: int
    term: int
    position: int
    delivered: int  # the last position that the sink has acknowledged; 0 after a rewind


class ParkedEvent(NamedTuple):
    """An event that a sink has refused."""

    position: int
    at: datetime
    kind: EventKind | int
    id: bytes
    error: str
    body: str


class Sinks(Verbs):
    """The tables ``sinks`` and ``sink_errors``."""

    def __init__(self, database: Database, names: NameTable) -> None:
        super().__init__(database, names)
        self._outbox = names.outbox

    # -- what an operator or an app says

    def put(
        self, name: str, kind: str, config: Mapping[str, Any], filters: EventFilter, *,
        app: str = "", by: str = "", position: int | None = None,
    ) -> bool:  # fmt: skip
        """Add a sink, or give it another configuration; whether anything has changed.

        Args:
            app: whose code declares it.
            position: where a new one begins; by default behind the last event.

        Raises:
            ConfigError: the name is that of a sink which somebody else has added.
        """
        values = {
            "kind": kind, "config": json.dumps(config, sort_keys=True),
            "filters": filters.to_json(), "app": app, "wanted": filters.mask, "by": storable(by),
        }  # fmt: skip

        def work(tx: Tx) -> bool:
            rows = tx.rows("sink_lock", name=name)
            if not rows:
                begin = _head(tx) if position is None else position
                tx.run("sink_insert", name=name, position=begin, **values)
            else:
                if rows[0][3] != app:
                    owner = f"the code of {rows[0][3]}" if rows[0][3] else "an operator"
                    raise ConfigError(
                        f"there is a sink {name!r} already, which {owner} has added: give this one "
                        "another name, or remove that one with hammerflow sink remove"
                    )
                if rows[0][:4] == tuple(values[n] for n in ("kind", "config", "filters", "app")):
                    return False
                tx.run("sink_define", name=name, **values)
            if kind == "webhook" and not tx.rows("webhook_lock", name=name):
                tx.run("webhook_insert", name=name, secret=new_secret(), by=values["by"])
            _want(tx)
            return True

        changed = self._database.unit(work)
        self._outbox.refresh()
        return changed

    def remove(self, name: str) -> None:
        """Remove a sink; what it has not got, it never gets.

        Raises:
            ConfigError: there is none of this name.
        """

        def work(tx: Tx) -> None:
            self._must(tx, name)
            tx.run("sink_errors_drop", name=name, position=-1)
            tx.run("webhook_log_drop", name=name, before=b"\xff" * 16)
            tx.run("webhook_drop", name=name)
            tx.run("sink_delete", name=name)
            _want(tx)

        self._database.unit(work)
        self._outbox.refresh()

    def pause(self, name: str, *, by: str, reason: str = "") -> None:
        """Deliver nothing to it; the log keeps its events until retention removes them. Once this
        returns, its position does not move; what is on its way may arrive, and arrives again later.
        """
        self._set_state(name, "paused", by, reason)

    def resume(self, name: str, *, by: str) -> None:
        """Go on where it was paused, or where it stopped."""
        self._set_state(name, "running", by, "")

    def rewind(self, name: str, position: int, *, by: str) -> None:
        """Deliver from behind a position on: again what it had got, or without what lies between.

        Args:
            position: of the last event that it is not to get.
        """

        def work(tx: Tx) -> None:
            self._must(tx, name)
            tx.run("sink_rewind", name=name, position=position, by=storable(by))
            tx.run("sink_errors_drop", name=name, position=position)

        self._database.unit(work)

    def _set_state(self, name: str, state: str, by: str, reason: str) -> None:
        def work(tx: Tx) -> None:
            self._must(tx, name)
            values = {"by": storable(by), "reason": storable(reason)}
            tx.run("sink_set_state", name=name, state=state, **values)

        self._database.unit(work)

    def _must(self, tx: Tx, name: str) -> None:
        if not tx.rows("sink_lock", name=name):
            raise ConfigError(f"there is no sink {name!r}: see hammerflow sink list")

    # -- reads

    def list(self) -> Sequence[SinkRow]:
        """All sinks, by name."""
        return [_row(row) for row in self._database.rows("sinks_all")]

    def get(self, name: str) -> SinkRow:
        """One sink.

        Raises:
            ConfigError: there is none of this name.
        """
        for row in self.list():
            if row.name == name:
                return row
        raise ConfigError(f"there is no sink {name!r}: see hammerflow sink list")

    def floor(self) -> int | None:
        """The position that the slowest sink has reached; None without sinks."""
        [lowest] = self._database.column("sinks_floor")
        return None if lowest is None else int(lowest)

    def parked(self, name: str, limit: int = 100) -> Sequence[ParkedEvent]:
        """The events that a sink has refused, the newest first."""
        rows = self._database.rows("sink_errors_of", name=name, n=limit)
        return [
            ParkedEvent(position, _time(at), _kind(kind), id_, error, body)
            for position, at, kind, id_, error, body in rows
        ]

    def parked_counts(self) -> Mapping[str, int]:
        """How many events each sink has refused."""
        return {name: int(count) for name, count in self._database.rows("sink_error_counts")}

    # -- the process that delivers

    def take(self, name: str, holder: int) -> SinkHold | None:
        """Become the one that delivers to a sink; None while another does, or it does not run."""

        def work(tx: Tx) -> SinkHold | None:
            is_taken = tx.run("sink_take", name=name, holder=holder, hold=HOLD) > 0
            if not is_taken and not tx.repeated:
                return None
            rows = tx.rows("sink_taken", name=name, holder=holder)
            return SinkHold(name, holder, *map(int, rows[0])) if rows else None

        return self._database.unit(work)

    def renew(self, hold: SinkHold) -> bool:
        """Go on holding it; False if it was paused, rewound, removed or taken over meanwhile."""
        values = {"name": hold.name, "holder": hold.holder, "term": hold.term, "hold": HOLD}
        return self._database.run("sink_renew", **values) > 0

    def give(self, hold: SinkHold) -> None:
        """Let another process deliver to it at once."""
        values = {"name": hold.name, "holder": hold.holder, "term": hold.term}
        self._database.run("sink_give", **values)

    def give_all(self, holder: int) -> None:
        """Let other processes deliver to all sinks of one that is dead, at once."""
        self._database.run("sink_give_all", holder=holder)

    def advance(
        self, hold: SinkHold, position: int, sent: int,
        refused: Sequence[tuple[int, int, bytes, str, str]] = (), jobs: Sequence[NewJob] = (),
    ) -> SinkHold | None:  # fmt: skip
        """Note that everything up to a position was delivered, or refused for good.

        To be called after the delivery: whoever dies between the two leaves events that are
        delivered again, and none that is not.

        Args:
            hold: with the last position that was delivered.
            refused: (position, kind, id, error, body) of what the sink has refused.
            jobs: inserted in the same transaction; one whose id exists is left as it is.

        Returns:
            The hold with its new position; None if it is not ours any more.
        """
        values = {
            "name": hold.name, "term": hold.term, "hold": HOLD, "delivered": hold.delivered,
        }  # fmt: skip

        def work(unit: Unit) -> SinkHold | None:
            tx = unit.tx
            if not tx.run("sink_advance", position=position, sent=sent, **values):
                place = tx.rows("sink_taken", name=hold.name, holder=hold.holder)
                is_written = tx.repeated and place[:1] and place[0][:2] == (hold.term, position)
                return hold._replace(position=position) if is_written else None
            if jobs:
                insert_jobs(unit, jobs, check_ids=True)
            if refused:
                rows = [
                    (hold.name, place, kind, id_, storable(error, REASON), body[:_BODY])
                    for place, kind, id_, error, body in refused
                ]
                tx.many("sink_error_insert", rows)
            return hold._replace(position=position)

        if jobs:
            self._names.ensure(jobs, None)
        return self._run(work)

    def fail(self, hold: SinkHold, error: str) -> bool:
        """Note that a try has failed; False if the sink is not ours any more."""
        values = {"name": hold.name, "term": hold.term, "hold": HOLD}
        return self._database.run("sink_fail", error=storable(error), **values) > 0

    def stop(self, hold: SinkHold, reason: str) -> None:
        """Deliver nothing more to it until somebody resumes it."""
        values = {"name": hold.name, "term": hold.term}
        self._database.run("sink_stop", reason=storable(reason), **values)

    def note_gap(self, hold: SinkHold, gap: tuple[int, int]) -> None:
        """Note that events were removed before the sink had got them."""
        values = {"name": hold.name, "term": hold.term}
        self._database.run("sink_gap", first=gap[0], last=gap[1], **values)


def _head(tx: Tx) -> int:
    rows = tx.rows("relay_row")
    return int(rows[0][0]) if rows else 0


def _want(tx: Tx) -> None:
    """Write which kinds the sinks want, together."""
    wanted = 0
    for (mask,) in tx.rows("sinks_wanted"):
        wanted |= mask
    if not tx.run("relay_want", wanted=wanted):
        tx.run("relay_begin")
        tx.run("relay_want", wanted=wanted)


def _row(row: tuple[Any, ...]) -> SinkRow:
    name, kind, config, filters, app, position, state, created, by, reason, holder, term = row[:12]
    holds_for, sent, sent_at, failures, error, error_at, first, last = row[12:]
    return SinkRow(
        name, kind, json.loads(config), EventFilter.from_json(filters), app, int(position), state,
        _time(created), by or "", reason or "", holder, int(term), holds_for, int(sent),
        sent_at if sent_at is None else _time(sent_at), int(failures), error or "",
        error_at if error_at is None else _time(error_at),
        None if first is None else (int(first), int(last)),
    )  # fmt: skip


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _kind(code: int) -> EventKind | int:
    return EventKind(code) if code in set(EventKind) else code
