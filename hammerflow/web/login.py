"""Login: the sessions of browsers, which begin with a one-time link or with a token."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hammerflow.web.access import Principal
from hammerflow.web.guard import check_origin, read_body
from hammerflow.web.headers import HEADERS
from hammerflow.web.problems import RequestRefused, problem_response
from hammerflow.web.tokens import UNKNOWN_TOKEN, TokenCheck

__all__ = ["BrowserLogin"]

_COOKIE = "hammerflow_session"
_PORT = re.compile(r":([0-9]{1,5})\Z")
#: Seconds for which the link can be used, and for which a session lasts.
_LINK, _SESSION = 600.0, 12 * 3600.0
#: Sessions at a time; a further one ends the oldest.
_MOST = 1_000
#: Bytes of a request to log in, and seconds that it may take to arrive.
_LARGEST, _SLOWEST = 4_096, 10.0


class BrowserLogin:
    """Lets browsers in: the first that opens the printed link, and those that send a token.

    The link's code and the sessions live in this process and end with it. Codes are compared in
    constant time; a session is kept as the hash of what its cookie holds, and ends with its token.

    Args:
        linked: who opens the link; None: there is none.
        tokens: knows whose a token is; None: no token is taken.
    """

    def __init__(self, linked: Principal | None, tokens: TokenCheck | None = None) -> None:
        self._linked = linked
        self._tokens = tokens
        self._code = None if linked is None else secrets.token_urlsafe(32)
        self._until = time.monotonic() + _LINK
        self._sessions: dict[bytes, tuple[float, Principal | str]] = {}  # or a token's hash
        self._lock = threading.Lock()

    @property
    def ways(self) -> str:
        """How a browser may log in, as the page is told: ``link``, ``token``, or both."""
        ways = {"link": self._linked, "token": self._tokens}
        return " ".join(name for name, way in ways.items() if way is not None)

    def path(self) -> str:
        """The path of the link."""
        return f"/login?code={self._code}"

    def routes(self) -> list[Route]:
        """What it serves itself."""
        return [
            Route("/login", self._open_link, methods=["GET"]),
            Route("/login", self._take_token, methods=["POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Principal | None:
        """Who holds a session; None without one.

        Raises:
            RequestRefused: a page of another site has sent the request.
        """
        cookie = request.cookies.get(_cookie_name(request))
        with self._lock:
            until, holder = self._sessions.get(_hash(cookie or ""), (0.0, None))
        if holder is None or time.monotonic() > until:
            return None
        check_origin(request)
        if isinstance(holder, Principal):
            return holder
        return None if self._tokens is None else await self._tokens.holder(holder)

    async def _open_link(self, request: Request) -> Response:
        given = request.query_params.get("code", "")
        with self._lock:
            code = self._code
            is_right = code is not None and hmac.compare_digest(given.encode(), code.encode())
            if not is_right or time.monotonic() > self._until or self._linked is None:
                return self._link_refused(request)
            self._code = None
        answer = RedirectResponse(request.scope.get("root_path", "") + "/", 303)
        self._begin(request, answer, self._linked)
        return answer

    def _link_refused(self, request: Request) -> Response:
        """A person is led to the page, which says how to log in, or is logged in already."""
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(request.scope.get("root_path", "") + "/?link=refused", 303)
        detail = "this link was used already or is too old: start the server again for a new one"
        return problem_response(HTTPStatus.FORBIDDEN, detail)

    async def _take_token(self, request: Request) -> Response:
        try:
            check_origin(request)
            sent = await _sent(request)
            found = None if self._tokens is None else await self._tokens.check(
                request, str(sent.get("token", ""))
            )  # fmt: skip
        except RequestRefused as refused:
            return refused.response(HEADERS)
        if found is None:
            detail = UNKNOWN_TOKEN
            return problem_response(HTTPStatus.FORBIDDEN, detail, dict(HEADERS))
        answer = Response(status_code=204, headers=dict(HEADERS))
        self._begin(request, answer, found[0])
        return answer

    def _begin(self, request: Request, answer: Response, holder: Principal | str) -> None:
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[_hash(cookie)] = time.monotonic() + _SESSION, holder
            while len(self._sessions) > _MOST:
                del self._sessions[next(iter(self._sessions))]
        answer.set_cookie(
            _cookie_name(request), cookie, max_age=int(_SESSION), httponly=True, samesite="strict",
            secure=request.url.scheme == "https", path=request.scope.get("root_path", "") or "/",
        )  # fmt: skip

    async def _log_out(self, request: Request) -> Response:
        try:
            check_origin(request)
        except RequestRefused as refused:
            return refused.response(HEADERS)
        with self._lock:
            self._sessions.pop(_hash(request.cookies.get(_cookie_name(request), "")), None)
        answer = Response(status_code=204)
        path = request.scope.get("root_path", "") or "/"
        answer.delete_cookie(_cookie_name(request), path=path)
        return answer


def _cookie_name(request: Request) -> str:
    """The name of the cookie. Browsers send the cookies of a host to all of its ports, so two
    servers on one host would log one another's users out."""
    port = _PORT.search(request.headers.get("host", ""))
    return _COOKIE if port is None else f"{_COOKIE}_{port[1]}"


async def _sent(request: Request) -> Mapping[str, object]:
    """The small JSON object that was sent; an empty one for anything else."""
    data = await read_body(request, largest=_LARGEST, within=_SLOWEST)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()
