"""``app.webhook``: endpoints that the code declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hammerflow.sinks.declared import DeclaredSinks

__all__ = ["declare"]


class _DeclaringApp(Protocol):
    @property
    def sinks(self) -> DeclaredSinks: ...


def declare(
    self: _DeclaringApp, name: str, url: str, *, kinds: Sequence[str] | None = None,
    queues: Sequence[str] = (), tasks: Sequence[str] = (),
    min_priority: int | str | None = None, min_duration: float | timedelta | str | None = None,
    with_headers: Mapping[str, str] | None = None,
    with_metadata: Mapping[str, str] | None = None,
    include: Sequence[str] = (), secret: str | None = None,
    disable_failures: int | None = None, disable_after: float | timedelta | None = None,
) -> None:  # fmt: skip
    """Declare an endpoint that gets a signed POST request for each matching event:
    ``app.webhook("ops", "https://ops.example/hooks", kinds=["job.failed"])``.

    Each delivery is a durable job of the queue ``_webhooks``, tried ten times over three days.
    Workers write the endpoint to the database at their start, before they claim.

    Args:
        name: of the endpoint, and of its sink.
        url: http or https; its host must be on the public internet, or in one of the networks of
            the setting ``webhook_allow_networks``.
        kinds, queues, tasks, min_priority, min_duration, with_headers, with_metadata: which
            events, as for :meth:`sink`.
        include: ``args``, ``result`` or both, to tell these of jobs, too.
        secret: ``whsec_...``, a private key ``whsk_...``, or ``${NAME}`` of the workers'
            environment; by default one is made, and ``hammerflow webhook rotate`` makes and prints
            another.
        disable_failures: failures in a row (20) after which the endpoint is disabled ...
        disable_after: ... once it has also had no success for this number of seconds (five days).

    Raises:
        ConfigError: the name is taken, or an argument is wrong.
    """
    parts = {
        "kinds": kinds, "queues": queues, "tasks": tasks, "min_priority": min_priority,
        "min_duration": min_duration, "headers": with_headers, "metadata": with_metadata,
    }  # fmt: skip
    options: dict[str, Any] = {"url": url, "include": include}
    given = {
        "secret": secret, "disable_failures": disable_failures, "disable_after": disable_after,
    }  # fmt: skip
    options |= {option: value for option, value in given.items() if value is not None}
    self.sinks.add(name, "webhook", options, parts)
