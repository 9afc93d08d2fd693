"""Queues: their names and counts; their pauses by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hammerflow.ids import name_id
from hammerflow.stores.database import Database
from hammerflow.stores.names import NameTable
from hammerflow.stores.pages.ready_queues import next_with_ready, queues_with_ready
from hammerflow.stores.pauses import PauseKind, Pauses

__all__ = ["QueueStatus", "Queues"]


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One queue: whether it is paused, and its number of jobs in each live state."""

    name: str
    paused_at: datetime | None  # None: it is not paused itself
    paused_by: str | None  # ``user@host`` from the command line
    reason: str | None
    ready: int
    running: int
    scheduled: int
    waiting: int
    parked: int


class Queues:
    """The table ``queues``."""

    def __init__(self, database: Database, names: NameTable, pauses: Pauses) -> None:
        self._database = database
        self._names = names
        self._pauses = pauses

    def list(self) -> Sequence[QueueStatus]:
        """All queues in the order of their names, with exact numbers: it counts the live tables, so
        views use :class:`QueueStats`."""
        rows = self._database.rows("queue_counts")
        instant = self._database.dialect.instant
        return [QueueStatus(row[0], instant(row[1]), *row[2:]) for row in rows]

    def names(self) -> set[str]:
        """Names of all queues that the database knows, and numbers of those that it has lost."""
        return {name for _, name in self._database.rows("queue_names")} | self.unnamed()

    def registered(self) -> Sequence[str]:
        """Names of the queues that have a row, in order; ready jobs are not read for others."""
        return sorted(name for _, name in self._database.rows("queue_names"))

    def knows(self, name: str) -> bool:
        """Whether :meth:`names` has a name; that of a row is found without reading ready jobs."""
        return any(known == name for _, known in self._database.rows("queue_names")) or (
            name in self.unnamed()
        )

    def next_ready(self, after: int | None) -> int | None:
        """The number of the next queue with ready jobs behind a number, or of the first one."""
        return next_with_ready(self._database, after)

    def unnamed(self) -> set[str]:
        """Queues with ready jobs that have no row, because it was deleted or an older backup was
        restored: by their names where this process knows them, which it writes again, else by their
        numbers (:func:`hammerflow.ids.unnamed`), under which they can be served."""
        named = {number for number, _ in self._database.rows("queue_names")}
        found = set(queues_with_ready(self._database)) - named
        lost = {self._names.queue(number) for number in found}
        known = {name for name in lost if not name.startswith("#")}
        if known:
            self._names.register(queues=known)
        return lost

    def seen(self) -> tuple[set[str], set[str]]:
        """(names of the queues that rest, names of all queues), by one query: all of them rest
        while the app is paused."""
        rows = self._database.rows("queues_seen")
        return {name for _, name, is_paused in rows if is_paused}, {name for _, name, _ in rows}

    def paused(self) -> set[str]:
        """Names of the queues that are paused themselves."""
        return {pause.name for pause in self._pauses.list() if pause.kind == "queue"}

    def ahead(self, name: str, priority: int, job_id: bytes, *, most: int) -> int:
        """How many ready jobs of a queue, counted up to ``most``, are claimed before this one."""
        place = {"queue_id": name_id(name), "priority_order": 4 - priority, "id": job_id}
        return int(self._database.column("ready_ahead", **place, n=most)[0])

    def pause(self, name: str, *, by: str = "", reason: str = "") -> None:
        """Pause a queue; see :meth:`Pauses.pause`."""
        self._pauses.pause(PauseKind.QUEUE, name, by=by, reason=reason)

    def resume(self, name: str) -> bool:
        """Let workers claim from the queue again; False if it was not paused."""
        return self._pauses.resume(PauseKind.QUEUE, name)
