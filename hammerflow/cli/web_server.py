"""The server of the dashboard and the REST API, if its extra is installed."""

from __future__ import annotations

from typing import Any

from hammerflow.errors import MissingExtra

__all__ = ["web_server"]


def web_server(what: str) -> Any:
    """The function that serves.

    Args:
        what: needs it, as the beginning of a message.

    Raises:
        MissingExtra: a package of the extra ``web`` is not installed.
    """
    try:
        from hammerflow.web.server import serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "hammerflow":
            raise
        raise MissingExtra(package=missing, extra="web", what=what) from error
    return serve
