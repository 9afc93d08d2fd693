"""Job logs: what the attempts of jobs have logged, where their tasks keep it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hammerflow.jobs.job import FINAL_STATES, JobState
from hammerflow.jobs.log_lines import AttemptLog, log_of
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.rows import JobLogRow
from hammerflow.stores.transitions.unit import in_chunks

__all__ = ["JobLogs", "LogEnd", "LogSize"]

_log = logging.getLogger("hammerflow.stores")
_PAGE = 1_000  # jobs of one query
_ENDS = {**FINAL_STATES, -1: JobState.PARKED}


class LogSize(NamedTuple):
    """How many lines an attempt has kept, and how many were dropped."""

    attempt: int
    lease: int
    lines: int
    dropped: int


class LogEnd(NamedTuple):
    """How far the log of a job has come.

    Attributes:
        state: how the job has ended, or that it is parked; None while a line may come.
        lease: of the newest attempt that has kept lines; None without one.
        line: how many lines that one has kept and dropped.
    """

    state: JobState | None
    lease: int | None
    line: int


class JobLogs:
    """The table ``job_logs``, which settles write; and workers, while attempts run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(
        self, job_id: bytes, attempt: int | None = None, *, since: int = 0
    ) -> Sequence[AttemptLog]:
        """The logs of a job, oldest first; of all attempts, or of those with one number.

        One that cannot be read, because something else has written it, is left out.

        Args:
            since: the first lease.
        """
        found = []
        for row in self._database.rows("job_logs", id=job_id, attempt=attempt, since=since):
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

    def ends(self, job_ids: Sequence[bytes]) -> dict[bytes, LogEnd]:
        """How far the logs of these jobs have come; those that are gone are left out.

        Of a job that has ended, all lines can be read.
        """
        return {
            row[0]: LogEnd(_ENDS.get(row[1]), row[2], row[3] or 0)
            for ids in in_chunks(job_ids, _PAGE)
            for row in self._database.rows("job_log_ends", ids=ids)
        }

    def sizes(self, job_id: bytes) -> Sequence[LogSize]:
        """How much each attempt has kept, oldest first."""
        return [LogSize(*row) for row in self._database.rows("job_log_sizes", id=job_id)]
