"""Backend: what the handlers need of an app, or of a database alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from hammerflow.results.waiting import ResultBackend

if TYPE_CHECKING:
    from hammerflow.app import Hammerflow
    from hammerflow.settings import Settings

__all__ = ["Backend", "app_of", "start_thread"]


class Backend(ResultBackend, Protocol):
    """A store, its doorbell and codec: an app is one, and so is what a command has opened."""

    @property
    def settings(self) -> Settings: ...


def app_of(backend: Backend) -> Hammerflow | None:
    """The app behind a backend; None where only a database is known."""
    from hammerflow.app import Hammerflow

    return backend if isinstance(backend, Hammerflow) else None


def start_thread(backend: Backend, work: Callable[[], object], name: str) -> None:
    """Run ``work`` in a thread; an app that is closed waits for it for some seconds."""
    app = app_of(backend)
    if app is None:  # a server of its own: the thread ends with the process
        threading.Thread(target=work, name=name, daemon=True).start()
    else:
        app.async_calls.start(work, name)
