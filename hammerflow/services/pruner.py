"""Pruner: deletes or archives ended jobs whose retention is over, and purges the archive, slowly,
in turns with the other workers."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.jobs.retention import Lifetimes
from hammerflow.stores.retention.retention import Walk
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["Pruner"]

log = logging.getLogger("hammerflow.retention")

#: Seconds until the turn of a worker that has not noted its end passes to another.
_HOLD = 30.0
#: Seconds between two walks over all ended jobs, and between two questions whose turn it is.
_REST, _ASK = 60.0, 5.0
#: A page is followed by a pause this many times as long, so that removing takes a tenth of the time
#: of one connection, however many workers there are.
_PAUSES = 9.0
#: Where a page holds the only writer (SQLite), every settle waits for it, and for a while longer as
#: it sleeps between two tries: a thirtieth. Waiting for the writer costs nobody anything, and
#: does not count: else removing would hardly go on while several workers are busy.
_PAUSES_OF_ONE_WRITER = 29.0
#: Seconds between two walks over the archive, at least and at most. A pack of 1 000 jobs is written
#: again each time that some of them go.
_ARCHIVE_REST = (60.0, 3_600.0)


@dataclass(eq=False)
class Pruner:
    """One walk at a time goes over the ended jobs of a database; who ticks when it is due goes on
    with it, also where another worker has left it."""

    store: Store
    _: KW_ONLY
    default: Lifetimes  # of the settings
    archive_ttl: float | None = None  # seconds
    _walk: Walk = field(init=False, default_factory=Walk)
    _archive_after: bytes = field(init=False, default=bytes(16))
    _archive_due: float = field(init=False, default=0.0)
    _purged: int = field(init=False, default=0)

    def tick(self, now: float) -> float:
        """Do the next page, if it is due and no other worker does it."""
        retention = self.store.retention
        if not retention.take_turn(_HOLD):
            progress = retention.progress()
            due_in = progress.due_in if progress is not None else 0.0
            return max(due_in, 0.0) + random.uniform(0.5, 1.0) * _ASK
        begun = time.monotonic()
        self._resume()
        before, waited = self._walk.removed, self._walk.waited
        if self.archive_ttl is not None and begun >= self._archive_due:
            self._purge_archive(self.archive_ttl)
        else:
            self._walk.spared = self.store.statistics.uncounted_for()
            retention.step(self._walk, retention.policy(self.default))
        rest = _PAUSES_OF_ONE_WRITER if self.store.database.dialect.one_writer else _PAUSES
        took = time.monotonic() - begun - (self._walk.waited - waited)
        pause = _REST if self._walk.is_over else rest * took
        retention.end_turn(self._walk, self._walk.removed - before, pause)
        if self._walk.is_over:
            clock = self.store.clock()
            self.store.access.prune(clock)
            self.store.webhooks.prune(clock)
            for verb, count in ("removed", self._walk.removed), ("archived", self._walk.archived):
                if count:
                    log.info("%s %s whose retention was over", verb, counted(count, "job"))
        return pause

    def _purge_archive(self, ttl: float) -> None:
        """Do the next page of a walk over the archive."""
        purged, after = self.store.archive.purge_expired(ttl, self._archive_after)
        self._purged += purged
        self._archive_after = after or bytes(16)
        if after is None:
            least, most = _ARCHIVE_REST
            self._archive_due = time.monotonic() + min(most, max(least, ttl / 24))
            if self._purged:
                log.info("purged %s from the archive", counted(self._purged, "job"))
            self._purged = 0

    def _resume(self) -> None:
        """Go on where the walk under way is, which another worker may have begun."""
        progress = self.store.retention.progress()
        position = None if progress is None else progress.position
        if position is None:
            self._walk = Walk(size=self._walk.size, rows=self._walk.rows)
        elif position != self._walk.position:
            self._walk = Walk(position, size=self._walk.size, rows=self._walk.rows)
