"""The events of a chaos run: a sink that gets all of them, and what must be true of the log."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import LoggedRecord
from hammerflow.ids import is_event_job
from hammerflow.stores.records import ENDED
from tests.acceptance.kit import Shop
from tests.stores.kit import as_bytes
from tests.support.waiting import until

__all__ = ["add_sink", "check_log", "check_sink"]

_NAME = "chaos"
_ENDS = frozenset(ENDED.values())
_ENDS_OF_WORKFLOWS = frozenset({
    EventKind.WORKFLOW_COMPLETED, EventKind.WORKFLOW_FAILED, EventKind.WORKFLOW_CANCELLED,
})  # fmt: skip
_REMOVALS = frozenset({EventKind.JOB_PURGED, EventKind.JOB_ARCHIVED})
#: Seconds for the last events to arrive: a sink whose holder was killed is taken over after 15.
_ARRIVAL = 60.0


def _path(shop: Shop) -> Path:
    return shop.folder / "events.jsonl"


def add_sink(shop: Shop) -> None:
    """Have all events logged and written to a file, before anything else happens."""
    wanted = EventFilter.of(kinds=["*"])
    shop.client.store.sinks.put(_NAME, "file", {"path": str(_path(shop))}, wanted)


def check_log(shop: Shop) -> str:
    """I18: positions without holes; of each job and workflow its path, once; and nothing of others.

    Returns:
        How many events there were.
    """
    store = shop.client.store
    until("all is in the log", lambda: store.events.pending() == 0, _ARRIVAL)
    records: list[LoggedRecord] = []
    while (page := store.events.read(len(records), limit=2_000)).records:
        assert page.gap is None, page.gap
        records += page.records
    positions = [record.position for record in records]
    assert positions == list(range(1, len(records) + 1)), "positions have holes"
    paths: defaultdict[bytes, list[LoggedRecord]] = defaultdict(list)
    for record in records:
        if isinstance(record.kind, EventKind) and record.kind.noun in ("job", "workflow"):
            paths[record.id].append(record)
    _check_jobs(shop, paths)
    _check_workflows(shop, paths)
    return f"{len(records):,} events"


def _check_jobs(shop: Shop, paths: dict[bytes, list[LoggedRecord]]) -> None:
    rows = shop.desk.sql("SELECT job_id, state, lease FROM {done}")
    ends = {as_bytes(job): (ENDED[state], lease) for job, state, lease in rows}
    jobs = {job for job in shop.desk.ids("SELECT id FROM {jobs}") if not is_event_job(job)}
    wrong = []
    for job in jobs:
        kinds = [record.kind for record in paths[job]]
        starts = [r.lease for r in paths[job] if r.kind is EventKind.JOB_STARTED]
        last = [(r.kind, r.lease) for r in paths[job] if r.kind in _ENDS]
        if (
            kinds[:1] != [EventKind.JOB_ENQUEUED]
            or kinds.count(EventKind.JOB_ENQUEUED) != 1
            or starts != sorted(set(starts))
            or last[-1:] != ([ends[job]] if job in ends else [])
            or len(last) > 1 + kinds.count(EventKind.JOB_REPLAYED)
        ):
            wrong.append(f"{job.hex()}: {[str(k) for k in kinds]} but {ends.get(job)}")
    assert not wrong, f"{len(wrong)} jobs of {len(jobs)} have other events: {wrong[:2]}"
    invented = [
        id_
        for id_, path in paths.items()
        if id_ not in jobs
        and (kinds := {r.kind for r in path}) & {EventKind.JOB_ENQUEUED}
        and not kinds & _REMOVALS
    ]
    assert not invented, f"{len(invented)} jobs in the log were never committed"
    errors = "SELECT job_id, lease FROM {errors} WHERE kind IN ('lost', 'suspected')"
    rows = [(as_bytes(job), lease) for job, lease in shop.desk.sql(errors)]
    lost = Counter(row for row in rows if not is_event_job(row[0]))
    told = Counter(
        (r.id, r.lease)
        for path in paths.values()
        for r in path
        if r.kind is EventKind.JOB_LOST and r.id in jobs  # the errors of others were removed
    )
    assert told == lost, f"{sum((lost - told).values())} losses untold"


def _check_workflows(shop: Shop, paths: dict[bytes, list[LoggedRecord]]) -> None:
    rows = shop.desk.sql("SELECT id FROM {workflows} WHERE ended_at IS NOT NULL")
    wrong = 0
    for workflow in (as_bytes(row[0]) for row in rows):
        kinds = [record.kind for record in paths[workflow]]
        ends = [kind for kind in kinds if kind in _ENDS_OF_WORKFLOWS]
        again = kinds.count(EventKind.WORKFLOW_RESUMED)
        is_whole = kinds[:1] == [EventKind.WORKFLOW_STARTED] and kinds[-1] in _ENDS_OF_WORKFLOWS
        wrong += not is_whole or not 1 <= len(ends) <= 1 + again
    assert not wrong, f"{wrong} of {len(rows)} workflows have other events"


def check_sink(shop: Shop) -> None:
    """I18: the sink got every event, those of each subject in order; repeats have the same id."""
    store = shop.client.store
    head = store.events.head()
    until("the sink has all events", lambda: store.sinks.get(_NAME).position >= head, _ARRIVAL)
    seen: set[int] = set()
    last: Counter[str] = Counter()
    disordered = 0
    for line in _lines(_path(shop)):
        event = json.loads(line)
        position = int(event["sequence"])
        assert event["id"] == f"shop/{position}"
        if position not in seen:
            seen.add(position)
            disordered += position < last[event["partitionkey"]]
            last[event["partitionkey"]] = position
    missing = set(range(1, head + 1)) - seen
    assert not missing, f"{len(missing)} of {head} events never reached the sink"
    assert disordered == 0, f"{disordered} events came before an earlier one of their key"


def _lines(path: Path) -> Sequence[str]:
    """The whole lines; a process that was killed may have left a part of one."""
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return [line for line in lines if line.startswith("{") and line.endswith("}")]
