"""Ids: UUIDs version 7, numbers of names and workers, and the ids that users give as text."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import re
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

from hammerflow.errors import JobNotFound
from hammerflow.introspection.kinds import is_a
from hammerflow.text import plain_text, safe_repr

__all__ = [
    "as_key", "event_job_id", "first_id_at", "is_event_job", "is_id", "name_id", "new_id",
    "time_of", "unnamed", "without_event_jobs", "worker_number",
]  # fmt: skip


@functools.lru_cache(maxsize=65536)
def name_id(name: str) -> int:
    """The 63-bit number of a queue's or task's name, which the hot tables hold instead of the name.

    It is a hash (BLAKE2b) and not a sequence, so that an insert needs no query for it. The tables
    ``queues`` and ``tasks`` hold number and name, and their unique keys refuse a collision
    (probability n * n / 2**64: 5e-14 for a thousand names).

    ``#4711`` is the number 4711 itself, of a name whose row was deleted (:func:`unnamed`).
    """
    if _NUMBER.fullmatch(name) and int(name[1:]) < 1 << 63:
        return int(name[1:])
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


_NUMBER = re.compile("#[0-9]{1,19}")


def unnamed(number: int) -> str:
    """The substitute for the name of this number, where the table of names has lost it."""
    return f"#{number}"


#: The bits of version and variant.
_VERSION_7 = (0x7 << 76) | (0b10 << 62)


class _Clock:
    """Makes UUIDs version 7 that strictly increase within a process (RFC 9562, section 6.2, method
    3: a fraction of the millisecond in rand_a)."""

    def __init__(self) -> None:
        self._last = 0
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Make a lock and a random generator for this process: a fork copies both."""
        self._lock = threading.Lock()
        self._bits = random.Random(int.from_bytes(os.urandom(16))).getrandbits

    def next(self) -> bytes:
        """The 16 bytes of the next id."""
        ticks = time.time_ns() >> 8  # 256 ns: 12 bits below a millisecond are 244 ns
        with self._lock:
            if ticks <= self._last:
                ticks = self._last + 1
            self._last = ticks
            tail = self._bits(62)
        milliseconds, rest = divmod(ticks << 8, 1_000_000)
        fraction = (rest << 12) // 1_000_000
        return ((milliseconds << 80) + _VERSION_7 + (fraction << 64) + tail).to_bytes(16)


_CLOCK = _Clock()
new_id = _CLOCK.next


#: The last millisecond that an id can carry.
_LAST = (1 << 48) - 1


def first_id_at(clock: float) -> bytes:
    """A lower bound of the ids made at ``clock`` (seconds, as of time.time()) or later."""
    milliseconds = min(max(int(clock * 1000), 0), _LAST)
    return ((milliseconds << 80) + _VERSION_7).to_bytes(16)


def time_of(id_: bytes) -> float:
    """When an id was made, in seconds by its maker's clock; of other versions any number."""
    return int.from_bytes(id_[:6]) / 1000


#: Bytes 6 to 8 of the ids of jobs that events cause: version 8 (RFC 9562: of a program's own form),
#: twelve bits, and the variant with six more. An id that :func:`new_id` makes has version 7.
_OF_EVENTS = b"\x8e\xf7\xb3"


def event_job_id(clock: float, *parts: str | int) -> bytes:
    """The id of a job that an event causes: the same for the same event and parts, and in the order
    of time among other ids.

    Args:
        clock: when the event took place, in seconds since 1970.
        parts: what tells it from others of that millisecond, such as who wants it and the event's
            position.
    """
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=7).digest()
    return min(max(int(clock * 1000), 0), _LAST).to_bytes(6) + _OF_EVENTS + digest


def is_event_job(id_: bytes) -> bool:
    """Whether :func:`event_job_id` has made an id. Of such jobs no events are written: each would
    cause another one."""
    return id_[6:9] == _OF_EVENTS


def without_event_jobs(ids: Sequence[bytes]) -> Sequence[bytes]:
    """The ids without those of jobs that events have caused."""
    if _OF_EVENTS in b"".join(ids):  # or two ids together look so
        return [id_ for id_ in ids if not is_event_job(id_)]
    return ids


def worker_number() -> int:
    """A random positive 63-bit number for one run of a supervisor."""
    return uuid.uuid4().int >> 65 or 1


def as_key(job_id: uuid.UUID | str) -> bytes:
    """The 16 bytes of an id given as UUID or text.

    Raises:
        JobNotFound: the text is not a UUID.
    """
    plain = plain_id(job_id)
    if plain is None:
        raise JobNotFound(f"{safe_repr(job_id)} is not a job id: ids are UUIDs")
    return plain.bytes


def plain_id(value: Any) -> uuid.UUID | None:
    """The id itself; of a subclass of UUID or a text, the plain one; None for anything else."""
    if type(value) is uuid.UUID:
        return value
    try:
        if is_a(value, uuid.UUID):
            return uuid.UUID(int=value.int)
        return uuid.UUID(plain_text(value))
    except (Exception, SystemExit):  # noqa: BLE001 - a border: the value's own methods may raise
        return None


def is_id(text: str) -> bool:
    """Whether a text is the id of a job, not the name of a node."""
    return plain_id(text) is not None
