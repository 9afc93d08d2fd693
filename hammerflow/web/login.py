"""Login: the one-time link of a server on this machine, and the sessions that begin with it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hammerflow.web.access import Principal
from hammerflow.web.guard import check_origin
from hammerflow.web.problems import RequestRefused, problem_response

__all__ = ["COOKIE", "LocalLogin"]

COOKIE = "hammerflow_session"
#: Seconds for which the link can be used, and for which a session lasts.
_LINK, _SESSION = 600.0, 12 * 3600.0
#: Sessions at a time; a further one ends the oldest.
_MOST = 32


class LocalLogin:
    """Lets in whoever opens the link that the server has printed, once.

    The link's code and the sessions live in this process and end with it. They are compared in
    constant time; a session is kept as the hash of what its cookie holds.

    Args:
        who: who that is.
    """

    def __init__(self, who: Principal) -> None:
        self._who = who
        self._code: str | None = secrets.token_urlsafe(32)
        self._until = time.monotonic() + _LINK
        self._sessions: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def path(self) -> str:
        """The path of the link."""
        return f"/login?code={self._code}"

    def routes(self) -> list[Route]:
        """What it serves itself."""
        return [
            Route("/login", self._log_in, methods=["GET"]),
            Route("/logout", self._log_out, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Principal | None:
        """Who holds a session; None without one.

        Raises:
            RequestRefused: a page of another site has sent the request.
        """
        cookie = request.cookies.get(COOKIE)
        if cookie is None or not self._is_known(cookie):
            return None
        check_origin(request)
        return self._who

    def _is_known(self, cookie: str) -> bool:
        with self._lock:
            until = self._sessions.get(_hash(cookie))
            return until is not None and time.monotonic() < until

    async def _log_in(self, request: Request) -> Response:
        given = request.query_params.get("code", "")
        with self._lock:
            code, now = self._code, time.monotonic()
            is_right = code is not None and hmac.compare_digest(given.encode(), code.encode())
            if not is_right or now > self._until:
                detail = "this link was used already or is too old: start the server again"
                return problem_response(HTTPStatus.FORBIDDEN, detail)
            self._code = None
            cookie = secrets.token_urlsafe(32)
            self._sessions[_hash(cookie)] = now + _SESSION
            while len(self._sessions) > _MOST:
                del self._sessions[next(iter(self._sessions))]
        answer = RedirectResponse(request.scope.get("root_path", "") + "/", 303)
        answer.set_cookie(
            COOKIE, cookie, max_age=int(_SESSION), httponly=True, samesite="strict",
            secure=request.url.scheme == "https", path=request.scope.get("root_path", "") or "/",
        )  # fmt: skip
        return answer

    async def _log_out(self, request: Request) -> Response:
        try:
            check_origin(request)
        except RequestRefused as refused:
            return problem_response(refused.status, refused.detail)
        with self._lock:
            self._sessions.pop(_hash(request.cookies.get(COOKIE, "")), None)
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE)
        return answer


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
