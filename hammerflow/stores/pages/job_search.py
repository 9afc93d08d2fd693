"""JobSearch: jobs by trace or correlation id, along indexes that hold only jobs which have one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from hammerflow.stores.database import Database

__all__ = ["JobSearch"]

_HEX = re.compile(r"[0-9a-f]{32}")
#: Workflows with one id of a trace or correlation, whose members are found: the newest.
_WORKFLOWS = 1_000
#: Characters of a correlation id that are indexed.
_INDEXED = 200
_LAST = "\U0010ffff"
_STATEMENTS = {"trace_id": "workflows_traced", "correlation_id": "workflows_correlated"}


class JobSearch:
    """Finds what may match; the caller reads the rows and decides."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def traced(self, trace_id: str, *, before: bytes, limit: int) -> Sequence[bytes]:
        """Ids of jobs whose row may carry this trace id, newest first."""
        is_hex = _HEX.fullmatch(trace_id) is not None
        return self._database.column(
            "ids_traced", keys=sorted({trace_id, trace_id[3:35]}), trace=trace_id,
            traceparent=f"00-{trace_id}-%" if is_hex else trace_id, before=before, n=limit,
        )  # fmt: skip

    def correlated(self, correlation_id: str, *, before: bytes, limit: int) -> Sequence[bytes]:
        """Ids of jobs whose headers may have this ``correlation_id``, newest first."""
        values = {**_beginning(correlation_id), "before": before, "n": limit}
        return self._database.column("ids_correlated", **values)

    def members(self, option: str, value: str, *, before: bytes, limit: int) -> Sequence[bytes]:
        """Ids of the jobs of workflows that may have been given this value, newest first.

        Args:
            option: ``trace_id`` or ``correlation_id``.
        """
        text, name = f'"{option}":{json.dumps(value)}', _STATEMENTS[option]
        workflows = self._database.column(name, **_beginning(value), text=text, n=_WORKFLOWS)
        found: set[bytes] = set()
        for workflow_id in workflows:
            values = {"id": workflow_id, "before": before, "n": limit}
            found.update(self._database.column("nodes_before", **values))
        return newest(found, limit)


def _beginning(value: str) -> dict[str, str]:
    """A value as the indexes have it: its JSON up to a quotation mark, cut."""
    text = json.dumps(value)[1:-1].partition('"')[0][:_INDEXED]
    return {"value": text, "end": text + _LAST}


def newest(ids: Iterable[bytes], limit: int) -> Sequence[bytes]:
    """The first ids of these, newest first."""
    return sorted(ids, reverse=True)[:limit]
