"""Django: the REST API inside a Django project, behind its own log-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.web.mounting import MountedApi, Principal, sent_path

__all__ = ["api_view"]


def api_view(app: Hammerflow, *, who: Callable[[Any], Principal | None]) -> Callable[..., Any]:
    """A view for ``re_path(r"^jobs/(?P<path>.*)$", ...)``, in a decorator such as
    ``staff_member_required``.

    It is exempt from Django's check of forms, as it has one of its own: a change without a token
    in the header ``Authorization`` needs the header ``X-Hammerflow``.

    Args:
        app: whose jobs it serves.
        who: says who asks, from the request's user; None for nobody.
    """
    from django.http import HttpResponse

    api = MountedApi(app, title=app.name)

    def hammerflow_api(request: Any, path: str = "") -> Any:
        root = request.path[: len(request.path) - len(path) - 1]
        found = api.answer(
            who(request), request.method, f"/{path}", prefix=root,
            query=request.META.get("QUERY_STRING", ""), headers=request.headers.items(),
            body=request.body, address=request.META.get("REMOTE_ADDR", ""),
            sent_path=_sent_path(request),
        )  # fmt: skip
        answer = HttpResponse(found.body, status=found.status)
        for name, value in found.headers:
            answer[name] = value
        return answer

    hammerflow_api.csrf_exempt = True  # type: ignore[attr-defined]
    return hammerflow_api


def _sent_path(request: Any) -> str:
    scope = getattr(request, "scope", {})  # of ASGI
    return bytes(scope.get("raw_path") or b"").decode("latin-1") or sent_path(request.META)
