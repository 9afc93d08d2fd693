"""Protocol: the messages between a supervisor, its fork server and its children.

A message is one msgpack value; msgpack values are self-delimiting, so no length precedes them.
Jobs go down one pipe of a child and outcomes come up another; a third pipe holds tokens, one byte
for each job that the child may start, whose value is the generation of the job's chunk.

==============  =============================================================  ====================
message         fields                                                         meaning
==============  =============================================================  ====================
supervisor to child
---------------------------------------------------------------------------------------------------
``JOBS``        generation, worker id, jobs, {queue id: name} (new ones only)  run these
``STOP``        job id, "cancel" or "timeout"                                  async child only
``ASK``                                                                        what do you run?
``STACK``       job id                                                         async child only
--------------  -------------------------------------------------------------  --------------------
child to supervisor
---------------------------------------------------------------------------------------------------
``HELLO``       pid, descriptor of its stack or -1 (see ``stacks``)             ready for jobs
bytes or None   (no list) the encoded result                                   next job completed
``ENDED``       kind of outcome, its fields; job id (async child only)         a job ended otherwise
``TAKEN_BACK``  generation                                                     found no token for it
``TIMES``       {task id: [count, seconds]}                                    how long bodies ran
``RUNS``        job ids                                                        answers ASK
``LIMITED``     see LimitedBody                                                a body begins
``LINES``       job id, only of failures, most lines, rows of KeptLine or      logged by a body
                parts of the text of the last one
``LOG``         the fields of JobLogRow                                        kept of an attempt
``PROGRESS``    job id, fraction, note                                         reported by a body
``QUIT``        reason                                                         will end, is used up
``STACKED``     job id, frames                                                 answers STACK
--------------  -------------------------------------------------------------  --------------------
fork server to supervisor
---------------------------------------------------------------------------------------------------
``VERSION``     of hammerflow                                                  its first message
``APP_LOADED``  app name, settings, tasks, source files                        ready to fork
``APP_BROKEN``  sentence, traceback                                            the import failed
``FORKED``      serial number, pid                                             answers FORK_REQUEST
``NOT_FORKED``  serial number, reason                                          answers FORK_REQUEST
``EXITED``      pid, exit status (negative: signal)                            a child ended
==============  =============================================================  ====================

The supervisor asks the fork server for a child with one ``FORK_REQUEST`` (kind, serial number)
and the child's three descriptors. A child counts, and gets jobs, once it has said ``HELLO``.
"""

from __future__ import annotations

import os
import struct
from typing import Any, NamedTuple

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
    "APP_BROKEN", "APP_LOADED", "ASK", "ASYNC", "ENDED", "EXITED", "FORKED", "FORK_REQUEST",
    "HELLO", "JOBS", "LIMITED", "LINES", "LOG", "NOT_FORKED", "PROGRESS", "QUIT", "RUNS", "SERIAL",
    "STACK", "STACKED", "STOP", "TAKEN_BACK", "TIMES", "VERSION", "LimitedBody", "Pipes",
    "Unpacker", "pack", "pack_outcome", "unpack_outcome", "write_all",
]  # fmt: skip

JOBS, STOP, ASK, STACK = 1, 2, 3, 4
ENDED, TAKEN_BACK, TIMES, PROGRESS, QUIT, RUNS, HELLO, LIMITED, STACKED = range(11, 20)
LINES, LOG = 30, 31
APP_LOADED, APP_BROKEN, FORKED, EXITED, NOT_FORKED, VERSION = 21, 22, 23, 24, 25, 26

FORK_REQUEST = struct.Struct("!cxxxI")
#: The kinds of children in a fork request.
SERIAL, ASYNC = b"s", b"a"

#: An outcome's kind travels as its position in this list.
_KINDS: list[type[Any]] = [
    Completed, Failed, Retrying, Snoozed, Cancelled, Released, Parked, Lost, Settled, Replaced,
]  # fmt: skip
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
#: Reused for the most frequent message; only a child's one reporting thread uses it.
_PACKER = msgpack.Packer()


class Pipes(NamedTuple):
    """A child's ends of its pipes, as file descriptors."""

    jobs: int  # messages come in
    tokens: int  # one byte per job, not blocking; the supervisor reads this end, too
    results: int  # messages go out


class LimitedBody(NamedTuple):
    """The fields of ``LIMITED``: memory in bytes, CPU time in seconds."""

    job_id: bytes
    memory_limit: int | None
    cpu_limit: float | None
    memory: int  # that the child holds before
    cpu: float  # that it has used before


def pack(value: Any) -> bytes:
    """Encode one message."""
    return msgpack.packb(value, datetime=True)  # type: ignore[no-any-return]


def pack_outcome(outcome: Outcome, job_id: bytes | None = None) -> bytes:
    """Encode the outcome of one job.

    Args:
        job_id: names the job; None where jobs end in the order in which they were sent. Then a
            plain completion is only its result: the supervisor knows the task's ``result_ttl``.
    """
    if (
        type(outcome) is Completed
        and job_id is None
        and outcome.spawned is None
        and outcome.trace is None
    ):
        return _PACKER.pack(outcome.result)  # type: ignore[no-any-return]
    message = [ENDED, _CODES[type(outcome)], outcome]
    return pack(message if job_id is None else [*message, job_id])


def unpack_outcome(code: int, fields: list[Any]) -> Outcome:
    """Decode the second and third field of an ``ENDED`` message."""
    kind = _KINDS[code]
    if kind is Completed and fields[1] is not None:
        children, operation, spawned, workflows, *rest = fields[1]
        fields[1] = Spawned(
            _made(NewJob, children), Operation(*operation), spawned,
            _made(NewWorkflow, workflows), *rest,
        )  # fmt: skip
    elif kind in (Failed, Retrying, Parked, Lost):
        at = 0 if kind in (Failed, Lost) else 1
        fields[at] = Failure(*fields[at])
        if kind in (Failed, Retrying) and fields[at + 1] is not None:
            fields[at + 1] = Operation(*fields[at + 1])
    elif kind is Replaced:
        call, children, workflows = fields
        fields = [NewJob._make(call), _made(NewJob, children), _made(NewWorkflow, workflows)]
    outcome: Outcome = kind(*fields)
    return outcome


def _made(kind: type[NewJob | NewWorkflow], rows: list[Any]) -> list[Any]:
    return [kind._make(row) for row in rows]


class Unpacker:
    """Decodes a stream of bytes; keeps a message that is not complete until the rest arrives."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=2**31 - 1, strict_map_key=False, timestamp=3
        )

    def frames(self, data: bytes) -> list[Any]:
        """Take in more bytes and return the messages that are complete now."""
        self._unpacker.feed(data)
        return list(self._unpacker)


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data`` to a blocking pipe."""
    while data:
        data = data[os.write(fd, data) :]
