"""What every doorbell offers, and what a way to carry rings must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol, Self

__all__ = ["Listener", "Notifier", "Ring", "Sender", "Subscription", "Transport", "Waiter"]


class Ring(NamedTuple):
    """One ring. It is a hint and carries nothing that is trusted: who hears it looks at the
    database, so that a forged one costs a look and a lost one costs the wait for the next poll."""

    kind: Literal["work", "done", "control", "all"]  # all: some rings were lost, take any for rung
    body: bytes = b""  # work: the queue's name; done: ids of 16 bytes each, none for any job


class Waiter(Protocol):
    """Waits for the ring of one job's end, from entering the context until leaving it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def wait(self, timeout: float) -> bool:
        """Whether it was rung since the last wait returned True, after ``timeout`` seconds at
        most. True may be a false alarm, and False a ring that was lost: look at the job."""
        ...


class Listener(Protocol):
    """Hears rings in the background until it is closed."""

    def close(self) -> None:
        """Stop hearing; no callback begins after this has returned."""
        ...


class Notifier(Protocol):
    """The doorbell: never raises, never keeps its caller waiting for more than half a second."""

    def ring(self, queues: Iterable[str]) -> None:
        """Say that there is work in these queues; call it after the commit."""
        ...

    def ring_done(self, ids: Sequence[bytes]) -> None:
        """Say that these jobs have ended."""
        ...

    def ring_control(self) -> None:
        """Say that cancels, pauses or resumes were written."""
        ...

    def listen(
        self,
        *,
        queues: Collection[str],
        on_work: Callable[[], None],
        on_control: Callable[[], None],
    ) -> Listener:
        """Call back from a thread whenever there may be work in these queues, or a control.

        A burst of rings is one call. Both are also called once after each (re)subscription:
        something may have been missed.
        """
        ...

    def expect(self, job_id: bytes) -> Waiter:
        """A bell for one job's end: enter it first, then read the job, then wait."""
        ...

    def close(self) -> None:
        """Close connections and end threads; listeners included."""
        ...


class Sender(Protocol):
    """One connection that sends rings; used by one thread at a time."""

    def send(self, rings: Sequence[Ring]) -> None:
        """Send without waiting for an answer.

        Raises:
            TimeoutError: the other side hangs.
            OSError: the connection is broken.
        """
        ...

    def finish(self, seconds: float) -> None:
        """Wait so long at most until what was sent has arrived.

        Raises:
            OSError: it has not.
        """
        ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """Let go of it in a forked child, without a word to the other side."""
        ...


class Subscription(Protocol):
    """One subscription, confirmed by the other side; used by one thread."""

    def fileno(self) -> int: ...

    def hear(self) -> tuple[list[Ring], bool]:
        """What has come, without blocking; and whether more may stand in a buffer already.

        Raises:
            OSError: the connection is broken.
        """
        ...

    def ping(self) -> bool:
        """Ask for a sign of life, after some quiet; whether one is to be expected.

        Raises:
            OSError: the subscription is broken.
        """
        ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """Let go of it in a forked child, without a word to the other side."""
        ...


class Transport(Protocol):
    """A way to carry rings: Redis, sockets on the same host, PostgreSQL.

    Attributes:
        label: what logs call it; no passwords.
        instant: ``dial`` does not block.
        direct: ``send`` does not block; otherwise a thread does it.
    """

    label: str
    instant: bool
    direct: bool

    def dial(self) -> Sender:
        """Connect in order to ring.

        Raises:
            OSError: it cannot be done now.
        """
        ...

    def tune(self, queues: Collection[str] | None) -> Subscription:
        """Subscribe to the work of these queues and to controls; or, for None, to ends of jobs.

        Raises:
            OSError: it cannot be done now.
        """
        ...
