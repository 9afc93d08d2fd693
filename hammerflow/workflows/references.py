"""References: where a job finds the results of other jobs that it takes as input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

__all__ = ["CHILDREN", "FailedJobs", "InputRef", "JobRange", "ResultRef", "input_from_json"]

#: The input of a fan-in: the results of the children that it waited for.
CHILDREN: Final = "children"


class JobRange(NamedTuple):
    """The jobs of one workflow whose ids lie between two ids, both included."""

    first: bytes
    last: bytes
    workflow_id: bytes


class ResultRef(NamedTuple):
    """Results of other jobs: plain data that is stored with the job that takes them.

    The target is the id of one job; a range of jobs or a list of references, which give a list;
    or references by name, which give a dict.
    """

    target: bytes | JobRange | list[ResultRef] | dict[str, ResultRef]

    def to_json(self) -> Any:
        """A value for JSON: ``hex``, ``{"from": hex, "to": hex, "in": hex}``, a list, or
        ``{"names": {...}}``."""
        match self.target:
            case bytes() as job_id:
                return job_id.hex()
            case JobRange(first, last, workflow_id):
                return {"from": first.hex(), "to": last.hex(), "in": workflow_id.hex()}
            case list() as parts:
                return [part.to_json() for part in parts]
            case named:
                return {"names": {name: part.to_json() for name, part in named.items()}}

    @classmethod
    def from_json(cls, value: Any) -> ResultRef:
        """The inverse of :meth:`to_json`; KeyError, TypeError or ValueError for other values."""
        match value:
            case str():
                return cls(bytes.fromhex(value))
            case list():
                return cls([cls.from_json(part) for part in value])
            case {"names": named}:
                return cls({name: cls.from_json(part) for name, part in named.items()})
        ends = (bytes.fromhex(value[key]) for key in ("from", "to", "in"))
        return cls(JobRange(*ends))

    def ids(self, ids_in: Callable[[JobRange], Sequence[bytes]]) -> list[bytes]:
        """The ids of its jobs, in order; ``ids_in`` asks the database for those of a range."""
        match self.target:
            case bytes() as job_id:
                return [job_id]
            case JobRange() as jobs:
                return [*ids_in(jobs)]
            case list() as parts:
                return [job_id for part in parts for job_id in part.ids(ids_in)]
            case named:
                return [job_id for part in named.values() for job_id in part.ids(ids_in)]

    def resolve(self, read: Callable[[ResultRef], Iterable[Any]]) -> Any:
        """What the reference gives: one result, or results as a list or dict.

        Args:
            read: the decoded results of a reference to one job, to jobs or to a range, in order.
                It is called once for a list of jobs, so that it can read them in pages.
        """
        match self.target:
            case bytes():
                return next(iter(read(self)), None)
            case dict() as named:
                return {name: part.resolve(read) for name, part in named.items()}
            case list() as parts if any(not isinstance(part.target, bytes) for part in parts):
                return [part.resolve(read) for part in parts]
        return list(read(self))


class FailedJobs(NamedTuple):
    """The input of an errback: the jobs of which at least one has not completed."""

    ids: list[bytes]

    def to_json(self) -> Any:
        """A value for JSON."""
        return {"failed": [job_id.hex() for job_id in self.ids]}


#: What a job takes before its own arguments.
InputRef = ResultRef | FailedJobs | Literal["children"]


def input_from_json(value: Any) -> InputRef:
    """The input in a job's options; KeyError, TypeError or ValueError if it is malformed."""
    if value == CHILDREN:
        return CHILDREN
    if isinstance(value, Mapping) and "failed" in value:
        return FailedJobs([bytes.fromhex(text) for text in value["failed"]])
    return ResultRef.from_json(value)
