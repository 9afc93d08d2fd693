"""Workflow pages: the ids of workflows by kind, status and time, each page a bounded read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from hammerflow.ids import first_id_at
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.stores.database import Database

__all__ = ["WorkflowFilter", "workflow_ids_page"]

#: Rows of ``workflows`` that one page reads.
_SCANNED = 50_000
_HIGHEST = b"\xff" * 16
_SKEW = 1.0  # seconds
#: Codes of WorkflowState for each WorkflowStatus.
_CODES: Mapping[WorkflowStatus, Sequence[int]] = {
    WorkflowStatus.RUNNING: (1, 3, 4),
    WorkflowStatus.PAUSED: (2,),
    WorkflowStatus.COMPLETED: (5,),
    WorkflowStatus.FAILED: (6,),
    WorkflowStatus.CANCELLED: (7,),
}


class WorkflowFilter(NamedTuple):
    """Which workflows are meant; None does not matter.

    Attributes:
        kind: workflow, batch, chain, group or chord.
        since: it ended, or was created if it has not ended, at this time or later.
        until: likewise, before this time.
    """

    status: WorkflowStatus | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def newest(self) -> bytes:
        """An id above those of all that may match, unless a client's clock was wrong by more than
        a second: what came later is not read through."""
        return _HIGHEST if self.until is None else first_id_at(self.until.timestamp() + _SKEW)


def workflow_ids_page(
    database: Database, wanted: WorkflowFilter, *, limit: int, before: bytes | None
) -> tuple[Sequence[bytes], bytes | None]:
    """Ids of workflows, newest first, and the id before which the next page begins; None after the
    last.

    A page may be short, or empty, though more follow: chains may be there by the million, and no
    index knows their kind, status or time.
    """
    scanned = max(_SCANNED, limit + 1)
    time, before = database.dialect.time, before or _HIGHEST
    codes = [code for each in _CODES.values() for code in each]
    ids = database.column(
        "workflow_ids", codes=codes if wanted.status is None else [*_CODES[wanted.status]],
        kind=wanted.kind, since=time(wanted.since), until=time(wanted.until), before=before,
        n=limit + 1, scanned=scanned,
    )  # fmt: skip
    if len(ids) > limit:
        return ids[:limit], ids[limit - 1] if limit else None
    last = database.column("workflow_ids_last", before=before, scanned=scanned - 1)
    return ids, last[0] if last else None
