"""``hammerflow web token``: make, list and revoke tokens of the REST API."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import click

from hammerflow.admin.ids import find_token
from hammerflow.cli.options import argument, choice_option, flag, seconds_option, shared
from hammerflow.cli.output import TableView
from hammerflow.cli.session import Session
from hammerflow.durations import age
from hammerflow.options.checks import NAME_CHECK
from hammerflow.stores.access import TokenRow
from hammerflow.text import user_at_host

__all__ = ["token"]

#: As :class:`hammerflow.web.access.Role`, which needs no extra, but is not on this floor.
_ROLES = ("read", "operate", "admin")


@click.group("token")
def token() -> None:
    """Make, list and revoke tokens of the REST API."""


@token.command("create")
@argument("name", NAME_CHECK)
@choice_option("--role", values=_ROLES, default="read", help="What it may do.")
@flag("--sees-values", help="It sees arguments and results, too.")
@seconds_option("--expires-in", default=90 * 86_400.0, help="Valid for: seconds, 12h, 90d.")
@flag("--no-expiry", help="It is valid until it is revoked.")
@shared
def create(
    session: Session, name: str, role: str, sees_values: bool, expires_in: float, no_expiry: bool
) -> None:
    """Create a token and print it; it cannot be shown again.

    \b
    Example:
      hammerflow web token create grafana --role read --expires-in 365d
    """
    with session.store() as store:
        id_, made = store.access.create(
            name, 1 + _ROLES.index(role), sees_values=sees_values,
            expires_in=None if no_expiry else expires_in, by=user_at_host(),
        )  # fmt: skip
    found = {"id": uuid.UUID(bytes=id_), "name": name, "role": role, "token": made}
    session.tell(found, made)


@token.command("list")
@shared
def list_tokens(session: Session) -> None:
    """List the tokens, oldest first, without the secrets themselves."""
    with session.store() as store:
        found = store.access.tokens()
    session.show_list(
        found, _TOKENS, empty="there are no tokens: make one with hammerflow web token create"
    )


@token.command("revoke")
@argument("token_id", metavar="ID")
@shared
def revoke(session: Session, token_id: str) -> None:
    """Revoke a token at once; ID may be any unique prefix of its id."""
    with session.store() as store:
        id_ = find_token(store, token_id)
        ended = store.access.revoke(id_)
    says = "is revoked" if ended else "was revoked before"
    session.tell({"id": uuid.UUID(bytes=id_), "revoked": ended}, f"token {token_id} {says}")


def _state(row: TokenRow) -> str:
    if row.revoked_at is not None:
        return f"revoked {age(row.revoked_at)} ago"
    return "no expiry" if row.expires_at is None else f"expires {age(row.expires_at)}"


def _row(row: TokenRow) -> Sequence[Any]:
    used = "never" if row.used_at is None else f"{age(row.used_at)} ago"
    role = f"{_ROLES[row.role - 1]}, values" if row.sees_values else _ROLES[row.role - 1]
    return row.id, row.name, role, _state(row), used, row.created_by


def _json(row: TokenRow) -> dict[str, Any]:
    return {**row._asdict(), "role": _ROLES[row.role - 1]}


_TOKENS = TableView(("id", "name", "role", "state", "used", "made by"), _row, _json)
