"""``hammerflow relay``: deliver events to the sinks, in a process of its own."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import click

from hammerflow.cli.options import seconds_option, shared
from hammerflow.cli.session import Session
from hammerflow.notifiers.relay_bell import RelayBell
from hammerflow.sinks.runner import LogKeeping, RelayRunner, listen_for_events

__all__ = ["command"]


@click.command("relay")
@seconds_option("--for", "seconds", help="End after this many seconds [default: no limit].")
@shared
def command(session: Session, seconds: float | None) -> None:
    """Deliver events to the sinks until SIGTERM or Ctrl-C.

    If there are sinks, a worker starts such a process itself. Several relays share the work: one of
    them moves events to the log, and each sink is served by one. When a relay ends, another takes
    over at once; if it was killed, after a few seconds.
    """
    settings = session.settings
    with session.backend() as backend:
        keeping = LogKeeping.of(settings.event_retention)
        runner = RelayRunner(
            backend.store, source=settings.namespace, keeping=keeping,
            code=session.declared_sink_code, ring=backend.notifier.ring,
            bounds=settings.bounds,
        )  # fmt: skip
        backend.store.database.on_events = RelayBell(backend.notifier, also=runner.wake)
        backend.store.names.on_new_queues = backend.notifier.ring_control

        def stop(*_: Any) -> None:
            runner.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        with contextlib.closing(listen_for_events(backend.notifier, runner)):
            runner.run(seconds)
