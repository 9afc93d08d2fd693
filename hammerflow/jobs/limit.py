"""Limits: how often and how many at a time jobs may start, and the lanes in which they wait.

A ready job without a limit has the order ``4 - priority`` in its queue, 0 to 4. One with a limit
has the number of a lane instead: the same order in the upper bits, and below it the number of the
limit's key. So a queue's lanes are sorted by priority, all jobs of a lane share one key, and the
lane goes wherever the row goes.
"""

from __future__ import annotations

import functools
import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import Any

from hammerflow.ids import name_id
from hammerflow.jobs.job import NewJob
from hammerflow.options.checks import Unfit, ValueCheck, whole
from hammerflow.text import plain_text

__all__ = [
    "BATCH_LIMITS", "FIRST_LANE", "MAX_RUNNING", "RATE", "Limit", "Rate", "batch_limit",
    "batch_target", "fair_lane_of", "is_fair", "key_id", "key_of", "lane_of", "lock_of",
    "member_of", "order_of", "order_of_lane", "queue_limit", "span_of",
]  # fmt: skip

#: Orders from here on are lanes.
FIRST_LANE = 8
_BITS = 60  # hammerflow/stores/sql/common/limits.sql has the mask, too
#: The limits of batches have this number or lower ones.
BATCH_LIMITS = -(1 << 62)
_KEYS = (1 << _BITS) - 1
#: Set in the number of a lane whose jobs have a fairness key. Such a number is that key's first, so
#: a tenant's lanes lie side by side, and the key of the limit cannot be read from it.
_FAIR = 1 << 59
_TENANT = 30  # bits below those of the fairness key
#: Bits below those of the lock of a key: there are 256 locks (the migrations write their rows).
_LOCK = 51  # hammerflow/stores/sql/postgres/engine.sql has it, too
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"([0-9]{1,7})/([smhd])(?: burst ([0-9]{1,7}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """How often jobs may start.

    Attributes:
        text: as it was given: ``100/m``, ``100/m burst 10``.
        spacing: seconds from one start to the next, on average.
        burst: how many may start at once after a pause.
    """

    text: str
    spacing: float
    burst: int


@dataclass(frozen=True, slots=True)
class Limit:
    """What holds for a task, a key of a task, or a queue; None for no limit of that kind."""

    rate: Rate | None = None
    max_running: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"rate": self.rate and self.rate.text, "max": self.max_running}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> Limit:
        """The inverse of :meth:`to_plain`."""
        rate = plain["rate"]
        return Limit(None if rate is None else _rate(rate), plain["max"])

    def columns(self) -> dict[str, Any]:
        """What the claim reads."""
        rate = self.rate
        return {
            "spacing": rate and rate.spacing, "burst": rate and rate.burst,
            "max_running": self.max_running,
        }  # fmt: skip

    def __str__(self) -> str:
        parts = [self.rate.text] if self.rate else []
        parts += [f"{self.max_running} at a time"] if self.max_running is not None else []
        return ", ".join(parts) or "no limit"


def _rate(value: Any) -> Rate:
    text = plain_text(value)
    found = _RATE.fullmatch(text or "")
    if text is None or found is None:
        raise Unfit
    count, burst = int(found[1]), int(found[3] or 1)
    if count < 1 or burst < 1:
        raise Unfit(advice="max_concurrency=0 (limit set --max 0) stops all starts")
    return Rate(text, _UNITS[found[2]] / count, burst)


#: Starts for each second, minute, hour or day.
RATE = ValueCheck(
    "str", 'a rate such as "100/m" or "100/m burst 10" (s, m, h or d)', _rate, "",
    "1/d to 9999999/s",
)  # fmt: skip
MAX_RUNNING = whole(0, 1_000_000)


@functools.lru_cache(maxsize=65536)
def key_id(limit_id: int, key: str) -> int:
    """The number of a key of a limit, which fits into a lane."""
    digest = hashlib.blake2b(f"{limit_id}:{key}".encode(), digest_size=8).digest()
    return FIRST_LANE + int.from_bytes(digest) % (_FAIR - FIRST_LANE)


def queue_limit(queue_id: int) -> int:
    """The number of the limit of a queue; that of a task is the task's own."""
    return name_id(f"limit of queue {queue_id}")


def batch_limit(batch_id: bytes) -> int:
    """The number of the limit of a batch: far below zero, as no other is."""
    return BATCH_LIMITS - (name_id(f"limit of batch {batch_id.hex()}") >> 1)


def batch_target(batch_id: bytes) -> str:
    """How the limit of a batch is written: ``batch:ID``."""
    return f"batch:{uuid.UUID(bytes=batch_id)}"


def lane_of(key: int, priority: int) -> int:
    """The lane of jobs of this key and priority."""
    return ((4 - priority) << _BITS) | key


def key_of(lane: int) -> int:
    """The number of the key of a lane without a fairness key."""
    return lane & _KEYS


def lock_of(key: int) -> int:
    """The lock that a claim of jobs of this key takes, 0 to 255. Keys that follow each other, as
    one claim meets them, have few locks between them."""
    return key >> _LOCK


@functools.lru_cache(maxsize=65536)
def fair_lane_of(fair_key: str, limit_key: int, priority: int) -> int:
    """The lane of jobs of this fairness key, key of a limit and priority."""
    tenant = hashlib.blake2b(fair_key.encode(), digest_size=8).digest()
    rest = hashlib.blake2b(f"{limit_key}:{fair_key}".encode(), digest_size=8).digest()
    low = (1 << _TENANT) - 1
    number = (int.from_bytes(tenant) % (_FAIR >> _TENANT) << _TENANT) | int.from_bytes(rest) & low
    return lane_of(_FAIR | number, priority)


def is_fair(lane: int) -> bool:
    """Whether the jobs of a lane have a fairness key."""
    return lane & _FAIR != 0


def member_of(lane: int) -> int:
    """Who takes turns: the last number that a lane of the same fairness key may have; a lane
    without one takes its own turns."""
    return lane | (1 << _TENANT) - 1 if is_fair(lane) else lane


def order_of_lane(lane: int) -> int:
    """The order of the jobs of a lane, which is 4 - priority."""
    return lane >> _BITS


def span_of(order: int) -> tuple[int, int]:
    """The numbers between which all lanes of an order lie, which is 4 - priority."""
    return max(order << _BITS, FIRST_LANE) - 1, (order + 1) << _BITS


def order_of(job: NewJob) -> int:
    """The order of a new job in its queue, or its lane."""
    if job.limit_id is None:
        return 4 - job.priority
    if job.fair_key is not None:
        return fair_lane_of(job.fair_key, job.limit_id, job.priority)
    return lane_of(job.limit_id, job.priority)
