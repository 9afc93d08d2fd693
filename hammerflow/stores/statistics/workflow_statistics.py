"""Workflow statistics: runs of workflows by minute, hour and day, next to those of jobs.

They are counted in the same turns and transactions as the jobs (see ``statistics.py``): each figure
is what a query over the workflows gave that ended in its minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from hammerflow.jobs.histogram import Histogram
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.rows import Row

__all__ = ["NodeTime", "WorkflowCounts", "WorkflowFigures", "counts_of", "slowest_node"]

#: Names of workflows that a span counts each; the rest is counted together, without a name, as who
#: names each run otherwise would fill the table.
_NAMES = 500
_OTHERS = ""
#: Ended workflows that are read to find the last runs of a name, such runs, and their members.
_SCANNED, _RUNS, _MEMBERS = 5_000, 20, 20_000

_Key = tuple[str, str, int]  # kind, name, state


@dataclass(slots=True)
class WorkflowCounts:
    """Runs of one kind and name that ended in one span with one status.

    Attributes:
        begin: of the span.
        status: completed, failed or cancelled.
        times: from the start of a run to its end.
    """

    begin: datetime
    kind: str
    name: str
    status: str
    runs: int = 0
    times: Histogram = field(default_factory=Histogram)


class NodeTime(NamedTuple):
    """A node of a workflow, and how long it has run on average."""

    name: str
    seconds: float


class WorkflowFigures:
    """Runs of one span by kind, name and state."""

    def __init__(self) -> None:
        self.runs: dict[_Key, int] = defaultdict(int)
        self.times: dict[_Key, Histogram] = defaultdict(Histogram)

    def add_ended(self, rows: Iterable[Row]) -> None:
        """Add runs that ended, as ``workflow_statistics_ended`` gives them."""
        for kind, name, state, bucket, count, seconds in rows:
            key = kind, name, int(state)
            self.runs[key] += int(count)
            self.times[key].add(int(bucket), int(count), max(0.0, float(seconds)))

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add rows of the table, as ``workflow_statistics_rows`` gives them."""
        for _, kind, name, state, runs, seconds, times in rows:
            key = kind, name, int(state)
            self.runs[key] += int(runs)
            self.times[key].merge(Histogram.unpack(times, seconds))

    def write(self, tx: Tx, span: int, begin: int) -> None:
        """Insert the figures of one span, whose older ones are deleted."""
        self._limit()
        rows = [
            (span, begin, *key, runs, self.times[key].seconds, self.times[key].pack())
            for key, runs in sorted(self.runs.items())
        ]
        if rows:
            tx.many("workflow_statistics_insert", rows)

    def _limit(self) -> None:
        """Count the rarest names together."""
        totals: dict[tuple[str, str], int] = defaultdict(int)
        for (kind, name, _), runs in self.runs.items():
            totals[kind, name] += runs
        if len(totals) <= _NAMES:
            return
        kept = set(sorted(totals, key=lambda one: (-totals[one], one))[:_NAMES])
        for key in [key for key in self.runs if key[:2] not in kept]:
            other = key[0], _OTHERS, key[2]
            self.runs[other] += self.runs.pop(key)
            self.times[other].merge(self.times.pop(key))


def counts_of(row: Row, begin: int) -> WorkflowCounts:
    """A row of the table, in a span that begins then."""
    _, kind, name, state, runs, seconds, times = row
    at = datetime.fromtimestamp(begin, UTC)
    status = str(WorkflowState(int(state)).status)
    return WorkflowCounts(at, kind, name, status, int(runs), Histogram.unpack(times, seconds))


def slowest_node(database: Database, name: str, low: float) -> NodeTime | None:
    """The node that ran longest on average, in the last 20 runs of a name.

    Args:
        low: runs that ended earlier do not count, seconds since 1970.
    """
    since = database.dialect.time(datetime.fromtimestamp(low, UTC))
    ids: Sequence[bytes] = database.column(
        "workflow_runs_of_name", low=since, name=name, scanned=_SCANNED, n=_RUNS
    )
    if not ids:
        return None
    rows = database.rows("workflow_node_times", ids=list(ids), scanned=_MEMBERS)
    found = [NodeTime(node, float(seconds) / int(count)) for node, count, seconds in rows]
    return max(found, key=lambda node: (node.seconds, node.name), default=None)
