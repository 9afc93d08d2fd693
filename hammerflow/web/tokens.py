"""Tokens: who sends one in the header ``Authorization: Bearer hf_...``."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from anyio.to_thread import run_sync
from starlette.requests import Request

from hammerflow.stores.access import Access
from hammerflow.web.access import Principal, Role
from hammerflow.web.problems import RequestRefused

__all__ = ["TokenLogin"]

#: Wrong tokens of one address within this many seconds, after which it waits as long.
_WRONG, _WINDOW = 10, 60.0
#: Addresses that are remembered.
_MOST = 10_000


class TokenLogin:
    """Lets in who sends a valid token; whoever sends none may log in another way.

    Args:
        access: the table of tokens.
        otherwise: asked for requests without a token.
    """

    def __init__(
        self, access: Access, otherwise: Callable[[Request], Awaitable[Principal | None]]
    ) -> None:
        self._access = access
        self._otherwise = otherwise
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    async def authorize(self, request: Request) -> Principal | None:
        """Who asks; None for nobody.

        Raises:
            RequestRefused: the address has sent too many wrong tokens.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return await self._otherwise(request)
        address = request.client.host if request.client is not None else ""
        if self._is_locked_out(address):
            detail = f"too many wrong tokens: wait for {_WINDOW:g} s"
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, detail)
        row = await run_sync(self._access.find, token.strip())
        if row is None:
            self._note_wrong(address)
            return None
        return Principal(f"token {row.name}", Role(row.role), row.sees_values)

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
