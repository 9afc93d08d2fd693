"""Asking: a question of whoever runs a command to a worker."""

from __future__ import annotations

from typing import Any

from hammerflow.admin import asking
from hammerflow.cli.session import SessionBackend
from hammerflow.text import user_at_host

__all__ = ["WAIT_HELP", "ask_worker"]

WAIT_HELP = "Wait this long for the answer of the worker."


def ask_worker(
    backend: SessionBackend, worker_id: int, kind: str, timeout: float, **question: Any
) -> dict[str, Any]:
    """:func:`hammerflow.admin.asking.ask_worker` in the name of this user."""
    return asking.ask_worker(backend, worker_id, kind, timeout, by=user_at_host(), **question)
