"""The relay process of a worker: delivers events until the worker closes its standard input.

Each byte that comes there is a wake: the worker has written events.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from hammerflow.notifiers import open_notifier
from hammerflow.notifiers.relay_bell import RelayBell
from hammerflow.settings import Settings
from hammerflow.sinks.runner import LogKeeping, RelayRunner, listen_for_events
from hammerflow.stores import open_store
from hammerflow.worker import logs
from hammerflow.worker.processes import set_title

__all__ = ["main"]


def main(given: Mapping[str, Any]) -> None:
    """Run the relay.

    Args:
        given: ``settings`` of the worker as a dict; ``log_format`` and ``log_level``; ``code``
            and ``number`` are those of :class:`RelayRunner`.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the worker ends it, after its jobs
    settings = Settings.from_dict(given["settings"])
    set_title("relay")
    logs.configure(given["log_format"], given["log_level"])
    with contextlib.ExitStack() as opened:
        store = opened.enter_context(contextlib.closing(open_store(settings)))
        notifier = open_notifier(settings, connect=store.database.open_connection)
        opened.enter_context(contextlib.closing(notifier))
        store.names.on_new_queues = notifier.ring_control
        keeping = LogKeeping.of(settings.event_retention)
        runner = RelayRunner(
            store, source=settings.namespace, keeping=keeping, code=frozenset(given["code"]),
            ring=notifier.ring, number=given["number"], bounds=settings.bounds,
        )  # fmt: skip
        store.database.on_events = RelayBell(notifier, also=runner.wake)
        opened.enter_context(contextlib.closing(listen_for_events(notifier, runner)))
        threading.Thread(target=_follow_worker, args=(runner,), daemon=True).start()
        runner.run()


def _follow_worker(runner: RelayRunner) -> None:
    """Pass its wakes on, and stop once the worker is gone, however that has ended."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(sys.stdin.fileno(), 4_096):
            runner.wake()
    runner.stop()
