"""EventLog: the ordered log of events: the relay that gives positions, reads, and retention.

A position is the number of an event: 1, 2, 3 ... in an order in which causes come before effects.
A row of ``events`` holds a run of them. On SQLite each transaction writes the log itself. On the
others it writes a row of ``outbox``, as its place in the order of commits is not known before its
commit: a relay moves the rows to the log under the lock of one row, so that no two relays give
one position, and no transaction that commits late is passed over.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from hammerflow.events.kinds import EventKind
from hammerflow.events.record import CLOCK, LoggedRecord, packed_clock, unpack
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.outbox import Outbox
from hammerflow.stores.rows import Row

__all__ = ["MOVED", "EventLog", "LogPage", "RelayStatus"]

#: Rows of ``outbox`` that one transaction moves, and the bytes of one row of the log, which servers
#: keep in place (see events/record.py).
MOVED, _BYTES = 1_000, 8_040
#: Rows of the log that a read of the last events fetches at once, and that a removal looks at.
_CHUNKS, _OLD = 20, 500
#: Rows of the log that a search for a time looks back over, as not each row is later than the one
#: before it: a transaction may commit long after it was given its time, and clocks are set back.
_BACK = 10_000
_LAST = 2**63 - 1


class LogPage(NamedTuple):
    """What a read has found.

    Attributes:
        records: the next events, in order.
        after: the position from which the next page goes on.
        gap: (first, last) of the positions that were removed before they were read, if any were.
    """

    records: Sequence[LoggedRecord]
    after: int
    gap: tuple[int, int] | None = None


class RelayStatus(NamedTuple):
    """The row of the relay."""

    position: int  # of the last event
    wanted: int  # bits of the kinds that sinks want
    holder: int | None  # the process that moves events
    holds_for: float | None  # seconds until another one may take over


class _Run(NamedTuple):
    """A row of the log."""

    position: int  # of its last event
    first_position: int
    at: float
    pack: bytes

    def packed(self) -> tuple[bytes, int, float]:
        """What :func:`unpack` takes."""
        return self.pack, self.first_position, self.at

    def records(self, after: int) -> Iterator[LoggedRecord]:
        """Its events behind a position."""
        found = unpack(*self.packed())
        return (record for record in found if record.position > after)


class EventLog:
    """The tables ``outbox``, ``events`` and ``relay``."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self.outbox = outbox

    # -- the relay

    def relay(self, rows: int = MOVED) -> int:
        """Move what was committed to the log; how many rows of the outbox that were.

        Any number of processes may do this at once: each one holds the row of the relay until its
        commit, and another waits.
        """
        if not self._database.rows("outbox_any"):
            return 0
        return self.move(rows)[0]

    def move(self, rows: int = MOVED) -> tuple[int, int]:
        """The same for a caller that has seen rows wait: how many were moved, and the position of
        the last event."""
        return self._database.unit(lambda tx: _move(tx, rows))

    def look(self) -> tuple[int, bool]:
        """The position of the last event, and whether rows of the outbox wait for the relay."""
        row = self._database.first("relay_look")
        return (0, True) if row is None else (int(row[0]), bool(row[1]))

    def pending(self) -> int:
        """Rows of the outbox that wait for the relay, up to 10 001."""
        return int(self._database.column("outbox_size")[0])

    def take_turn(self, holder: int, hold: float) -> bool:
        """Whether this process is the one that moves events, for the next ``hold`` seconds."""
        values = {"holder": holder, "hold": hold}
        return self._database.run("relay_take", **values) > 0

    def give_turn(self, holder: int) -> None:
        """Let another process move events at once."""
        self._database.run("relay_give", holder=holder)

    def status(self) -> RelayStatus:
        """Where the relay is."""
        row = self._database.first("relay_row")
        return RelayStatus(0, 0, None, None) if row is None else RelayStatus._make(row)

    # -- reads

    def head(self) -> int:
        """The position of the last event; 0 of an empty log."""
        return self.status().position

    def first(self) -> int:
        """The position of the first event that is still there; that after the last one if none."""
        row = self._database.first("events_first")
        return self.head() + 1 if row is None else int(row[0])

    def read(self, after: int, *, limit: int = 500) -> LogPage:
        """The events behind a position, at most ``limit``.

        Where some of them were removed, the page has the gap first, and the events after it.
        """
        chunks = self._chunks(after, limit)
        if not chunks:
            head = self.head()
            if head <= after:
                return LogPage([], after)
            chunks = self._chunks(after, limit)  # written meanwhile, or removed
            if not chunks:
                return LogPage([], head, (after + 1, head))
        gap = None
        if chunks[0].first_position > after + 1:
            gap = after + 1, chunks[0].first_position - 1
        found = (record for chunk in chunks for record in chunk.records(after))
        records = list(islice(found, limit))
        return LogPage(records, records[-1].position, gap)

    def newest(
        self, limit: int, *, before: int | None = None, kinds: Container[EventKind] | None = None
    ) -> tuple[Sequence[LoggedRecord], int | None]:
        """The last events, in order, and the position before which there are more; None if not.

        Args:
            limit: events that are read, or a few more, as rows of the log are read whole.
            before: only events before this position.
            kinds: only events of these kinds, or of kinds that this version does not know.
        """
        records: list[LoggedRecord] = []
        before = self.head() + 1 if before is None else before
        while limit > 0:
            rows = self._database.rows("events_before", before=before, n=_CHUNKS)
            chunks = [_Run._make(row) for row in reversed(rows)]
            if not chunks:
                return records, None
            found = [one for each in chunks for one in unpack(*each.packed(), kinds)]
            records[:0] = found
            before = chunks[0].first_position
            limit -= chunks[-1].position + 1 - before
        return records, before

    def position_at(self, at: float) -> int:
        """The position behind which the events from a time on are: seconds since 1970, by the
        database's clock. A row of the log is taken whole: up to a second more may come."""
        low, high = self.first(), self.head() + 1
        while low < high:
            middle = (low + high) // 2
            row = self._database.first("events_at", position=middle)
            if row is None or row[2] >= at:
                high = middle
            else:
                low = int(row[1]) + 1
        found = self._database.first("events_at_before", position=low, at=at, n=_BACK)
        found = found or self._database.first("events_at", position=low)
        return low - 1 if found is None else int(found[0]) - 1

    def _chunks(self, after: int, limit: int) -> list[_Run]:
        """The rows with the next events, and no more: a row may have one event, or thousands."""
        last = min(after + limit, _LAST)
        rows = self._database.rows("events_after", after=after, last=last)
        return [_Run._make(row) for row in rows]

    # -- retention

    def prune(self, *, before: float, beyond: int, floor: int, hard_before: float) -> int:
        """Remove old events; up to which position, 0 if none is due.

        Args:
            before: seconds since 1970: what is older is due.
            beyond: how many events may stay: what is older than these is due, too.
            floor: the position that the slowest sink has reached, behind which nothing is due ...
            hard_before: ... unless it is older than this.
        """
        newest = self.head() - beyond
        due = 0
        for position, at in self._database.rows("events_oldest", n=_OLD):
            is_read = position <= floor
            if not (is_read and (at < before or position <= newest)) and at >= hard_before:
                break
            due = int(position)
        if due:
            self._database.run("events_prune", position=due)
        return due


