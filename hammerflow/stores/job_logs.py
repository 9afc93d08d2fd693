"""Job logs: what the attempts of jobs have logged, where their tasks keep it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hammerflow.jobs.log_lines import AttemptLog, log_of
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.rows import JobLogRow

__all__ = ["JobLogs", "LogSize"]

_log = logging.getLogger("hammerflow.stores")


class LogSize(NamedTuple):
    """How many lines an attempt has kept, and how many were dropped."""

    attempt: int
    lease: int
    lines: int
    dropped: int


class JobLogs:
    """The table ``job_logs``, which settles write; and workers, while attempts run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, job_id: bytes, attempt: int | None = None) -> Sequence[AttemptLog]:
        """The logs of a job, oldest first; of all attempts, or of those with one number.

        One that cannot be read, because something else has written it, is left out.
        """
        found = []
        for row in self._database.rows("job_logs", id=job_id, attempt=attempt):
            try:
                found.append(log_of(*row))
            except ValueError as error:
                _log.warning("left out a log of job %s: %s", uuid.UUID(bytes=job_id), error)
        return found

    def write_running(
        self, worker_id: int, rows: Sequence[JobLogRow], *, patience: float
    ) -> set[bytes]:
        """Write what attempts of this registration have logged so far; ids of those written.

        One that has ended, or whose lease is locked by its end, is left out: the end writes it all.

        Raises:
            LockedOut: the patience, in seconds, is over.
        """

        def write(tx: Tx) -> set[bytes]:
            ids = sorted(row.job_id for row in rows)
            held = {*tx.rows("leases_logging", worker_id=worker_id, ids=ids)}
            mine = [row for row in rows if (row.job_id, row.lease) in held]
            if mine:
                tx.many("job_logs_put", mine)
            return {row.job_id for row in mine}

        return self._database.unit(write, patience=patience)

    def sizes(self, job_id: bytes) -> Sequence[LogSize]:
        """How much each attempt has kept, oldest first."""
        return [LogSize(*row) for row in self._database.rows("job_log_sizes", id=job_id)]
