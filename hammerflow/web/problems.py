"""Problems: errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from hammerflow.admin.calls import WrongArguments
from hammerflow.errors import (
    ConfigError,
    HammerflowError,
    JobNotFound,
    NotDecodable,
    NotEncodable,
    NotUnique,
    SchemaMismatch,
    StoreUnavailable,
    UnknownTask,
    WorkflowInvalid,
)
from hammerflow.tasks.shape import ArgumentFault

__all__ = ["PROBLEM_TYPE", "RequestRefused", "WebProblem", "problem_of", "problem_response"]

PROBLEM_TYPE = "application/problem+json"
#: Seconds after which a client may try again what the database did not do.
_RETRY_AFTER = 2


class WebFault(msgspec.Struct):
    """What is wrong with one argument of a call."""

    argument: str
    detail: str


class WebProblem(msgspec.Struct, omit_defaults=True):
    """What went wrong, in the form of RFC 9457.

    Attributes:
        errors: of a call whose arguments do not fit, what is wrong with each.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[WebFault] = []


class RequestRefused(Exception):
    """Raised by a handler: the request is answered with this problem.

    Args:
        status: the status of the answer.
        detail: one sentence that says what happened and what to do.
        errors: what is wrong with each argument of a call.
        retry_after: seconds after which the client may try again.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, errors: Sequence[ArgumentFault] = (), *,
        retry_after: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after

    def response(self, headers: Mapping[str, str]) -> Response:
        """The answer that tells of it."""
        more = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return problem_response(self.status, self.detail, {**headers, **more}, self.errors)


#: The status of each error; of several that fit, the first.
_STATUSES: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (JobNotFound, HTTPStatus.NOT_FOUND),
    (UnknownTask, HTTPStatus.NOT_FOUND),
    (NotUnique, HTTPStatus.CONFLICT),
    (StoreUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (SchemaMismatch, HTTPStatus.SERVICE_UNAVAILABLE),
    (NotEncodable, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotDecodable, HTTPStatus.CONFLICT),
    (WorkflowInvalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConfigError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (HammerflowError, HTTPStatus.CONFLICT),  # it does not fit the state of a job or workflow
    (TypeError, HTTPStatus.UNPROCESSABLE_ENTITY),  # a call's arguments, in Python's own words
    (TimeoutError, HTTPStatus.GATEWAY_TIMEOUT),
)


def problem_of(error: Exception) -> RequestRefused | None:
    """The problem that an error of hammerflow is; None for a defect."""
    if isinstance(error, RequestRefused):
        return error
    if isinstance(error, WrongArguments):
        return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), error.faults)
    for kind, status in _STATUSES:
        if isinstance(error, kind) and (kind is not TypeError or type(error) is TypeError):
            return RequestRefused(status, str(error))
    return None


def problem_response(
    status: HTTPStatus, detail: str = "", headers: dict[str, str] | None = None,
    errors: Sequence[ArgumentFault] = (),
) -> Response:  # fmt: skip
    """The answer that tells of a problem."""
    faults = [WebFault(*fault) for fault in errors]
    body = msgspec.json.encode(
        WebProblem("about:blank", status.phrase, int(status), detail, faults)
    )
    more = dict(headers or {})
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        more.setdefault("Retry-After", str(_RETRY_AFTER))
    return Response(body, int(status), more, media_type=PROBLEM_TYPE)
