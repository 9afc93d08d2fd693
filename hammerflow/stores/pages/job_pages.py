"""Job pages: the ids of jobs by state, queue and task, each page a bounded read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.filters import OLDER_JOBS
from hammerflow.jobs.job import FINAL_CODES, Job, JobState
from hammerflow.stores.database import Database
from hammerflow.stores.pages.ready_queues import queues_with_ready

__all__ = ["Span", "ids_page", "jobs_of_pages"]

#: Queues up to which each is asked for its newest ready jobs.
_QUEUES = 100
#: Rows of ``jobs`` or ``done`` that one page reads.
_SCANNED = 50_000
_HIGHEST = b"\xff" * 16
_PAGE = 500  # jobs that are read at a time where some of them may be left out
_SKEW = 1.0  # seconds by which a client's clock may be wrong


class Span(NamedTuple):
    """When jobs ended, or were enqueued if they have not ended: from ``since`` on and before
    ``until``; None for no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def has(self, job: Job) -> bool:
        """Whether the job falls into it."""
        at = job.finished_at or job.created_at
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


class JobPage(Protocol):
    """Reads a page of jobs, as :meth:`hammerflow.stores.jobs.Jobs.page` does."""

    def __call__(
        self, *, limit: int, before: bytes | None
    ) -> tuple[Sequence[Job], bytes | None]: ...


def jobs_of_pages(page: JobPage, span: Span, limit: int, before: bytes | None) -> list[Job]:
    """The first ``limit`` jobs of pages that fall into a span.

    Those that were enqueued before the span may have ended in it: the newest 100 000 of these are
    read, too.
    """
    is_any = span == (None, None)
    if span.until is not None:  # people need not read through what came later
        before = min(before or _HIGHEST, first_id_at(span.until.timestamp() + _SKEW))
    oldest = bytes(16) if span.since is None else first_id_at(span.since.timestamp() - _SKEW)
    found: list[Job] = []
    older, least = OLDER_JOBS, 0
    while (rest := limit - len(found)) > 0 and older > 0:
        size = max(rest, least)
        jobs, before = page(limit=size, before=before)
        found += jobs if is_any else [job for job in jobs if span.has(job)]
        if before is None:
            break
        least = 0 if is_any else _PAGE  # the first page often has all that was asked for
        older -= size if before < oldest else 0
    return found[:limit]


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
        if chosen is None and values["task"] is None:
            return _newest_ready(database, values["before"], values["n"])
        queues = queues_with_ready(database, most=_QUEUES + 1) if chosen is None else [chosen]
        if len(queues) <= _QUEUES:
            each = (database.column("ids_ready_in", **{**values, "queue": id_}) for id_ in queues)
            return sorted(itertools.chain.from_iterable(each), reverse=True)[: values["n"]]
    return database.column(f"ids_{state}", **values)


def _newest_ready(database: Database, before: bytes, n: int) -> Sequence[bytes]:
    """Of all queues: place after place of the key, the one with the newest job first."""
    found: list[bytes] = []
    for queue, order, top in database.rows("ready_tops", before=before, n=n):
        if len(found) == n and top < found[-1]:
            break  # what follows is older still
        place = {"queue": queue, "priority_order": order}
        found += database.column("ready_newest", **place, before=before, n=n)
        found = sorted(found, reverse=True)[:n]
    return found
