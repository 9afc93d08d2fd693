"""What must be true of the log and of all that came out of it (I18, I19)."""

from __future__ import annotations

import fnmatch
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hammerflow.events.kinds import EventKind
from hammerflow.events.record import LoggedRecord
from hammerflow.stores.records import ENDED
from tests.acceptance.kit import Shop
from tests.proof.streams.endpoints import Endpoint
from tests.stores.kit import as_bytes

__all__ = ["Arrivals", "arrivals", "check_causes", "read_log", "wanted_of"]

_ENDS = frozenset(ENDED.values())
#: Without the children of a spawner that is done only with them: it has run before they do.
_FAN_INS = """
    SELECT id, dependent_id FROM {jobs}
    WHERE dependent_id IS NOT NULL AND (parent_id IS NULL OR dependent_id <> parent_id)"""


def read_log(shop: Shop) -> Sequence[LoggedRecord]:
    """The whole log."""
    records: list[LoggedRecord] = []
    while (page := shop.client.store.events.read(len(records), limit=2_000)).records:
        assert page.gap is None, page.gap
        records += page.records
    return records


def check_causes(shop: Shop, log: Sequence[LoggedRecord]) -> int:
    """I18: a child is written behind the start of its spawner, and a dependent starts behind the
    end of all that it waits for; how many such pairs there were."""
    first: dict[tuple[str, bytes], int] = {}
    for record in log:
        if record.kind in _ENDS:
            first.setdefault(("end", record.id), record.position)
        elif record.kind == EventKind.JOB_ENQUEUED:
            first.setdefault(("enqueued", record.id), record.position)
        elif record.kind == EventKind.JOB_STARTED:
            first.setdefault(("started", record.id), record.position)
    spawned = shop.desk.sql("SELECT parent_id, id FROM {jobs} WHERE parent_id IS NOT NULL")
    waited = shop.desk.sql("SELECT parent_id, child_id FROM {edges}")
    waited += shop.desk.sql(_FAN_INS)
    pairs = [(("started", as_bytes(a)), ("enqueued", as_bytes(b))) for a, b in spawned]
    pairs += [(("end", as_bytes(a)), ("started", as_bytes(b))) for a, b in waited]
    known = [(cause, effect) for cause, effect in pairs if cause in first and effect in first]
    late = [pair for pair in known if first[pair[0]] > first[pair[1]]]
    assert not late, f"{len(late)} of {len(known)} effects stand before their cause: {late[0]}"
    return len(known)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What an endpoint got, beside what it was to get."""

    name: str
    wanted: int
    got: int  # with repeats
    repeats: int
    lost: Sequence[int]
    foreign: Sequence[int]  # positions of events that the filter does not pass
    disordered: int  # first occurrences before an earlier event of their key
    changed: int  # whose id, kind or subject is not that of the log
    is_once: bool
    is_ordered: bool

    @property
    def is_kept(self) -> bool:
        """Whether I19 holds."""
        return not (
            self.lost or self.foreign or self.changed
            or (self.is_once and self.repeats) or (self.is_ordered and self.disordered)
        )  # fmt: skip

    def __str__(self) -> str:
        more = f", the first {list(self.lost[:3])}" if self.lost else ""
        return (
            f"{self.name}: {self.wanted:,} wanted, {self.got:,} got, {self.repeats:,} repeats, "
            f"{len(self.lost)} lost{more}, {self.disordered} out of order"
            f"{'' if self.is_ordered else ' (allowed)'}, {self.changed} changed, "
            f"{len(self.foreign)} that its filter refuses"
        )


def arrivals(shop: Shop, endpoint: Endpoint, log: Sequence[LoggedRecord]) -> Arrivals:
    """I19: each event that an endpoint wants came at least once, in order for each key."""
    wanted = wanted_of(shop, endpoint, log)
    seen: set[int] = set()
    last: Counter[str] = Counter()
    disordered = changed = 0
    events = endpoint.read()
    for event in events:
        position, key = int(event["sequence"]), event["partitionkey"]
        if position in seen:
            continue
        seen.add(position)
        disordered += position < last[key]
        last[key] = max(position, last[key])
        record = wanted.get(position)
        changed += record is not None and not _is(event, record)
    return Arrivals(
        endpoint.name, len(wanted), len(events), len(events) - len(seen),
        sorted(wanted.keys() - seen), sorted(seen - wanted.keys()), disordered, changed,
        endpoint.is_once, endpoint.is_ordered,
    )  # fmt: skip


def _is(event: Mapping[str, str], record: LoggedRecord) -> bool:
    assert isinstance(record.kind, EventKind)
    is_uuid = record.kind.noun in ("job", "workflow", "spawn")
    return (
        event["id"] == f"shop/{record.position}"
        and event["type"] == f"hammerflow.{record.kind.label}.v1"
        and (not is_uuid or event["subject"] == str(uuid.UUID(bytes=record.id)))
    )


def wanted_of(
    shop: Shop, endpoint: Endpoint, log: Sequence[LoggedRecord]
) -> Mapping[int, LoggedRecord]:
    """The events that the filter of an endpoint passes, told without the code of filters."""
    jobs: set[bytes] | None = None
    if endpoint.tasks:
        rows = shop.desk.sql("SELECT j.id, t.name FROM {jobs} j JOIN {tasks} t ON t.id = j.task_id")
        jobs = {as_bytes(job) for job, task in rows if _matches(task, endpoint.tasks)}
    return {
        record.position: record
        for record in log
        if isinstance(record.kind, EventKind)
        and _matches(record.kind.label, endpoint.kinds)
        and (jobs is None or record.id in jobs)
    }


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
