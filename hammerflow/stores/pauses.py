"""Pauses: of the whole app, of queues and of tasks; who paused them, when and why."""

from __future__ import annotations

import enum
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hammerflow.errors import StoreUnavailable
from hammerflow.events.kinds import EventKind
from hammerflow.ids import name_id
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.text import storable, timestamp

__all__ = ["Pause", "PauseKind", "Pauses", "count_pauses"]

#: Seconds that a pause waits for claims that began before it; they take milliseconds.
_LONGEST_CLAIM = 20.0
_GLANCE = 0.002


class PauseKind(enum.IntEnum):
    """What is paused, as the table ``pauses`` has it."""

    APP = 0
    QUEUE = 1
    TASK = 2

    def label(self, name: str) -> str:
        """``queue mail``; ``the app``."""
        return f"{self.name.lower()} {name}" if self else "the app"


_PAUSED = {kind: EventKind[f"{kind.name}_PAUSED"] for kind in PauseKind}
_RESUMED = {kind: EventKind[f"{kind.name}_RESUMED"] for kind in PauseKind}


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that holds now.

    Attributes:
        kind: ``app``, ``queue`` or ``task``.
        name: of the queue or task; empty for the app.
        paused_at: by the database's clock; every claim before it has ended by then.
        paused_by: ``user@host``, unless something else was given.
        reason: why.
    """

    kind: str
    name: str
    paused_at: datetime
    paused_by: str
    reason: str

    @property
    def remedy(self) -> str:
        """The command that ends it."""
        return " ".join(filter(None, ["hammerflow", self.kind, "resume", self.name]))

    def __str__(self) -> str:
        """``paused since 2026-11-27 08:00:00+01:00 by ann@web1 (upgrade)``."""
        text = f"paused since {timestamp(self.paused_at.astimezone())}"
        text += f" by {self.paused_by}" if self.paused_by else ""
        return text + (f" ({self.reason})" if self.reason else "")


class Pauses:
    """The table ``pauses``."""

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._names = names

    def pause(self, kind: PauseKind, name: str = "", *, by: str = "", reason: str = "") -> None:
        """Pause the app, a queue or a task, which need not exist yet. Once this returns, no claim
        takes a job of it; jobs that were claimed before go on.

        Claims read this table, and pay nothing for the order between them and a pause:

        - SQLite has one writer.
        - A claim on MySQL shares a lock on the row of the app, which the pause waits for.
        - PostgreSQL would write such a lock into the row. So there the pause waits, after its
          commit, for the claims that may not have seen it.

        Raises:
            StoreUnavailable: a claim that began before has not ended; the pause holds, but that
                claim may still take jobs.
        """
        if kind is PauseKind.QUEUE:
            self._names.register(queues=[name])
        elif kind is PauseKind.TASK:
            self._names.register(tasks=[name])
        place = {"kind": int(kind), "id": _id(kind, name)}

        def write(tx: Tx) -> None:
            if tx.has("pause_turn"):
                tx.run("pause_turn")
            values = {"name": name, "by": storable(by), "reason": storable(reason)}
            tx.run("pause_put", **place, **values)
            count_pauses(tx)
            told = {"name": name, "by": by, "reason": reason}
            self._names.outbox.note(tx, _PAUSED[kind], _id(kind, name), **told)

        self._database.unit(write)
        if "claims_underway" in self._database.dialect.statements:
            self._wait_for_claims(kind.label(name))
            self._database.run("pause_stamp", **place)

    def resume(self, kind: PauseKind, name: str = "") -> bool:
        """End a pause; False if there was none. Another pause may still hold the same jobs."""

        def write(tx: Tx) -> int:
            if tx.has("pause_turn"):
                tx.run("pause_turn")
            ended = tx.run("pause_end", kind=int(kind), id=_id(kind, name))
            count_pauses(tx)
            if ended:
                self._names.outbox.note(tx, _RESUMED[kind], _id(kind, name), name=name)
            return ended

        return self._database.unit(write) > 0

    def list(self) -> Sequence[Pause]:
        """All pauses: the app's, then those of queues, then those of tasks, by name."""
        return self._pauses(self._database.rows("pauses_list"))

    def of(self, queue: str, task: str) -> Sequence[Pause]:
        """The pauses that keep jobs of this task in this queue from being claimed."""
        place = {"queue_id": name_id(queue), "task_id": name_id(task)}
        return self._pauses(self._database.rows("pauses_of", **place))

    def held_jobs(self) -> Mapping[str, Counter[str]]:
        """Ready and scheduled jobs of paused tasks: queue to state to number. It counts them."""
        held: dict[str, Counter[str]] = {}
        for queue, state, count in self._database.rows("paused_task_counts"):
            held.setdefault(queue, Counter())[state] = count
        return held

    def _pauses(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[Pause]:
        instant = self._database.dialect.instant
        return [
            Pause(PauseKind(kind).name.lower(), name, at, by or "", reason or "")
            for kind, name, moment, by, reason in rows
            if (at := instant(moment)) is not None
        ]

    def _wait_for_claims(self, what: str) -> None:
        """Wait until the claims that are under way now have ended."""
        underway = set(self._database.rows("claims_underway"))
        deadline = time.monotonic() + _LONGEST_CLAIM
        while underway:
            if time.monotonic() > deadline:
                pids = ", ".join(sorted({str(pid) for pid, _ in underway}))
                raise StoreUnavailable(
                    f"{what} is paused, but a claim that began before has not ended after "
                    f"{_LONGEST_CLAIM:g} s and may still take jobs: see PostgreSQL's process {pids}"
                )
            time.sleep(_GLANCE)
            underway &= set(self._database.rows("claims_underway"))


def count_pauses(tx: Tx) -> None:
    """Note how many pauses hold, for claims that read only that."""
    if tx.has("pause_live"):
        tx.run("pause_live", live=len(tx.rows("pauses_list")))


def _id(kind: PauseKind, name: str) -> int:
    return name_id(name) if kind else 0
