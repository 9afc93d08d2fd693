"""Records of a transaction: the events that follow from the rows which it writes.

Most events follow from the insert of a row, so they are noted where every insert passes; what no
insert tells is noted by the transition itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record, RecordRun
from hammerflow.jobs.job import FINAL_CODES, JobState
from hammerflow.stores.rows import Row

__all__ = ["ENDED", "NOTHING", "Records"]

#: By the code of a final state in ``done``.
ENDED: Mapping[int, EventKind] = {
    FINAL_CODES[JobState.COMPLETED]: EventKind.JOB_COMPLETED,
    FINAL_CODES[JobState.FAILED]: EventKind.JOB_FAILED,
    FINAL_CODES[JobState.CANCELLED]: EventKind.JOB_CANCELLED,
    FINAL_CODES[JobState.SKIPPED]: EventKind.JOB_SKIPPED,
}
#: By the kind of a row of ``errors``; the others tell of ends and retries, which have their own.
_OF_ERRORS = {
    "lost": EventKind.JOB_LOST,
    "suspected": EventKind.JOB_LOST,
    "replayed": EventKind.JOB_REPLAYED,
    "replaced": EventKind.JOB_REPLACED,
    "edited": EventKind.JOB_EDITED,
}


class Records:
    """Notes the wanted events of one transaction.

    Attributes:
        wanted: bits of kinds; 0: no event is noted.
        noted: the records, causes before effects.
    """

    __slots__ = ("noted", "wanted")

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.noted: list[Record | RecordRun] = []

    def add(
        self, kind: int, id_: bytes, lease: int = 0, attempt: int = 0,
        detail: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Note an event, if a sink wants its kind."""
        if self.wanted >> kind & 1:
            self.noted.append(Record(kind, id_, lease, attempt, detail))

    def add_runs(self, runs: Iterable[RecordRun]) -> None:
        """Note events of many jobs at once, if a sink wants their kind."""
        self.noted += [run for run in runs if self.wanted >> run.kind & 1]

    def note(self, statement: str, rows: Sequence[Row]) -> None:
        """Note the events of rows that are inserted by this statement."""
        record = _RECORDS.get(statement)
        if record is not None and self.wanted:
            for row in rows:
                self.add(*record(row))


#: Of a transaction whose events nobody wants.
NOTHING = Records(0)

_Noted = tuple[int, bytes, int, int]
#: Of a row that tells of nothing: a kind that does not exist, so nobody wants it.
_NONE = 0


def _enqueued(row: Row) -> _Noted:
    return EventKind.JOB_ENQUEUED, row[0], 0, 0


def _done(row: Row) -> _Noted:
    return ENDED[row[5]], row[0], row[2], row[1]


def _unstarted(row: Row) -> _Noted:
    return ENDED[row[3]], row[0], row[2], row[1]


def _parked(row: Row) -> _Noted:
    return EventKind.JOB_PARKED, row[0], row[4], row[5]


def _error(row: Row) -> _Noted:
    return _OF_ERRORS.get(row[2], _NONE), row[0], row[1], row[3]


def _workflow(row: Row) -> _Noted:
    return EventKind.WORKFLOW_STARTED, row[0], 0, 0


def _spawned(row: Row) -> _Noted:
    return EventKind.SPAWN_COMPLETED if row[8] is None else _NONE, row[0], row[1], 0


#: By the name of the statement.
_RECORDS: Mapping[str, Callable[[Row], _Noted]] = {
    "jobs_insert": _enqueued,
    "jobs_insert_limited": _enqueued,
    "done_insert": _done,
    "done_insert_unstarted": _unstarted,
    "parked_insert": _parked,
    "errors_insert": _error,
    "workflows_insert": _workflow,
    "spawns_insert": _spawned,
}
