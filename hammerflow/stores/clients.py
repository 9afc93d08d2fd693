"""Clients: which doorbells are rung for new jobs, so that a worker can say if nobody hears them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.ids import name_id
from hammerflow.stores.database import Database, Tx

__all__ = ["Clients"]

#: Seconds between two notes of one process.
_PAUSE = 60.0
#: Seconds after which a doorbell counts as no longer rung.
_RECENT = 300.0


class Clients:
    """The table ``clients``: one row for each doorbell, with the time of its last note.

    Args:
        doorbell: what this process rings; None where nobody has said it.
    """

    def __init__(self, database: Database, doorbell: Mapping[str, Any] | None) -> None:
        self._database = database
        self._row = None if doorbell is None else _row(doorbell)
        self._due = 0.0  # by the monotonic clock

    def note(self, tx: Tx | None) -> None:
        """Write down that this process enqueues jobs, once a minute at most.

        In a transaction of its own; in ``tx`` where that is the database's one writer.
        """
        now = time.monotonic()
        if self._row is None or now < self._due:
            return
        if tx is not None and self._database.dialect.one_writer:
            tx.run("client_note", **self._row)  # may be rolled back, so it stays due
            return
        self._database.run("client_note", **self._row)
        self._due = now + _PAUSE

    def doorbells(self) -> Sequence[Mapping[str, Any]]:
        """The doorbells that were rung in the last five minutes."""
        return [json.loads(text) for text in self._database.column("clients_of", age=_RECENT)]


def _row(doorbell: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(dict(doorbell), sort_keys=True)
    return {"id": name_id(text), "doorbell": text}
