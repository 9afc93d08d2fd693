"""Delivery: one sink's events from the log, batch by batch, and its cursor behind them."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.events.envelope import (
    EVENT_TYPE,
    attributes_of,
    enclosed,
    event_id,
    to_json,
)
from hammerflow.events.event import Event
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import LoggedRecord
from hammerflow.jobs.job import NewJob
from hammerflow.options.variables import CLOSED, Bounds, redacted
from hammerflow.sinks.base import Message, PositionKeeper, Refused, Report, Sink, SinkError
from hammerflow.sinks.jobs import StoreReader
from hammerflow.sinks.reader import gap_event
from hammerflow.sinks.registry import encoder, open_sink
from hammerflow.stores.events.bodies import EventBodies
from hammerflow.stores.events.sinks import HOLD, SinkHold, SinkRow
from hammerflow.stores.store import Store

__all__ = ["Delivery"]

log = logging.getLogger("hammerflow.sinks")

#: Seconds between the first two tries after an error; they double from try to try.
_FIRST_PAUSE = 0.5
#: Seconds after which a holder shows that it lives while nothing is to be sent.
_SIGN = HOLD / 3
#: Seconds for which it believes that the sink was neither paused nor rewound; and between two moves
#: of the cursor of a sink that sends nothing.
_SURE = 1.0


@dataclass(eq=False)
class Delivery:
    """Delivers to one sink, from one thread, for as long as this process holds it.

    The cursor is moved after the acknowledgement: who dies in between leaves events that are sent
    again. It is moved to the end of those that were delivered or refused without a hole; what was
    delivered behind a hole is remembered, and not sent again by this process.

    Args:
        holder: the number of this process.
        source: the app's namespace, in the ids of events.
        ring: called with the queues that got jobs.
    """

    store: Store
    row: SinkRow
    _: KW_ONLY
    holder: int
    source: str
    bounds: Bounds = CLOSED  # of a sink that no code declares
    ring: Callable[[Iterable[str]], None] = lambda _: None
    _hold: SinkHold | None = field(init=False, default=None)
    _sink: Sink | None = field(init=False, default=None)
    _done: set[int] = field(init=False, default_factory=set)  # delivered behind a hole
    _refused: dict[int, str] = field(init=False, default_factory=dict)
    _jobs: dict[int, Sequence[NewJob]] = field(init=False, default_factory=dict)  # of _done
    _failures: int = field(init=False, default=0)
    _signed_at: float = field(init=False, default=0.0)
    _retry_at: float = field(init=False, default=0.0)
    _take_at: float = field(init=False, default=0.0)
    _pass_at: float = field(init=False, default=0.0)
    _identity: Mapping[int, tuple[int, bytes]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        config = self.row.config
        self._bodies = EventBodies(self.store.database, self.store.names, config.get("include", ()))
        self._batch = self._most = int(config.get("batch", 500))
        self._key = str(config.get("key", "job"))
        self._longest = float(config.get("backoff", 60.0))
        self._encoding = str(config.get("encoding", "cloudevents"))

    def step(self) -> float:
        """Deliver the next batch.

        Returns:
            Seconds until the next call: 0 while there is more, else how long an idle or failing
            sink may rest. A ring of new events may come before.
        """
        if self._hold is None and not self._take():
            return max(self._take_at - time.monotonic(), 0.0)
        hold = self._hold
        assert hold is not None
        try:
            if (wait := self._retry_at - time.monotonic()) > 0:
                return min(wait, self._rest(hold))
            return self._deliver(hold)
        except ConfigError as error:
            self.store.sinks.stop(hold, str(error))
            log.error("sink %s is stopped: %s", self.row.name, error)
            self.close(give=False)
            return self._longest
        except Exception as error:  # noqa: BLE001 - a border: what a sink or its driver raises
            self._close_sink()
            return self._note_failure(hold, error)

    def close(self, *, give: bool = True) -> None:
        """End: close the sink, and let another process take it."""
        self._close_sink()
        hold, self._hold = self._hold, None
        if give and hold is not None:
            self.store.sinks.give(hold)

    # -- steps

    def _take(self) -> bool:
        if time.monotonic() < self._take_at:
            return False
        self._take_at = time.monotonic() + _SIGN
        self._hold = self.store.sinks.take(self.row.name, self.holder)
        self._done.clear()
        self._refused.clear()
        self._jobs.clear()
        self._signed_at = time.monotonic()
        return self._hold is not None

    def _deliver(self, hold: SinkHold) -> float:
        if self.row.kind == "none":
            return self._pass_over(hold)
        page = self.store.events.read(hold.position, limit=self._most)
        if page.gap is not None:
            return self._announce_gap(hold, page.gap)
        if not page.records:
            return self._rest(hold)
        messages, refused = self._messages(page.records)
        self._refused |= refused
        self._check_poison(refused)
        todo = [m for m in messages if m.position not in self._done | self._refused.keys()]
        error = self._send(hold, todo) if todo else ""
        if error is None:
            return 0.0
        wanted = {m.position for m in messages} | refused.keys()
        reached, sent = self._reached(hold.position, page.after, wanted)
        if reached > hold.position and not self._advance(hold, reached, sent, messages):
            return 0.0
        if error:
            raise _Undelivered(error)
        self._failures = 0
        self._most = min(2 * self._most, self._batch)
        return 0.0

    def _pass_over(self, hold: SinkHold) -> float:
        """Move the cursor of a sink that sends nothing, without reading what it passes over."""
        if (wait := self._pass_at - time.monotonic()) > 0:
            return wait
        self._pass_at = time.monotonic() + _SURE
        head = self.store.events.head()
        if head > hold.position and not self._advance(hold, head, head - hold.position, []):
            return 0.0
        return self._rest(hold)

    def _send(self, hold: SinkHold, messages: Sequence[Message]) -> str | None:
        """Send what is left of a page; why not all of it was delivered, empty if it was. None if
        the sink was taken away while it was opened."""
        if self._sink is None:
            bounds = None if self.row.app else self.bounds
            sink = open_sink(self.row.name, self.row.kind, self.row.config, bounds)
            if isinstance(sink, StoreReader):
                sink.use_store(self.store, self.source)
            self._sink = sink
            sink.open()
            if isinstance(sink, PositionKeeper):
                self._check_loss(hold, sink.last_position())
        if time.monotonic() - self._signed_at > _SURE and not self._renew(hold):
            return None
        report: Report = self._sink.send(messages)
        self._done |= report.delivered
        self._jobs |= report.jobs
        self._check_poison(report.refused)
        self._refused |= report.refused
        settled = report.delivered | report.refused.keys()
        missing = [m for m in messages if m.position not in settled]
        return (report.error or "it has not acknowledged all events") if missing else ""

    def _check_loss(self, hold: SinkHold, last: int) -> None:
        """Stay where the other side has lost what it had acknowledged, to whatever process."""
        if last < hold.delivered:
            raise SinkError(
                f"it has lost the events from {last + 1} to {hold.delivered}: send them again with "
                f"hammerflow sink rewind {hold.name} --to-position {last}"
            )

    def _check_poison(self, refused: Mapping[int, str]) -> None:
        if refused and self.row.config.get("on_poison", "park") == "stop":
            position, reason = min(refused.items())
            raise ConfigError(f"it refuses the event {position}: {reason}")

    def _reached(self, start: int, end: int, wanted: set[int]) -> tuple[int, int]:
        """The last position up to which nothing is left to send, and how many were delivered."""
        settled = self._done | self._refused.keys()
        missing = sorted(position for position in wanted if position not in settled)
        reached = missing[0] - 1 if missing else end
        sent = sum(start < position <= reached for position in self._done & wanted)
        return reached, sent

    def _advance(
        self, hold: SinkHold, reached: int, sent: int, messages: Sequence[Message]
    ) -> bool:
        """Move the cursor behind what was delivered; False if the sink is not ours any more."""
        bodies = {m.position: m for m in messages}
        parked = []
        for position in sorted(p for p in self._refused if p <= reached):
            message = bodies.get(position)
            text = message.body.decode("utf-8", "replace") if message is not None else ""
            kind, id_ = self._identity[position]
            parked.append((position, kind, id_, self._refused[position], text))
        due = [p for p in sorted(self._jobs) if p <= reached]
        jobs = [job for position in due for job in self._jobs[position]]
        last = max((p for p in self._done if p <= reached), default=0)
        hold = hold._replace(delivered=max(hold.delivered, last))
        new = self.store.sinks.advance(hold, reached, sent, parked, jobs)
        if jobs and new is not None:
            self.ring({job.queue for job in jobs})
        for position in due:
            del self._jobs[position]
        for position, *_, error, _text in parked:
            log.error(
                "sink %s refuses the event %d, which is parked: %s", hold.name, position, error
            )
        self._done = {p for p in self._done if p > reached}
        self._refused = {p: e for p, e in self._refused.items() if p > reached}
        if new is None:
            self.close(give=False)
            return False
        self._hold, self._signed_at = new, time.monotonic()
        return True

    def _messages(
        self, records: Sequence[LoggedRecord]
    ) -> tuple[Sequence[Message], Mapping[int, str]]:
        """The messages of the events that the filter passes; and why others cannot be encoded."""
        wanted = [
            r
            for r in records
            if not isinstance(r.kind, EventKind) or r.kind in self.row.filters.kinds
        ]
        self._identity = {r.position: (int(r.kind), r.id) for r in wanted}
        found = [one for one in self._bodies.render(wanted) if self.row.filters.wants(one)]
        return self._encoded(found)

    def _encoded(self, events: Iterable[Event]) -> tuple[Sequence[Message], Mapping[int, str]]:
        messages: list[Message] = []
        refused: dict[int, str] = {}
        for event in events:
            try:
                messages.append(self.message(event))
            except Exception as error:  # noqa: BLE001 - a border: the user's encode=
                refused[event.position] = f"it cannot be encoded: {type(error).__name__}: {error}"
        return messages, refused

    def message(self, event: Event) -> Message:
        """An event as the sink gets it."""
        key = event.key(self._key)
        attributes = attributes_of(event, self.source, key)
        body, content_type = self._body(event, attributes)
        return Message(event, event_id(event, self.source), key, body, content_type, attributes)

    def _body(self, event: Event, attributes: Mapping[str, str]) -> tuple[bytes, str]:
        path = self.row.config.get("encode")
        if path:
            encode: Callable[[Event], Any] = encoder(str(path))
            body = encode(event)
            if not isinstance(body, bytes):
                raise Refused(f"encode= must return bytes, not {type(body).__name__}")
            return body, "application/octet-stream"
        if self._encoding == "cloudevents":
            return to_json(enclosed(event, attributes)), EVENT_TYPE
        if self._encoding == "binary":
            return to_json(dict(event.data)), "application/json"
        return to_json(event.to_plain()), "application/json"

    def _announce_gap(self, hold: SinkHold, gap: tuple[int, int]) -> float:
        """Tell the sink which positions it will never get, then go on behind them."""
        first, last = gap
        log.error(
            "sink %s: the events %d to %d were removed before it had got them",
            hold.name,
            first,
            last,
        )
        self.store.sinks.note_gap(hold, gap)
        event = gap_event(first, last, name=hold.name)
        self._identity = {last: (int(EventKind.LOG_GAP), bytes(16))}
        messages, refused = self._encoded([event])
        self._refused |= refused
        self._check_poison(refused)
        error = self._send(hold, messages) if messages else ""
        if error:
            raise _Undelivered(error)
        if error is not None:
            self._advance(hold, last, len(messages), messages)
        return 0.0

    def _rest(self, hold: SinkHold) -> float:
        if time.monotonic() - self._signed_at > _SIGN:
            self._renew(hold)
        return _SIGN / 2

    def _renew(self, hold: SinkHold) -> bool:
        if not self.store.sinks.renew(hold):
            self.close(give=False)
            return False
        self._signed_at = time.monotonic()
        return True

    def _note_failure(self, hold: SinkHold, error: Exception) -> float:
        text = str(error) if isinstance(error, _Undelivered) else f"{type(error).__name__}: {error}"
        text = redacted(text)  # a driver may tell the URL
        if self._failures == 0:
            log.warning(
                "sink %s does not take events, which are kept and sent again: %s", hold.name, text
            )
        self._failures += 1
        if self._hold is hold:  # nothing arrived: a slow endpoint may manage fewer in its time
            self._most = max(1, self._most // 2)
        if not self.store.sinks.fail(hold, text):
            self.close(give=False)
            return 0.0
        self._signed_at = time.monotonic()
        pause = min(self._longest, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 20))
        pause *= random.uniform(0.75, 1.0)
        self._retry_at = self._signed_at + pause
        return min(pause, _SIGN)

    def _close_sink(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()


class _Undelivered(Exception):
    """A part of a batch was not acknowledged."""
