"""Routes of access: tokens, and the audit of changes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow import __version__
from hammerflow.admin.ids import find_token
from hammerflow.web.access import Role
from hammerflow.web.backend import app_of
from hammerflow.web.routes.types import Cursor, Done, Limit, NewName, Text1000, converted
from hammerflow.web.routing import ApiCall, ListPage, Nothing, Route, refuse_unseen

__all__ = ["ROUTES"]

_ROLES = {role.label: role for role in Role}


class TokenShown(msgspec.Struct, kw_only=True):
    """A token without its value, which is shown only once."""

    id: uuid.UUID
    name: str
    role: Literal["read", "operate", "admin"]
    sees_values: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


class TokenList(msgspec.Struct):
    """All tokens, the oldest first."""

    items: list[TokenShown]


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """What a token may do.

    Attributes:
        sees_values: whether it shows arguments and results.
        expires_in: seconds until it expires; null for never.
    """

    name: NewName
    role: Literal["read", "operate", "admin"] = "read"
    sees_values: bool = False
    expires_in: Annotated[float, Meta(gt=0, le=10**9)] | None = 90 * 86_400.0


class MadeToken(msgspec.Struct):
    """A new token; its value is in this answer only."""

    id: uuid.UUID
    token: str


class AuditQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which entries."""

    who: Text1000 | None = None
    before: Cursor | None = None
    limit: Limit = 50


class AuditShown(msgspec.Struct):
    """A requested change; outcome is null if it is not known."""

    id: uuid.UUID
    at: datetime
    who: str
    address: str
    action: str
    target: str
    details: dict[str, Any]
    outcome: str | None


class SessionShown(msgspec.Struct, kw_only=True):
    """The user of this request, and the app.

    Attributes:
        app: the app's name; null where only a database is known.
        can_enqueue: whether this server knows the app's tasks.
    """

    name: str
    role: Literal["read", "operate", "admin"]
    sees_values: bool
    app: str | None
    can_enqueue: bool
    version: str


def show_session(call: ApiCall[Nothing, None]) -> SessionShown:
    """Show the user of this request and what they may do."""
    who, app = call.who, app_of(call.backend)
    fields = {
        "name": who.name, "role": who.role.label, "sees_values": who.sees_values,
        "app": None if app is None else app.name, "can_enqueue": app is not None,
        "version": __version__,
    }  # fmt: skip
    return converted(fields, SessionShown)


def list_tokens(call: ApiCall[Nothing, None]) -> TokenList:
    """List the tokens."""
    rows = call.backend.store.access.tokens()
    return TokenList(
        [
            converted({**row._asdict(), "role": Role(row.role).label}, TokenShown)
            for row in rows
        ]
    )  # fmt: skip


def create_token(call: ApiCall[Nothing, NewToken]) -> MadeToken:
    """Create a token; its value is in this answer only."""
    body = call.body
    if body.sees_values:
        refuse_unseen(call, "give nobody a token that does")
    id_, token = call.backend.store.access.create(
        body.name, _ROLES[body.role], sees_values=body.sees_values, expires_in=body.expires_in,
        by=call.who.name,
    )  # fmt: skip
    return MadeToken(uuid.UUID(bytes=id_), token)


def revoke_token(call: ApiCall[Nothing, None]) -> Done:
    """Revoke a token."""
    id_ = find_token(call.backend.store, call.path["token_id"])
    ended = call.backend.store.access.revoke(id_)
    return Done("the token is revoked" if ended else "the token was revoked before")


def list_audit(call: ApiCall[AuditQuery, None]) -> ListPage[AuditShown]:
    """List the changes that were made through the web, newest first."""
    query = call.query
    before = None if query.before is None else query.before.bytes
    page, after = call.backend.store.access.page(limit=query.limit, before=before, who=query.who)
    items = [converted(entry._asdict(), AuditShown) for entry in page]
    return ListPage(items, None if after is None else str(uuid.UUID(bytes=after)))


ROUTES: Sequence[Route] = (
    Route("GET", "/api/session", show_session, SessionShown),
    Route("GET", "/api/tokens", list_tokens, TokenList, Role.ADMIN),
    Route("POST", "/api/tokens", create_token, MadeToken, Role.ADMIN, body=NewToken,
          status=HTTPStatus.CREATED, is_secret=True),
    Route("DELETE", "/api/tokens/{token_id}", revoke_token, Done, Role.ADMIN),
    Route("GET", "/api/audit", list_audit, ListPage[AuditShown], Role.ADMIN, query=AuditQuery),
)  # fmt: skip
