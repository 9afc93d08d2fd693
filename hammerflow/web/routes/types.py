"""Types that several nouns share: what a query, a body or an answer may hold."""

from __future__ import annotations

import uuid
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from hammerflow.admin.job_filter import WHEN
from hammerflow.options.checks import Unfit
from hammerflow.web.problems import RequestRefused

__all__ = [
    "Cursor", "Done", "Hours", "Limit", "Name", "NewName", "Reason", "State", "Text1000", "When",
    "converted", "id_of", "instant_of",
]  # fmt: skip

T = TypeVar("T")

State: TypeAlias = Literal[
    "waiting", "scheduled", "ready", "running", "completed", "failed", "cancelled", "skipped",
    "parked",
]  # fmt: skip
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=500, description="The most items.")]
Cursor: TypeAlias = Annotated[
    uuid.UUID, Meta(description="Begin before this one: the next of the page before.")
]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
NewName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=255, description="1 to 255 printable characters.")
]
Text1000: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1000)]
Reason: TypeAlias = Annotated[str, Meta(max_length=1000, description="Why; it is kept.")]
Hours: TypeAlias = Annotated[float, Meta(gt=0, le=87_600, description="The hours before now.")]
When: TypeAlias = Annotated[
    str, Meta(max_length=64, description="An instant, or a duration before now such as 2h.")
]


class Done(msgspec.Struct):
    """What an action has done.

    Attributes:
        says: one sentence.
    """

    says: str


def id_of(id_: bytes) -> uuid.UUID:
    """An id as clients see it."""
    return uuid.UUID(bytes=id_)


def instant_of(text: str | None, name: str) -> datetime | None:
    """What a client gave as an instant or a duration before now."""
    if text is None:
        return None
    try:
        return WHEN.read(text)  # type: ignore[no-any-return]
    except Unfit:
        detail = f"{name} must be {WHEN.wanted}, not {text!r}"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None


def converted(found: Any, wanted: type[T]) -> T:
    """A value of the engine in the form that the description promises."""
    return msgspec.convert(found, wanted, from_attributes=True, strict=False)
