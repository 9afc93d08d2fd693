"""Rings over PostgreSQL's LISTEN and NOTIFY, for those who have no Redis.

They are slower than over Redis: each NOTIFY is a transaction, and PostgreSQL commits those one
after the other. The flush thread sends them after the commit of the jobs, over a connection of its
own, at most one message per 10 ms and process. LISTEN is state of a session, so it does not work
through PgBouncer in transaction mode.
"""

from __future__ import annotations

import hashlib
import select
from collections.abc import Callable, Collection, Sequence
from time import monotonic
from typing import Any

from hammerflow.notifiers.base import Ring, Sender, Subscription

__all__ = ["PostgresTransport"]

#: Most seconds of a NOTIFY or LISTEN.
TIMEOUT = 1.0
#: The first version that ends idle sessions: a listener that it ends hears no ring meanwhile.
_IDLE_TIMEOUT_SINCE = 14_00_00
#: Most ids and most queues in one message, which must stay below 8000 bytes.
_IDS = 200
_QUEUES = 400

#: Connections of the parent process: a forked child must never close them, nor collect them.
_left_by_parents: list[Any] = []


class PostgresTransport:
    """Carries rings on two channels: one for work and controls, one for ends of jobs.

    Args:
        connect: gives a new psycopg connection in autocommit mode.
    """

    label = "PostgreSQL's LISTEN"
    instant = False
    direct = False

    def __init__(self, connect: Callable[[], Any], *, namespace: str) -> None:
        self._connect = connect
        key = hashlib.blake2b(namespace.encode(), digest_size=8).hexdigest()
        self._work = f"hammerflow_{key}_work"
        self._done = f"hammerflow_{key}_done"

    def connect(self) -> Sender:
        """See :meth:`Transport.connect`."""
        return _PostgresSender(self._connect, self._work, self._done)

    def subscribe(self, queues: Collection[str] | None) -> Subscription:
        """See :meth:`Transport.subscribe`."""
        subscription = _PostgresSubscription(self._connect, queues)
        try:
            subscription.run(f"LISTEN {self._done if queues is None else self._work}")
        except BaseException:
            subscription.close()
            raise
        return subscription


class _Session:
    """A connection with a timeout on each wait: psycopg waits without one for a silent server."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        try:
            self._connection = connect()
        except Exception as error:  # psycopg is not imported here: its door is elsewhere
            raise ConnectionError(str(error).strip()) from error
        self.raw = self._connection.pgconn
        self.raw.nonblocking = 1
        try:
            if self.raw.server_version >= _IDLE_TIMEOUT_SINCE:
                self.run("SET idle_session_timeout TO 0")  # quiet is usual here
        except BaseException:
            self.close()  # nobody else has it
            raise

    def run(self, text: str) -> None:
        """Run statements and wait until they have ended."""
        self.ask(text)
        deadline = monotonic() + TIMEOUT
        while not self.answered():
            left = deadline - monotonic()
            if left <= 0 or not self._readable(left):
                raise TimeoutError(f"PostgreSQL did not answer within {TIMEOUT:g} s")

    def ask(self, text: str) -> None:
        """Send statements without waiting."""
        self._guarded(lambda: (self.raw.send_query(text.encode()), self.raw.flush()))

    def answered(self) -> bool:
        """Read what has arrived; whether the last statements have ended."""
        self._guarded(self.raw.consume_input)
        while not self.raw.is_busy():
            result = self.raw.get_result()
            if result is None:
                return True
            message = result.error_message
            if message:
                raise ConnectionError(message.decode("utf-8", "replace").strip())
        return False

    def _readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.raw.socket, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except self._connection.Error as error:
            raise ConnectionError(str(error).strip()) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def abandon(self) -> None:
        """See :meth:`Sender.abandon`."""
        _left_by_parents.append(self._connection)


class _PostgresSender(_Session):
    """Sends NOTIFYs; blocks until they are committed."""

    def __init__(self, connect: Callable[[], Any], work: str, done: str) -> None:
        super().__init__(connect)
        self._work = work
        self._done = done

    def send(self, rings: Sequence[Ring]) -> None:
        notes = _notes(rings, self._work, self._done)
        # No flush to disk for a hint; LOCAL, because behind a pooler the session is not ours.
        parts = ["BEGIN", "SET LOCAL synchronous_commit TO off", *notes, "COMMIT"]
        self.run("; ".join(parts))

    def finish(self, seconds: float) -> None:
        pass  # send() waits


class _PostgresSubscription(_Session):
    """A session with LISTEN."""

    def __init__(self, connect: Callable[[], Any], queues: Collection[str] | None) -> None:
        super().__init__(connect)
        self._queues = None if queues is None else {_mark(q.encode()): q.encode() for q in queues}

    def fileno(self) -> int:
        return int(self.raw.socket)

    def receive(self) -> tuple[list[Ring], bool]:
        self.answered()
        rings: dict[Ring, None] = {}
        while (note := self.raw.notifies()) is not None:
            rings.update(dict.fromkeys(self._rings(bytes(note.extra))))
        return list(rings), False

    def _rings(self, body: bytes) -> list[Ring]:
        if self._queues is None:
            try:
                return [Ring("done", bytes.fromhex(body.decode("ascii")))]
            except ValueError:
                return []
        marks = body.decode("ascii", "replace").split(",")
        rings = [Ring("work", self._queues[mark]) for mark in marks if mark in self._queues]
        return [*rings, Ring("control")] if "control" in marks else rings

    def ping(self) -> bool:
        self.ask("")
        return True


def _notes(rings: Sequence[Ring], work: str, done: str) -> list[str]:
    """NOTIFY statements; their payloads are hexadecimal digits, commas and the word control."""
    marks = [
        _mark(ring.body) if ring.kind == "work" else "control"
        for ring in rings
        if ring.kind != "done"
    ]
    notes = [(work, ",".join(marks[i : i + _QUEUES])) for i in range(0, len(marks), _QUEUES)]
    ids = b"".join(ring.body for ring in rings if ring.kind == "done").hex()
    size = _IDS * 32
    notes += [(done, ids[i : i + size]) for i in range(0, len(ids), size)]
    return [f"NOTIFY {channel}, '{body}'" for channel, body in notes]


def _mark(queue: bytes) -> str:
    return hashlib.blake2b(queue, digest_size=8).hexdigest()
