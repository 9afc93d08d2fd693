"""Names: queues and tasks as rows, so that views can say names where hot tables hold numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hammerflow.ids import name_id
from hammerflow.jobs.job import NewJob
from hammerflow.stores.database import Database, Tx

__all__ = ["NameTable"]


class NameTable:
    """The tables ``queues`` and ``tasks``.

    Attributes:
        queues, tasks: id to name, as far as this process knows them to be in their tables.
        on_new_queues: called when this process has met a queue, before its first job is written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_new_queues: Callable[[], None] = lambda: None
        self.queues: dict[int, str] = {}
        self.tasks: dict[int, str] = {}

    def ensure(self, jobs: Iterable[NewJob], tx: Tx | None) -> None:
        """See to it that the names of these jobs' queues and tasks are in their tables."""
        queues = {job.queue for job in jobs if name_id(job.queue) not in self.queues}
        tasks = {job.task for job in jobs if name_id(job.task) not in self.tasks}
        if queues or tasks:
            self.register(queues=queues, tasks=tasks, tx=tx)

    def register(
        self, *, queues: Iterable[str] = (), tasks: Iterable[str] = (), tx: Tx | None = None
    ) -> None:
        """Insert the names that are not there; in a transaction of its own, except on a database
        with one writer whose transaction ``tx`` is open (and may be rolled back: not remembered).
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
