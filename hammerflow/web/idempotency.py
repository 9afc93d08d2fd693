"""Idempotency: a request that is sent again with its ``Idempotency-Key`` is not done again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from hammerflow.stores.answers import KeptAnswers
from hammerflow.web.access import Principal
from hammerflow.web.problems import RequestRefused

__all__ = ["IDEMPOTENCY_KEY", "answer_once", "key_of"]

IDEMPOTENCY_KEY = "idempotency-key"
_LONGEST = 255
_WRONG = HTTPStatus.UNPROCESSABLE_ENTITY


def key_of(request: Request, who: Principal) -> str | None:
    """What names a request: who asks, what for, and the key that was sent; None without one."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not 0 < len(key) <= _LONGEST:
        raise RequestRefused(_WRONG, f"an Idempotency-Key has 1 to {_LONGEST} characters")
    # Two tokens may have one name: an answer with values is not for one that sees none.
    sight = "values" if who.sees_values else ""
    return _hash(who.name, sight, request.method, str(request.url.path), request.url.query, key)


def answer_once(
    answers: KeptAnswers,
    key: str,
    sent: bytes,
    headers: dict[str, str],
    act: Callable[[], Response],
) -> Response:  # fmt: skip
    """The answer of ``act``, or the one that was kept for this key within the last day.

    Args:
        sent: the body of the request.
        headers: of an answer that was kept.

    Raises:
        RequestRefused: the key came with another body, or its first request is under way.
    """
    body = hashlib.sha256(sent).hexdigest()
    kept = answers.begin(key, body)
    if kept is not None:
        if kept.body != body:
            detail = "this Idempotency-Key was sent with another body: use a new key"
            raise RequestRefused(_WRONG, detail)
        if kept.status is None:
            detail = "the first request with this Idempotency-Key is under way: wait for it"
            raise RequestRefused(HTTPStatus.CONFLICT, detail)
        replayed = {**headers, "idempotent-replayed": "true"}
        return Response(kept.answer, kept.status, replayed, "application/json")
    try:
        answer = act()
    except BaseException:
        answers.drop(key)  # nothing was done, or nobody knows: it may be tried again
        raise
    answers.end(key, answer.status_code, bytes(answer.body).decode())
    return answer


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
