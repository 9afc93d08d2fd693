"""Numbers and ids that a client makes by itself: hashes of names, and UUID version 7."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import threading
import time
import uuid

__all__ = ["first_id_at", "name_id", "new_id", "worker_number"]


@functools.lru_cache(maxsize=65536)
def name_id(name: str) -> int:
    """The 63-bit number that stands for a queue's or task's name in the hot tables.

    A hash (BLAKE2b) and not a sequence, so that no look-up comes before an insert; the tables
    ``queues`` and ``tasks`` hold number and name, and their UNIQUE names refuse a collision
    (probability n * n / 2**64: 3e-14 for a thousand names).
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


#: The bits of version and variant.
_VERSION_7 = (0x7 << 76) | (0b10 << 62)


class _Clock:
    """Source of UUIDs version 7 (RFC 9562, method 3: sub-millisecond fraction in rand_a),
    strictly increasing within a process."""

    def __init__(self) -> None:
        self._last = 0
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """A lock and random bits of this process's own."""
        self._lock = threading.Lock()
        self._bits = random.Random(int.from_bytes(os.urandom(16))).getrandbits

    def next(self) -> bytes:
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


def first_id_at(clock: float) -> bytes:
    """What no id that is made from then on is less than: ``clock`` in seconds, as time.time()."""
    return ((int(clock * 1000) << 80) + _VERSION_7).to_bytes(16)


def worker_number() -> int:
    """A random positive 63-bit number for one run of one supervisor."""
    return uuid.uuid4().int >> 65 or 1
