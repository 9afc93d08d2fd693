"""Operations: changes of many jobs, with their progress."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hammerflow.stores.database import Database
from hammerflow.text import REASON, storable

__all__ = ["BulkOperation", "Operations"]

#: Seconds without progress after which its process counts as dead.
_SILENT = 60.0


class BulkOperation(NamedTuple):
    """A change of many jobs.

    Attributes:
        wanted: the filter.
        state: running, done, failed, stopped, undone, or lost: its process has died.
        total: jobs that matched when it began.
        done: jobs that it has dealt with, of which it could not change ``failed``.
    """

    id: bytes
    action: str
    by: str
    wanted: Mapping[str, Any]
    at: datetime
    state: str
    total: int
    done: int
    failed: int
    error: str | None


class Operations:
    """The table ``operations``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self, id_: bytes, action: str, wanted: Mapping[str, Any], *, by: str, total: int
    ) -> None:
        """Note that one begins."""
        text = storable(json.dumps(dict(wanted), default=str))
        values = {"action": action, "by": storable(by), "wanted": text, "total": total}
        self._database.run("operation_insert", id=id_, **values)

    def beat(self, id_: bytes, done: int, failed: int) -> bool:
        """Note how far it is; False if somebody has stopped it."""
        return self._database.run("operation_beat", id=id_, done=done, failed=failed) > 0

    def end(self, id_: bytes, state: str, done: int, failed: int, error: str | None = None) -> None:
        """Note that it is over."""
        values = {"state": state, "done": done, "failed": failed}
        error = None if error is None else storable(error, REASON)
        self._database.run("operation_end", id=id_, error=error, **values)

    def stop(self, id_: bytes) -> bool:
        """Let it end after its chunk; False if it has ended."""
        return self._database.run("operation_stop", id=id_) > 0

    def get(self, id_: bytes) -> BulkOperation | None:
        """One operation."""
        rows = self._database.rows("operations_page", before=None, only=id_, n=1)
        return _operation(rows[0]) if rows else None

    def page(
        self, *, limit: int, before: bytes | None = None
    ) -> tuple[Sequence[BulkOperation], bytes | None]:
        """Operations, newest first, and the id before which the next page begins."""
        rows = self._database.rows("operations_page", before=before, only=None, n=limit + 1)
        found = [_operation(row) for row in rows[:limit]]
        return found, found[-1].id if len(rows) > limit else None

    def ids_between(self, low: bytes, high: bytes, limit: int) -> Sequence[bytes]:
        """The first ``limit`` ids from ``low`` to ``high``, both included."""
        return self._database.column("operations_between", low=low, high=high, n=limit)


def _operation(row: tuple[Any, ...]) -> BulkOperation:
    id_, action, by, wanted, at, silent, state, total, done, failed, error = row
    state = "lost" if state == "running" and silent > _SILENT else state
    counts = int(total), int(done), int(failed)
    moment = datetime.fromtimestamp(at, UTC)
    return BulkOperation(id_, action, by, json.loads(wanted), moment, state, *counts, error)