def _move(tx: Tx, most: int) -> tuple[int, int]:
    """Move the first rows of the outbox to the log."""
    place = tx.rows("relay_lock")
    if not place:  # the row was deleted by hand
        tx.run("relay_begin")
        place = tx.rows("relay_lock")
    position = int(place[0][0])
    if tx.has("outbox_move"):
        [(count, last)] = tx.rows("outbox_move", n=most, position=position, size=_BYTES // 2)
        return int(count), int(last)
    rows = tx.rows("outbox_read", n=most)
    if rows:
        chunks = list(_chunks(rows, position))
        position = chunks[-1].position
        tx.many("events_insert", chunks)
        tx.run("outbox_delete", seqs=[row[0] for row in rows])
        tx.run("relay_move", position=position)
    return len(rows), position


def _chunks(rows: Sequence[Row], position: int) -> Iterator[_Run]:
    """Rows of the log that hold these rows of the outbox."""
    parts: list[bytes] = []
    size = count = 0
    last = 0.0
    for _, at, n, data in rows:
        if count and size + CLOCK + len(data) > _BYTES:
            yield _Run(position + count, position + 1, last, b"".join(parts))
            position, parts, size, count, last = position + count, [], 0, 0, 0.0
        parts += (packed_clock(at), data)
        size, count, last = size + CLOCK + len(data), count + n, max(last, at)
    yield _Run(position + count, position + 1, last, b"".join(parts))
