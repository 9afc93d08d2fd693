"""NameTable: the names of queues and tasks, of which the hot tables hold numbers only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from hammerflow.ids import name_id, unnamed
from hammerflow.jobs.job import NewJob
from hammerflow.stores.clients import Clients
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.outbox import BELIEVED, Outbox

__all__ = ["BELIEVED", "NameTable"]

log = logging.getLogger("hammerflow.store")

_PAGE = 1_000


class NameTable:
    """The tables ``queues`` and ``tasks``: number (a hash of the name) to name.

    Rows can vanish under a living process: tables are emptied, a backup is restored. So what it has
    written is looked up again, by one query, before the first job after ``BELIEVED`` seconds, and
    what is missing is written again. A job that was written in between is served by its number.

    Attributes:
        outbox: what sinks want is read with the names.
        queues: those that this process knows to be in the table, until ``until``.
        tasks: likewise.
        until: by the monotonic clock.
        on_new_queues: called when this process has registered a queue, before the queue's first
            job is written.
    """

    def __init__(self, database: Database, clients: Clients, outbox: Outbox) -> None:
        self._database = database
        self._clients = clients
        self.outbox = outbox
        self.on_new_queues: Callable[[], None] = lambda: None
        self.queues: dict[int, str] = {}
        self.tasks: dict[int, str] = {}
        self.until = 0.0
        # A number's name never changes, so what was once read stays right.
        self._queues_read: dict[int, str] = {}
        self._tasks_read: dict[int, str] = {}

    def ensure(self, jobs: Iterable[NewJob], tx: Tx | None) -> None:
        """Insert the names of these jobs' queues and tasks, but those that this process knows."""
        if time.monotonic() >= self.until:
            self.verify(tx)
        queues = {job.queue for job in jobs if name_id(job.queue) not in self.queues}
        tasks = {job.task for job in jobs if name_id(job.task) not in self.tasks}
        if queues or tasks:
            self.register(queues=queues, tasks=tasks, tx=tx)

    def verify(self, tx: Tx | None = None) -> None:
        """Write again what this process has written and what is no longer in the tables."""
        until = time.monotonic() + BELIEVED
        self._clients.note(tx)
        known_queues, known_tasks = dict(self.queues), dict(self.tasks)  # threads add to them
        if known_queues or known_tasks:
            # In the caller's transaction where that is the only writer; see :meth:`register`.
            is_inside = tx is not None and self._database.dialect.one_writer
            rows = tx.rows if is_inside and tx is not None else self._database.rows
            numbers = sorted({*known_queues, *known_tasks})
            found: set[tuple[str, int]] = set()
            for at in range(0, len(numbers), _PAGE):
                found.update(rows("names_present", ids=numbers[at : at + _PAGE]))
            self.outbox.believe(sum(bits for what, bits in found if what == "wanted"))
            queues = [name for i, name in known_queues.items() if ("queue", i) not in found]
            tasks = [name for i, name in known_tasks.items() if ("task", i) not in found]
            if queues or tasks:
                log.warning(
                    "the names of %d queues and %d tasks were no longer in the database %s (were "
                    "its tables emptied, or a backup restored?): written again",
                    len(queues), len(tasks), self._database.label,
                )  # fmt: skip
                self.register(queues=queues, tasks=tasks, tx=tx)
        else:
            self.outbox.current()
        self.until = until

    def forget(self) -> None:
        """The database may be another one now: whatever is needed is written again."""
        self.queues, self.tasks = {}, {}
        self.until = self.outbox.until = 0.0

    def register(
        self, *, queues: Iterable[str] = (), tasks: Iterable[str] = (), tx: Tx | None = None
    ) -> None:
        """Insert the names that are missing.

        In a transaction of its own, so that no lock on a name is held until the caller commits.
        Where the database has one writer and ``tx`` is that writer, it must be inside ``tx``; the
        names are then not remembered, as ``tx`` may be rolled back.
        """
        queue_rows = [(name_id(name), name) for name in sorted(queues)]
        task_rows = [(name_id(name), name) for name in sorted(tasks)]

        def insert(tx: Tx) -> None:
            if queue_rows:
                tx.many("queue_ensure", queue_rows)
            if task_rows:
                tx.many("task_ensure", task_rows)

        if tx is not None and self._database.dialect.one_writer:
            insert(tx)
            return
        self._database.unit(insert)
        self.queues.update(queue_rows)
        self.tasks.update(task_rows)
        if queue_rows:
            self.on_new_queues()

    def queue(self, queue_id: int) -> str:
        """A queue's name; read from the table when this process has not met it."""
        return self._name(queue_id, self.queues, self._queues_read, "queue_names")

    def task(self, task_id: int) -> str:
        """A task's name; read from the table when this process has not met it."""
        return self._name(task_id, self.tasks, self._tasks_read, "task_names")

    def _name(
        self, number: int, written: dict[int, str], read: dict[int, str], statement: str
    ) -> str:
        if number in written:
            return written[number]
        if number not in read:
            read.update(self._database.rows(statement))
        return read.get(number) or unnamed(number)
