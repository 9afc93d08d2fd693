"""CallTemplate: the rows of a job or workflow, from which each tick makes new ones."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hammerflow.jobs.job import NewJob, NewWorkflow
from hammerflow.jobs.unique import HeldKey

__all__ = ["CallTemplate", "Run", "changes_of"]

_HEX = re.compile("[0-9a-f]{32}")
_JOB = NewJob(b"", "", "", 0, b"")
_WORKFLOW = NewWorkflow(b"", "", "", 0, 0)


class Run(NamedTuple):
    """The rows of one tick.

    Attributes:
        id: of the outermost workflow, else of the job.
    """

    id: bytes
    workflows: list[NewWorkflow]
    jobs: list[NewJob]


@dataclass(frozen=True, slots=True)
class CallTemplate:
    """The rows of one call, canvas, workflow or batch; workflows from the outermost one inwards."""

    workflows: Sequence[NewWorkflow]
    jobs: Sequence[NewJob]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; what is as usual is left out."""
        found: dict[str, Any] = {"jobs": [_plain(job, _JOB) for job in self.jobs]}
        if self.workflows:
            found["workflows"] = [_plain(workflow, _WORKFLOW) for workflow in self.workflows]
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CallTemplate:
        """The inverse of :meth:`to_json`; KeyError, TypeError or ValueError for other values."""
        workflows = [_WORKFLOW._replace(**_fields(row)) for row in value.get("workflows", ())]
        jobs = [_JOB._replace(**_fields(row)) for row in value["jobs"]]
        if not jobs:
            raise ValueError("a schedule without a job")
        return cls(workflows, jobs)

    @property
    def job(self) -> NewJob | None:
        """The row of a call of one job; None of a canvas, workflow or batch."""
        return self.jobs[0] if len(self.jobs) == 1 and not self.workflows else None

    def changed(self, job: Mapping[str, Any]) -> CallTemplate | None:
        """The same with what an operator has changed of its one job, as :func:`changes_of` gives
        it; None where that is nothing, or the call has become that of another task."""
        if self.job is None or job.get("task") != self.job.task:
            return None
        fields = {name: value for name, value in job.items() if name != "summary"}
        return CallTemplate((), [self.job._replace(**_fields(fields))])

    def numbered(self) -> CallTemplate:
        """The same with the ids 1, 2 ...: each process makes the same template of the same call."""
        numbers = itertools.count(1)
        return CallTemplate(*self._renamed(lambda: next(numbers).to_bytes(16)))

    def _renamed(self, new_id: Callable[[], bytes]) -> tuple[list[NewWorkflow], list[NewJob]]:
        """The rows with new ids in the same order."""
        old = sorted([*(w.id for w in self.workflows), *(job.id for job in self.jobs)])
        ids = {id_: new_id() for id_ in old}
        names = {id_.hex(): new.hex() for id_, new in ids.items()}
        workflows = [_renamed(workflow, ids, names) for workflow in self.workflows]
        return workflows, [_renamed(job, ids, names) for job in self.jobs]

    def run(
        self, new_id: Callable[[], bytes], *, eta: datetime, now: datetime,
        headers: Mapping[str, str],
    ) -> Run:  # fmt: skip
        """Rows with new ids in the same order.

        Args:
            eta: when the jobs that wait for no other may start.
            headers: for every job, under those of the call.
        """
        workflows, new_jobs = self._renamed(new_id)
        jobs = [_started(job, eta, now, headers) for job in new_jobs]
        first = workflows[0].id if workflows else jobs[0].id
        return Run(first, workflows, jobs)


def _started(job: NewJob, eta: datetime, now: datetime, headers: Mapping[str, str]) -> NewJob:
    """A job of a run with the headers of its tick, and where it waits for no other with its start:
    a delay counts from ``eta``, and so does what it expires after."""
    given = json.loads(job.headers) if job.headers else {}
    job = job._replace(headers=json.dumps({**headers, **given}, separators=(",", ":")))
    if job.expires is not None and eta > now:
        job = job._replace(expires=job.expires + (eta - now).total_seconds())
    if job.pending is not None:
        return job
    due = eta + timedelta(seconds=job.delay or 0.0)
    return job._replace(delay=None, eta=due if due > now else None)


def _renamed(row: Any, ids: Mapping[bytes, bytes], names: Mapping[str, str]) -> Any:
    """A row with other ids, in its columns and in the references of its options."""
    changes: dict[str, Any] = {
        name: ids[value]
        for name, value in row._asdict().items()
        if type(value) is bytes and value in ids
    }
    if row.options:
        changes["options"] = _HEX.sub(lambda m: names.get(m[0], m[0]), row.options)
    if getattr(row, "after", None):
        changes["after"] = [(ids.get(id_, id_), kind) for id_, kind in row.after]
    return row._replace(**changes)


#: Columns that hold an id; ``args`` alone holds other bytes.
_IDS = ("id", "parent_id", "root_id", "dependent_id", "workflow_id")


def _plain(row: Any, usual: Any) -> dict[str, Any]:
    return {
        name: _value(name, value)
        for name, value in row._asdict().items()
        if value != getattr(usual, name) or name == "id"
    }


def _value(name: str, value: Any) -> Any:
    """A column as JSON has it; :func:`_fields` reads it."""
    if not value:
        return value
    if name in _IDS:
        return value.hex()
    if name == "args":
        return base64.b64encode(value).decode()
    if name == "after":
        return [[id_.hex(), kind] for id_, kind in value]
    return list(value) if name == "unique" else value


def changes_of(old: NewJob, new: NewJob) -> dict[str, Any]:
    """The columns in which two rows of calls of one task differ, as values for JSON."""
    names = [name for name in NewJob._fields if getattr(old, name) != getattr(new, name)]
    return {"task": new.task, **{name: _value(name, getattr(new, name)) for name in names}}


def _fields(plain: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(_IDS, bytes.fromhex),
        "args": base64.b64decode,
        "unique": lambda values: values and HeldKey(*values),
        "after": lambda edges: [(bytes.fromhex(id_), kind) for id_, kind in edges],
    }
    return {name: read[name](v) if name in read else v for name, v in plain.items()}
