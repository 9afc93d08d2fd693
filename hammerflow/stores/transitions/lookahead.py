"""Lookahead: the waiting jobs of a long cascade, read and written by the hundred.

A cascade goes from level to level, and a chain has one job on each: with some statements for every
level, the end of 3 000 such jobs took 2 s on PostgreSQL. From the third narrow level on, all
that depends on it at any depth is locked and read at once, and the ends are written together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from hammerflow.stores.rows import Row, UnstartedRow, WaitingRow
from hammerflow.stores.transitions.unit import Unit
from hammerflow.stores.transitions.workflow_locks import WorkflowLocks

__all__ = ["Lookahead"]

#: Levels of a cascade that are read one by one; most have no more.
_USUAL_LEVELS = 2
#: Jobs of a level that is narrow: a wider one is worth its own statements.
_NARROW = 32
#: Jobs that are read ahead. MySQL and MariaDB follow dependencies to a depth of 1 000.
_AHEAD = 900


class Lookahead:
    """What :class:`DependencyResolver` reads and writes of waiting jobs, in one transaction.

    All rows of ``waiting`` in it are locked, so nobody else can change them, or add edges to them:
    ``attach_jobs`` locks the row of a job before it adds one. Members of workflows that are not
    locked yet are not read ahead, as their workflows are locked before them.
    """

    def __init__(self, unit: Unit, workflows: WorkflowLocks) -> None:
        self._unit = unit
        self._tx = unit.tx
        self._workflows = workflows
        self._levels = 0
        self._waiting: dict[bytes, WaitingRow] = {}
        self._absent: set[bytes] = set()  # asked for, and not waiting
        self._links: dict[bytes, Row] = {}  # of those that were read ahead
        self._edges: dict[bytes, list[Row]] = {}
        self._left: list[bytes] = []  # to be deleted from ``waiting``
        self._ended: list[UnstartedRow] = []

    def begin_level(self) -> None:
        """The next level of the cascade begins."""
        self._levels += 1

    def lock(self, job_ids: Iterable[bytes]) -> list[WaitingRow]:
        """Lock those of these jobs that wait, and return their rows in the order of their ids."""
        ids = sorted(job_ids)
        if self._levels > _USUAL_LEVELS and len(ids) <= _NARROW:
            if not all(id_ in self._waiting or id_ in self._absent for id_ in ids):
                self._read_ahead(ids)
            return [self._waiting[id_] for id_ in ids if id_ in self._waiting]
        self.flush()
        return [WaitingRow._make(row) for row in self._tx.rows("waiting_lock", ids=ids)]

    def edges_of(self, ids: Sequence[bytes]) -> list[Row]:
        """(parent, child, kind) of the edges that start at these jobs and workflows."""
        if all(id_ in self._edges for id_ in ids):
            return [edge for id_ in ids for edge in self._edges[id_]]
        return [*self._tx.rows("edges_of", ids=ids)]

    def links_of(self, job_ids: Sequence[bytes]) -> list[Row]:
        """The rows of ``ended_links`` of these jobs."""
        if all(id_ in self._links for id_ in job_ids):
            return [self._links[id_] for id_ in job_ids]
        return [*self._tx.rows("ended_links", ids=job_ids)]

    def count(
        self, job_ids: Sequence[bytes], *, n: int, failed: int, skipped: int, cause: bytes | None
    ) -> None:
        """Count ends at jobs that go on waiting."""
        counts = {"n": n, "failed": failed, "skipped": skipped, "cause": cause}
        self._tx.run("waiting_count", ids=sorted(job_ids), **counts)
        for id_ in job_ids:
            if (row := self._waiting.get(id_)) is not None:
                self._waiting[id_] = row._replace(
                    pending=row.pending - n, failed=row.failed + failed,
                    skipped=row.skipped + skipped, cause=row.cause or cause,
                )  # fmt: skip

    def leave(self, job_ids: Sequence[bytes]) -> None:
        """Delete the rows of jobs that wait no longer."""
        for id_ in job_ids:
            self._waiting.pop(id_, None)
        self._left += job_ids
        if not self._waiting:
            self.flush()

    def end(self, rows: Sequence[UnstartedRow]) -> None:
        """Insert the ends of jobs that will not run."""
        self._ended += rows
        self._unit.records.note("done_insert_unstarted", rows)
        if not self._waiting:
            self.flush()

    def flush(self) -> None:
        """Write all that was kept back."""
        if self._left:
            self._tx.run("waiting_delete", ids=sorted(self._left))
            self._left = []
        if self._ended:
            self._tx.many("done_insert_unstarted", self._ended)
            self._ended = []

    def forget(self) -> None:
        """Write all that was kept back, and drop the rows that were read: others change ``waiting``
        now, or the cascade is over."""
        self.flush()
        self._levels = 0
        self._waiting.clear()
        self._absent.clear()
        self._links.clear()
        self._edges.clear()

    def _read_ahead(self, ids: Sequence[bytes]) -> None:
        self.flush()
        wanted = set(ids)
        for id_, workflow_id in self._tx.rows("waiting_below", ids=ids, n=_AHEAD):
            if workflow_id is None or workflow_id in self._workflows:
                wanted.add(id_)
        unread = sorted(wanted - self._waiting.keys())
        found = [WaitingRow._make(row) for row in self._tx.rows("waiting_lock", ids=unread)]
        self._waiting |= {row.job_id: row for row in found}
        self._absent.update(id_ for id_ in ids if id_ not in self._waiting)
        locked = [row.job_id for row in found]
        edges = defaultdict(list)
        for edge in self._tx.rows("edges_of", ids=locked) if locked else ():
            edges[edge[0]].append(edge)
        self._edges |= {id_: edges[id_] for id_ in locked}
        links = self._tx.rows("ended_links", ids=locked) if locked else ()
        self._links |= {link[0]: link for link in links}
