"""NameTable: the names of queues and tasks, of which the hot tables hold numbers only."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hammerflow.ids import name_id
from hammerflow.jobs.job import NewJob
from hammerflow.stores.database import Database, Tx

__all__ = ["NameTable"]


class NameTable:
    """The tables ``queues`` and ``tasks``: number (a hash of the name) to name.

    ``queues`` and ``tasks`` are those that this process knows to be in the table. ``on_new_queues``
    is called when this process has registered a queue, before the queue's first job is written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_new_queues: Callable[[], None] = lambda: None
        self.queues: dict[int, str] = {}
        self.tasks: dict[int, str] = {}

    def ensure(self, jobs: Iterable[NewJob], tx: Tx | None) -> None:
        """Insert the names of these jobs' queues and tasks, but those that this process knows."""
        queues = {job.queue for job in jobs if name_id(job.queue) not in self.queues}
        tasks = {job.task for job in jobs if name_id(job.task) not in self.tasks}
        if queues or tasks:
            self.register(queues=queues, tasks=tasks, tx=tx)

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
        if queue_id not in self.queues:
            self.queues.update(self._database.rows("queue_names"))
        return self.queues.get(queue_id, str(queue_id))

    def task(self, task_id: int) -> str:
        """A task's name; read from the table when this process has not met it."""
        if task_id not in self.tasks:
            self.tasks.update(self._database.rows("task_names"))
        return self.tasks.get(task_id, str(task_id))
