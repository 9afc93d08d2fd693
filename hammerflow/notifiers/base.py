"""What a notifier offers to the rest of hammerflow, and what a transport offers to a notifier."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol, Self

__all__ = [
    "RELAYS",
    "Callback",
    "Listener",
    "Notifier",
    "Ring",
    "Sender",
    "Subscription",
    "Transport",
    "Waiter",
]

Callback = Callable[[], None]

#: The queue whose rings tell relays that events were written; no job is ever in it.
RELAYS: Final = "_events"


class Ring(NamedTuple):
    """One ring: a hint to query the database.

    Nothing in it is trusted: a forged ring costs one query, a lost one costs the wait for the next
    poll.

    Attributes:
        kind: "work" (jobs are ready in a queue), "done" (jobs have ended), "control" (cancels,
            pauses or new queues), or "all" (rings were lost; any of the others may be among them).
        body: work: the queue's name; done: ids of 16 bytes each, empty for any job.
    """

    kind: Literal["work", "done", "control", "all"]
    body: bytes = b""


class Waiter(Protocol):
    """Waits for the ring of one job's or workflow's end; rings count from entering the context."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def wait(self, timeout: float) -> bool:
        """Wait for a ring, at most ``timeout`` seconds; whether it rang since the last wait that
        returned True. Either answer may be wrong (a false alarm, a lost ring): read the job."""
        ...


class Listener(Protocol):
    """Calls back for rings, from a thread, until it is closed."""

    def close(self) -> None:
        """Stop listening. No callback begins after this has returned."""
        ...


class Notifier(Protocol):
    """The doorbell. Its methods never raise and never block for longer than half a second.

    Those that only tell something do nothing here, for a notifier without a doorbell.
    """

    @property
    def is_heard(self) -> bool | None:
        """Whether rings reach their listeners; None without a doorbell."""
        return None

    def ring(self, queues: Iterable[str]) -> None:
        """Tell workers that jobs are ready in these queues; call it after the commit."""
        return

    def ring_done(self, ids: Sequence[bytes]) -> None:
        """Tell those who wait that these jobs and workflows have ended."""
        return

    def ring_control(self) -> None:
        """Tell workers that cancels, pauses, resumes or new queues were written."""
        return

    def listen(
        self, *, queues: Collection[str], on_work: Callback, on_control: Callback
    ) -> Listener:
        """Call back, from a thread, when jobs may be ready in these queues, or after a control.

        A burst of rings is one call. Each subscription calls back, too: it may have missed rings.
        """
        ...

    def expect(self, job_id: bytes, on_ring: Callback | None = None) -> Waiter:
        """A waiter for one end: enter it, then read the job, then wait.

        Args:
            on_ring: called from another thread, must not block; for one who waits for many ends and
                does not call ``wait``.
        """
        ...

    def close(self) -> None:
        """Close connections, threads and listeners."""
        return


class Sender(Protocol):
    """One connection that sends rings; one thread uses it at a time."""

    def send(self, rings: Sequence[Ring]) -> None:
        """Send without waiting for a reply; TimeoutError if the other side does not read or reply,
        another OSError if the connection is broken."""
        ...

    def finish(self, seconds: float) -> None:
        """Wait until everything sent has arrived, at most ``seconds``, or raise OSError."""
        ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """Drop the connection in a forked child, and send nothing on it: it is the parent's."""
        ...


class Subscription(Protocol):
    """One confirmed subscription; one thread uses it. OSError if the connection is broken."""

    def fileno(self) -> int: ...

    def receive(self) -> tuple[list[Ring], bool]:
        """The rings that have arrived, without blocking; and whether more may be buffered."""
        ...

    def ping(self) -> bool:
        """Probe the other side after a quiet time; whether a reply will come."""
        ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """As :meth:`Sender.abandon`."""
        ...


class Transport(Protocol):
    """A carrier of rings: Redis, sockets of the same host, PostgreSQL.

    Attributes:
        label: its name in logs; holds no password.
        instant: ``connect`` does not block.
        direct: ``send`` does not block; otherwise only the flush thread calls it.
    """

    label: str
    instant: bool
    direct: bool

    def connect(self) -> Sender:
        """Connect in order to ring; OSError if the other side cannot be reached now."""
        ...

    def subscribe(self, queues: Collection[str] | None) -> Subscription:
        """Subscribe to the work of these queues and to controls; for None, to ends of jobs. OSError
        as for :meth:`connect`."""
        ...
