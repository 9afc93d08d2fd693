"""Backend: what the handlers need of an app, or of a database alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hammerflow.app import Hammerflow
    from hammerflow.codec.codec import Codec
    from hammerflow.notifiers import Notifier
    from hammerflow.results.async_calls import AsyncCalls
    from hammerflow.settings import Settings
    from hammerflow.stores.store import Store

__all__ = ["Backend", "app_of", "start_thread"]


class Backend(Protocol):
    """A store, its doorbell and codec: an app is one, and so is what a command has opened."""

    @property
    def store(self) -> Store: ...
    @property
    def notifier(self) -> Notifier: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def poll(self) -> float: ...
    @property
    def lease(self) -> float: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def async_calls(self) -> AsyncCalls: ...
    @property
    def open_transaction(self) -> ContextVar[Any]: ...


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
