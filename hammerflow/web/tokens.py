"""Tokens: who sends one in the header ``Authorization: Bearer hf_...``, or logs in with it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from anyio.to_thread import run_sync
from starlette.requests import Request

from hammerflow.stores.access import Access, TokenRow, token_hash
from hammerflow.web.access import Principal, Role
from hammerflow.web.problems import RequestRefused

__all__ = ["UNKNOWN_TOKEN", "TokenCheck", "TokenLogin"]

UNKNOWN_TOKEN = (
    "this token is unknown, revoked or expired: make one with hammerflow web token create NAME"
)

#: Wrong tokens of one address within this many seconds, after which it waits as long.
_WRONG, _WINDOW = 10, 60.0
#: Addresses that are remembered.
_MOST = 10_000


class TokenCheck:
    """Knows which tokens hold, and slows down who guesses.

    Args:
        access: the table of tokens.
        most: the highest role that a token gives here, whatever it was made for.
    """

    def __init__(self, access: Access, most: Role = Role.ADMIN) -> None:
        self._access = access
        self._most = most
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    async def check(self, request: Request, token: str) -> tuple[str, Principal] | None:
        """The hash of a token and whose it is; None if it does not hold.

        Raises:
            RequestRefused: the address has sent too many wrong tokens.
        """
        address = request.client.host if request.client is not None else ""
        if self._is_locked_out(address):
            detail = f"too many wrong tokens: wait for {_WINDOW:g} s"
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after=int(_WINDOW))
        hashed = token_hash(token.strip())
        who = await self.holder(hashed)
        if who is None:
            self._note_wrong(address)
            return None
        return hashed, who

    async def holder(self, hashed: str) -> Principal | None:
        """Whose token has this hash; None if it does not hold, or not any more."""
        row: TokenRow | None = await run_sync(self._access.find, hashed)
        if row is None:
            return None
        return Principal(f"token {row.name}", min(Role(row.role), self._most), row.sees_values)

    def _is_locked_out(self, address: str) -> bool:
        with self._lock:
            times = self._wrong.get(address, ())
            return len(times) >= _WRONG and times[-_WRONG] > time.monotonic() - _WINDOW

    def _note_wrong(self, address: str) -> None:
        with self._lock:
            times = self._wrong.setdefault(address, [])
            times.append(time.monotonic())
            del times[:-_WRONG]
            self._wrong.move_to_end(address)
            while len(self._wrong) > _MOST:
                self._wrong.popitem(last=False)


class TokenLogin:
    """Lets in who sends a valid token with each request; whoever sends none may log in otherwise.

    Args:
        otherwise: asked for requests without a token.
    """

    def __init__(
        self, tokens: TokenCheck, otherwise: Callable[[Request], Awaitable[Principal | None]]
    ) -> None:
        self._tokens = tokens
        self._otherwise = otherwise

    async def authorize(self, request: Request) -> Principal | None:
        """Who asks; None for nobody.

        Raises:
            RequestRefused: the token does not hold, or the address has sent too many wrong ones.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return await self._otherwise(request)
        found = await self._tokens.check(request, token)
        if found is None:
            raise RequestRefused(HTTPStatus.UNAUTHORIZED, UNKNOWN_TOKEN)
        return found[1]
