"""Types that several nouns share: what a query, a body or an answer may hold."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from hammerflow.admin.job_filter import WHEN
from hammerflow.errors import ConfigError
from hammerflow.options.checks import Unfit, ValueCheck
from hammerflow.web.backend import Backend, app_of
from hammerflow.web.problems import RequestRefused

if TYPE_CHECKING:
    from hammerflow.app import Hammerflow

__all__ = [
    "NO_JSON",
    "Cursor",
    "Done",
    "Hours",
    "Instant",
    "JsonList",
    "JsonObject",
    "Limit",
    "Name",
    "NewName",
    "Priority",
    "Reason",
    "State",
    "Text1000",
    "When",
    "app_for",
    "checked_value",
    "converted",
    "given",
    "id_of",
    "instant_of",
    "known",
    "no_json",
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


Instant: TypeAlias = Annotated[datetime, Meta(tz=True, description="With its zone.")]
Priority: TypeAlias = Annotated[int, Meta(ge=0, le=4)]
#: Left as they were sent: the codec reads its own tags in them, and numbers keep all their digits.
JsonList: TypeAlias = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "array"})]
JsonObject: TypeAlias = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]
#: Nothing was sent; msgspec has no union of this type and null.
NO_JSON = msgspec.Raw(b"")


def no_json() -> msgspec.Raw:
    """The default of a value that may be left out."""
    return NO_JSON


class Done(msgspec.Struct):
    """What an action has done.

    Attributes:
        says: one sentence.
    """

    says: str


def id_of(id_: bytes) -> uuid.UUID:
    """An id as clients see it."""
    return uuid.UUID(bytes=id_)


def known(find: Callable[[], T]) -> T:
    """What ``find`` gives; that it knows no such name is answered by 404."""
    try:
        return find()
    except ConfigError as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, str(error)) from None


def checked_value(check: ValueCheck, value: Any, name: str) -> Any:
    """A value of a body as the engine takes it; None stays None."""
    return None if value is None else check(value, name)


def given(body: msgspec.Struct, *names: str) -> dict[str, Any]:
    """The fields of a body that were given, of those that are named."""
    values = {name: getattr(body, name) for name in names}
    return {name: value for name, value in values.items() if value not in (None, NO_JSON)}


def app_for(backend: Backend, deed: str) -> Hammerflow:
    """The app of the server, which the deed needs."""
    found = app_of(backend)
    if found is None:
        detail = f"this server knows a database and no app, and cannot {deed}: start it with -A"
        raise RequestRefused(HTTPStatus.CONFLICT, detail)
    return found


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
    found = found._asdict() if hasattr(found, "_asdict") else found
    return msgspec.convert(found, wanted, from_attributes=True, strict=False)
