"""References: where a job finds the results of other jobs that it takes as input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

__all__ = ["ChildrenRef", "FailedJobs", "InputRef", "JobRange", "ResultRef", "input_from_json"]


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
            read: the decoded results of a reference to jobs or to a range, in order. It is called
                once for all jobs outside of ranges, so that it can read them in pages.
        """
        jobs = ResultRef([ResultRef(job_id) for job_id in self.ids(lambda jobs: ())])
        return self._resolve(iter(read(jobs)), read)

    def _resolve(self, values: Iterator[Any], read: Callable[[ResultRef], Iterable[Any]]) -> Any:
        """As :meth:`resolve`, with the results of the jobs outside of ranges in ``values``."""
        match self.target:
            case bytes():
                return next(values, None)
            case JobRange():
                return list(read(self))
            case list() as parts:
                return [part._resolve(values, read) for part in parts]
            case named:
                return {name: part._resolve(values, read) for name, part in named.items()}


class ChildrenRef(NamedTuple):
    """The input of a fan-in: the results of the children that it waited for, in spawn order.

    The results of children that are single jobs are found by their parent. A canvas, workflow or
    batch is listed: the ``spawn_index`` of its first job, and where its result is.
    """

    canvases: list[tuple[int, ResultRef]]

    def to_json(self) -> Any:
        """A value for JSON."""
        return {"children": [[index, ref.to_json()] for index, ref in self.canvases]}


class FailedJobs(NamedTuple):
    """The input of an errback: the jobs of which at least one has not completed."""

    ids: list[bytes]

    def to_json(self) -> Any:
        """A value for JSON."""
        return {"failed": [job_id.hex() for job_id in self.ids]}


#: What a job takes before its own arguments.
InputRef = ResultRef | FailedJobs | ChildrenRef


def input_from_json(value: Any) -> InputRef:
    """The input in a job's options; KeyError, TypeError or ValueError if it is malformed."""
    match value:
        case {"children": canvases}:
            return ChildrenRef([(index, ResultRef.from_json(ref)) for index, ref in canvases])
        case {"failed": ids}:
            return FailedJobs([bytes.fromhex(text) for text in ids])
    return ResultRef.from_json(value)
