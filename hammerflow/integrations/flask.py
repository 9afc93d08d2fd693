"""Flask: the REST API inside a Flask application, behind its own log-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.web.mounting import MountedApi, Principal, sent_path

__all__ = ["mount"]

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def mount(
    site: Any, app: Hammerflow, *, who: Callable[[], Principal | None], prefix: str = "/hammerflow"
) -> None:
    """Serve the API of ``app`` below ``prefix`` of a Flask site.

    Args:
        site: the Flask application, or a blueprint.
        who: says who asks, from ``flask.session``, ``flask_login.current_user`` or the like; None
            for nobody. It may raise or abort, as for a redirect to the log-in.
        prefix: a path without a slash at its end.
    """
    from flask import Response, request

    api = MountedApi(app, title=app.name)

    def hammerflow_api(path: str = "") -> Response:
        root = request.script_root + request.path[: len(request.path) - len(path) - 1]
        found = api.answer(
            who(), request.method, f"/{path}", prefix=root,
            query=request.query_string.decode("latin-1"), headers=request.headers.items(),
            body=request.get_data(cache=False), address=request.remote_addr or "",
            sent_path=sent_path(request.environ),
        )  # fmt: skip
        return Response(found.body, found.status, [*found.headers])

    site.add_url_rule(f"{prefix}/<path:path>", "hammerflow", hammerflow_api, methods=_METHODS)
