"""Routing: the table of routes, and how one request becomes the call of a handler.

A route says all that is known of it once: its types make the validation, the OpenAPI document and
the answers, its role the check of rights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from hammerflow.admin.redaction import Redaction
from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.options.variables import redacted
from hammerflow.web.access import Principal, Role
from hammerflow.web.backend import Backend
from hammerflow.web.problems import RequestRefused
from hammerflow.web.recent import Recent

__all__ = ["ApiCall", "ListPage", "Nothing", "Route", "Text", "refuse_unseen"]

Q = TypeVar("Q")
B = TypeVar("B")
T = TypeVar("T")
#: Fields of bodies that may hold secrets, or very much.
_UNTOLD = ("args", "kwargs", "argument", "calls", "config", "definition", "ids")


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The query of a route that takes none."""


class ListPage(msgspec.Struct, Generic[T]):
    """Some things of a list, newest first.

    Attributes:
        items: the things.
        next: give it as ``before`` to read on; null after the last page.
        is_tired: the search has read as much as one request may, and can go on at ``next``.
    """

    items: list[T]
    next: str | None = None
    is_tired: bool = False


class Text(NamedTuple):
    """An answer that is not JSON."""

    text: str
    media_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ApiCall(Generic[Q, B]):
    """One request, checked.

    Attributes:
        backend: the app, or the database that was opened without one.
        who: who asks.
        path: the parameters of the path.
        query: those of the query.
        body: what was sent; None for a route without.
        recent: what several clients may share.
    """

    backend: Backend
    who: Principal
    path: Mapping[str, str]
    query: Q
    body: B
    recent: Recent = field(default_factory=Recent)

    @property
    def texts(self) -> ShownTexts:
        """What is shown of messages and the like to who asks."""
        redaction = Redaction(self.backend.settings.redact)
        return ShownTexts(redaction, sees_values=self.who.sees_values)


def refuse_unseen(call: ApiCall[Any, Any], advice: str) -> None:
    """Refuse what needs the sight of arguments and results.

    Raises:
        RequestRefused: who asks may not see them.
    """
    if not call.who.sees_values:
        detail = f"you may not see arguments and results, so {advice}"
        raise RequestRefused(HTTPStatus.FORBIDDEN, detail)


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table.

    Args:
        method: of HTTP.
        path: below the base, with ``{parameters}``.
        handler: gets the :class:`ApiCall`, runs in a thread, and returns the result; its first line
            of documentation is the summary.
        result: the type of the result.
        role: who may call it.
        query: the struct of its parameters.
        body: the struct of what is sent.
        status: of an answer that went well.
        text: the media type of answers that are not JSON, where there are some.
        is_secret: its answer is never kept.
        is_stream: the handler gives a description of the messages to stream.
    """

    method: str
    path: str
    handler: Callable[[ApiCall[Any, Any]], Any]
    result: Any
    role: Role = Role.READ
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
    status: HTTPStatus = HTTPStatus.OK
    text: str | None = None
    is_secret: bool = False
    is_stream: bool = False

    @property
    def name(self) -> str:
        """``listJobs``: the operationId, and the name in the audit."""
        first, *rest = self.handler.__name__.split("_")
        return first + "".join(part.title() for part in rest)

    @property
    def tag(self) -> str:
        """The noun that it belongs to."""
        return self.path.split("/")[2]

    @property
    def is_change(self) -> bool:
        """Whether it may change something."""
        return self.method not in ("GET", "HEAD")

    def told(self, body: Any) -> dict[str, Any]:
        """What the audit keeps of a body: not the arguments of calls, which may be secrets."""
        fields = {} if body is None else msgspec.structs.asdict(body)
        return {name: redacted(value) for name, value in fields.items() if name not in _UNTOLD}

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters of its path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
