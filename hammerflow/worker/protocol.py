"""Frames: what goes through the pipes between a supervisor, its fork server and its children.

A frame is one msgpack value; msgpack values end by themselves, so no length goes before them.

======================================  ===========================================================
to a child                              ``[JOBS, generation, worker id, jobs, {queue id: name}]``
                                        ``[STOP, job id, why, detail]`` (to a loop child)
from a child that runs one by one       bytes or None: the next job completed with this result
                                        ``[ENDED, kind, fields]``: the next job ended otherwise
                                        ``[OVER, generation]``: the rest of a chunk was taken back
                                        ``[TIMES, {task id: [count, seconds]}]``
                                        ``[NOTE, job id, fraction, note]``  ``[QUIT, why]``
from a loop child                       ``[ENDED, kind, fields, job id]``, NOTE and QUIT
from a fork server                      ``[HELLO, ...]  [BROKEN, sentence, traceback]``
                                        ``[FORKED, serial, pid]  [EXITED, pid, status]``
======================================  ===========================================================
"""

from __future__ import annotations

import os
from typing import Any

import msgpack

from hammerflow.jobs.job import NewJob, NewWorkflow
from hammerflow.jobs.outcome import (
    Cancelled,
    Completed,
    Failed,
    Failure,
    Lost,
    Operation,
    Outcome,
    Parked,
    Released,
    Replaced,
    Retrying,
    Settled,
    Snoozed,
    Spawned,
)

__all__ = [
    "BROKEN",
    "ENDED",
    "EXITED",
    "FORKED",
    "HELLO",
    "JOBS",
    "NOTE",
    "OVER",
    "QUIT",
    "STOP",
    "TIMES",
    "Unpacker",
    "pack",
    "pack_outcome",
    "unpack_outcome",
    "write_all",
]

JOBS, STOP = 1, 2
ENDED, OVER, TIMES, NOTE, QUIT = 11, 12, 13, 14, 15
HELLO, BROKEN, FORKED, EXITED = 21, 22, 23, 24

_KINDS: tuple[type[Any], ...] = (
    Completed,
    Failed,
    Retrying,
    Snoozed,
    Cancelled,
    Released,
    Parked,
    Lost,
    Settled,
    Replaced,
)
#: Kept for the common end; only the one thread that reports ends uses it.
_PACKER = msgpack.Packer()
_CODES = {kind: code for code, kind in enumerate(_KINDS)}


def pack(value: Any) -> bytes:
    """One frame."""
    return msgpack.packb(value, datetime=True)  # type: ignore[no-any-return]


def pack_outcome(outcome: Outcome, job_id: bytes | None = None) -> bytes:
    """How a job ended, as a frame; the common end in its short form when no id is needed."""
    if type(outcome) is Completed and job_id is None and outcome.spawned is None:
        return _PACKER.pack(outcome.result)  # type: ignore[no-any-return]
    frame = [ENDED, _CODES[type(outcome)], outcome]
    return pack(frame if job_id is None else [*frame, job_id])


def unpack_outcome(code: int, fields: list[Any]) -> Outcome:
    """The inverse, from the second and third part of an ENDED frame."""
    kind = _KINDS[code]
    if kind is Completed:
        result, spawned, ttl = fields
        return Completed(result, None if spawned is None else _spawned(spawned), ttl)
    if kind in (Failed, Retrying, Parked, Lost):
        at = {Failed: 0, Retrying: 1, Parked: 1, Lost: 0}[kind]
        fields[at] = Failure(*fields[at])
        if kind in (Failed, Retrying) and fields[-1] is not None:
            fields[-1] = Operation(*fields[-1])
    if kind is Replaced:
        call, children, workflows = fields
        return Replaced(NewJob._make(call), _jobs(children), _workflows(workflows))
    outcome: Outcome = kind(*fields)
    return outcome


def _spawned(fields: list[Any]) -> Spawned:
    children, operation, spawned, workflows, ends, wait_for_children = fields
    return Spawned(
        _jobs(children),
        Operation(*operation),
        spawned,
        _workflows(workflows),
        ends,
        wait_for_children,
    )


def _jobs(rows: list[Any]) -> list[NewJob]:
    return [NewJob._make(row) for row in rows]


def _workflows(rows: list[Any]) -> list[NewWorkflow]:
    return [NewWorkflow._make(row) for row in rows]


class Unpacker:
    """Bytes in, whole frames out; what is cut off waits for the rest."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=2**31 - 1, strict_map_key=False, timestamp=3
        )

    def frames(self, data: bytes) -> list[Any]:
        """All frames that are complete now."""
        self._unpacker.feed(data)
        return list(self._unpacker)


def write_all(fd: int, data: bytes) -> None:
    """Write everything to a blocking pipe."""
    written = os.write(fd, data)
    while written < len(data):
        data = data[written:]
        written = os.write(fd, data)
