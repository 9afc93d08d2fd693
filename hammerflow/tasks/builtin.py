"""The builtin tasks: the one behind empty groups and replace() with a group, and deliveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hammerflow.context import current_job

if TYPE_CHECKING:
    from hammerflow.settings import Settings
    from hammerflow.stores.store import Store

__all__ = ["BUILTIN", "builtin_tasks"]

#: Prefix of the builtin tasks' names.
BUILTIN = "hammerflow."
#: Attempts of a delivery, and seconds for one: the request has 15 of its own.
_ATTEMPTS, _TIMEOUT = 10, 60


class _DeliveringApp(Protocol):
    @property
    def settings(self) -> Settings: ...
    @property
    def store(self) -> Store: ...


def builtin_tasks(
    app: _DeliveringApp,
) -> Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]]:
    """The functions of the builtin tasks by name, with their options."""

    def collect(results: list[Any]) -> list[Any]:
        return results

    def deliver(
        name: str, generation: int, position: int, message: str, headers: dict[str, str],
        body: str | bytes,
    ) -> int:  # fmt: skip
        from hammerflow.sinks.webhook import WebhookCall, run_delivery  # imports ssl

        call = WebhookCall(name, generation, position, message, headers, body)
        return run_delivery(app.store, app.settings.bounds, current_job().attempt, call)

    return {
        f"{BUILTIN}collect": (collect, {}),
        f"{BUILTIN}deliver": (deliver, {"max_attempts": _ATTEMPTS, "timeout": _TIMEOUT}),
    }
