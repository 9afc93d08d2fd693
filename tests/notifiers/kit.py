"""What tests of the doorbell share: one who listens, the lines logged, servers that misbehave."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator

from hammerflow.notifiers import Notifier

__all__ = ["LONG", "SHORT", "Lines", "Listening", "drain", "in_a_fork", "silent_server", "until"]

#: Seconds after which what must come has not come, and in which what must not come would have.
LONG = 20.0
SHORT = 0.3

LOGGER = logging.getLogger("hammerflow.notifiers")


class Listening:
    """Somebody who listens, from the first subscription on."""

    def __init__(self, notifier: Notifier, *queues: str) -> None:
        self.work = threading.Event()
        self.control = threading.Event()
        self.count = 0
        self.last_at = 0.0
        self._listener = notifier.listen(
            queues=queues or ("mail",), on_work=self._worked, on_control=self.control.set
        )
        self.comes()  # something may have been missed, before
        assert self.control.wait(LONG)
        self.control.clear()
        self.count = 0

    def _worked(self) -> None:
        self.count += 1
        self.last_at = time.monotonic()
        self.work.set()

    def comes(self) -> None:
        """Wait for a call."""
        assert self.work.wait(LONG), "no ring came"
        self.work.clear()

    def is_quiet(self) -> bool:
        """Whether no call comes for a while."""
        return not self.work.wait(SHORT)

    def close(self) -> None:
        self._listener.close()


class Lines(logging.Handler):
    """The lines that the doorbell logs, one by one."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.put(record.getMessage())

    def next(self) -> str:
        """The next line; waits for it."""
        return self._lines.get(timeout=LONG)

    def rest(self) -> list[str]:
        """What has been logged and not been asked for."""
        return list(drain(self._lines))

    def alternate(self) -> bool:
        """Whether the lines not asked for say up, down, up, down ..., each once."""
        return all(("down" if n % 2 else "up") in line for n, line in enumerate(self.rest()))

    @property
    def any(self) -> bool:
        return not self._lines.empty()


def drain(lines: queue.SimpleQueue[str]) -> Iterator[str]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield lines.get_nowait()


def until(true: Callable[[], object], do: Callable[[], object] = lambda: None) -> float:
    """Do it again and again until something is true; the longest time in seconds that it took."""
    longest = 0.0
    deadline = time.monotonic() + LONG
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        began = time.monotonic()
        do()
        longest = max(longest, time.monotonic() - began)
        pause.wait(0.02)
    return longest


def in_a_fork(work: Callable[[], object]) -> bool:
    """Whether the work, done in a forked child, raises nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # we have threads: that is the point
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
