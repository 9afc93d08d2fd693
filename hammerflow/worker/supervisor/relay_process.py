"""RelayProcess: the process of a worker that delivers events, running while there are sinks."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.errors import StoreUnavailable
from hammerflow.ids import worker_number
from hammerflow.notifiers import Notifier
from hammerflow.notifiers.relay_bell import RelayBell
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.services.runner import ServiceRunner
from hammerflow.settings import Settings
from hammerflow.sinks.declared import code_named, follow_code
from hammerflow.stores.store import Store
from hammerflow.worker.loading import project_folder
from hammerflow.worker.logs import facts
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.processes import keep_from_reaping
from hammerflow.worker.supervisor.alerts import WorkerAlerts
from hammerflow.worker.supervisor.fork_server_client import Greeting

__all__ = ["RelayProcess", "WorkerRelay"]

log = logging.getLogger("hammerflow.relay")

#: Seconds between two checks of the process, and from its death to the next one, at least and most.
_CHECK, _LEAST, _MOST = 2.0, 1.0, 30.0
#: Seconds that it gets to end.
_END = 12.0
_CODE = """\
import json, sys
given = json.loads(sys.stdin.readline())
sys.path[:] = given["path"]
from hammerflow.worker.relay import main
main(given)
"""


@dataclass(eq=False)
class RelayProcess:
    """A process of its own, because drivers of brokers survive no fork and hold much memory, and an
    outage of a sink must not reach what settles jobs. It reads the end of its standard input when
    the worker is gone, and ends."""

    store: Store
    _: KW_ONLY
    settings: Settings
    options: WorkerOptions
    definitions: Mapping[str, str]  # of the sinks of the app's code
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _number: int = field(init=False, default=0)  # by which the database knows it
    _started_at: float = field(init=False, default=0.0)
    _pause: float = field(init=False, default=_LEAST)
    is_declared: bool = field(init=False, default=False)
    # Of the pipe: its descriptor may be another file's once it is closed.
    _writing: threading.Lock = field(init=False, default_factory=threading.Lock)

    def declare(self) -> None:
        """Write the sinks of the code, before the first claim."""
        if self.definitions:
            follow_code(self.store.sinks, self.settings.namespace, self.definitions)
        self.is_declared = True

    def tick(self, now: float) -> float:
        """Start the process if it is missing; end it if there are no sinks any more."""
        if not self.is_declared:
            self.declare()
        is_needed = self.store.names.outbox.current() != 0
        if self._process is not None and self._process.poll() is not None:
            self._note_death(self._process.returncode)
            return self._pause
        if is_needed and self._process is None:
            self._start()
        elif not is_needed and self._process is not None:
            self.stop()
        return _CHECK

    def wake(self) -> None:
        """Have it move what was written, now; this never blocks."""
        if not self._writing.acquire(blocking=False):
            return
        try:
            if self._process is not None and self._process.stdin is not None:
                with contextlib.suppress(OSError):  # it has died, or has a thousand wakes to read
                    os.write(self._process.stdin.fileno(), b".")
        finally:
            self._writing.release()

    def stop(self) -> None:
        """End the process, and wait for it."""
        with self._writing:
            process, self._process = self._process, None
            if process is None:
                return
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> None:
        self._number = worker_number()
        given = {
            "settings": self.settings.to_dict(), "path": sys.path, "number": self._number,
            "code": sorted(code_named(self.definitions)),
            "log_format": self.options.log_format, "log_level": self.options.log_level,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            cwd=project_folder(),
        )  # fmt: skip
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(given).encode() + b"\n")
            process.stdin.flush()
            os.set_blocking(process.stdin.fileno(), False)
        except OSError as error:
            log.debug("the relay process has ended at its start: %s", error)
        keep_from_reaping(process)
        self._process, self._started_at = process, time.monotonic()
        log.info("relay process started", extra=facts(pid=process.pid))

    def _note_death(self, status: int) -> None:
        with self._writing:
            self._process = None  # which closes the pipe
        lived = time.monotonic() - self._started_at
        self._pause = _LEAST if lived > _MOST else min(self._pause * 2, _MOST)
        log.error(
            "the relay process has ended with %d; the next one starts in %g s", status, self._pause
        )
        with contextlib.suppress(StoreUnavailable):  # else others wait until its turn has run out
            self.store.events.give_turn(self._number)
            self.store.sinks.give_all(self._number)


class WorkerRelay:
    """What tells others what happens: the relay with the thread that watches it, and alerts."""

    def __init__(
        self, store: Store, options: WorkerOptions, greeting: Greeting, status: DatabaseStatus,
        notifier: Notifier,
    ) -> None:  # fmt: skip
        self._process = RelayProcess(
            store, settings=greeting.settings, options=options, definitions=greeting.sinks
        )
        # This worker's relay hears it without a doorbell, too.
        store.database.on_events = RelayBell(notifier, also=self._process.wake)
        self._runner = ServiceRunner("relay", [self._process], status)
        self._alerts = WorkerAlerts(store, greeting.settings, status, greeting.alerts)

    def start(self) -> None:
        """Declare the sinks of the code, and start the thread."""
        with contextlib.suppress(StoreUnavailable):  # it tries again
            self._process.declare()
        self._runner.start()
        self._alerts.start()

    def follow(self, greeting: Greeting) -> None:
        """The code may declare other sinks and alerts now."""
        self._alerts.follow(greeting.alerts)
        if greeting.sinks != self._process.definitions:
            self._process.definitions, self._process.is_declared = greeting.sinks, False
            self._process.stop()  # the next one gets the new code
            self._runner.wake(self._process)

    def stop(self) -> None:
        """End both."""
        self._runner.stop(timeout=1.0)
        self._alerts.stop()
        self._process.stop()
