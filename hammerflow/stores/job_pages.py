"""Job pages: the ids of jobs by state, queue and task, each page a bounded read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hammerflow.ids import name_id
from hammerflow.jobs.job import FINAL_CODES, JobState
from hammerflow.stores.database import Database
from hammerflow.stores.ready_queues import queues_with_ready

__all__ = ["ids_page"]

#: Queues up to which each is asked for its newest ready jobs.
_QUEUES = 100
#: Rows of ``jobs`` or ``done`` that one page reads.
_SCANNED = 50_000
_HIGHEST = b"\xff" * 16


def ids_page(
    database: Database, state: JobState | None, queue: str | None, task: str | None,
    *, limit: int, before: bytes | None,
) -> tuple[Sequence[bytes], bytes | None]:  # fmt: skip
    """Ids of jobs, newest first, and the id before which the next page begins; None after the last.

    A page may be short, or empty, though more follow: jobs in a final state, and those of any, are
    kept by the million, and no index knows their queue, task or state.
    """
    values: dict[str, Any] = {"before": before or _HIGHEST, "n": limit + 1}
    values |= {"queue": queue and name_id(queue), "task": task and name_id(task)}
    if state is not None and state not in FINAL_CODES:
        ids = _live(database, state, values)
        return ids[:limit], ids[limit - 1] if len(ids) > limit else None
    table = "any" if state is None else "done"
    scanned = max(_SCANNED, limit + 1)
    if state is not None:
        values["state"] = FINAL_CODES[state]
    ids = database.column(f"ids_{table}", **values, scanned=scanned)
    if len(ids) > limit:
        return ids[:limit], ids[limit - 1]
    last = database.column(f"ids_{table}_last", before=values["before"], scanned=scanned - 1)
    return ids, last[0] if last else None


def _live(database: Database, state: JobState, values: dict[str, Any]) -> Sequence[bytes]:
    if state is JobState.READY:  # their key begins with the queue
        chosen = values["queue"]
        queues = queues_with_ready(database) if chosen is None else [chosen]
        if len(queues) <= _QUEUES:
            each = (database.column("ids_ready_in", **{**values, "queue": id_}) for id_ in queues)
            return sorted(itertools.chain.from_iterable(each), reverse=True)[: values["n"]]
    return database.column(f"ids_{state}", **values)
