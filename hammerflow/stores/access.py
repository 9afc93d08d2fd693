"""Access: the tokens of the web, and the audit of what was changed through it."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hammerflow.ids import first_id_at, new_id
from hammerflow.stores.database import Database
from hammerflow.text import storable

__all__ = ["Access", "AuditEntry", "TokenRow", "token_hash"]

#: What a token begins with, so that scanners of secrets know it.
_PREFIX = "hf_"
#: Seconds between two notes that a token was used, and for which an entry of the audit is kept.
_NOTED, _KEPT = 60.0, 365 * 86_400.0


class TokenRow(NamedTuple):
    """A row of ``web_tokens``; the token itself is nowhere."""

    id: bytes
    name: str
    role: int
    sees_values: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


class AuditEntry(NamedTuple):
    """A change that somebody has asked for; ``outcome`` is None where its end is not known."""

    id: bytes
    at: datetime
    who: str
    address: str
    action: str
    target: str
    details: Mapping[str, Any]
    outcome: str | None


class Access:
    """The tables ``web_tokens`` and ``audit``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[bytes, float] = {}

    def create(
        self, name: str, role: int, *, sees_values: bool, expires_in: float | None, by: str
    ) -> tuple[bytes, str]:
        """Make a token.

        Args:
            expires_in: seconds for which it holds; None without limit.

        Returns:
            Its id, and the token, which nobody can read again.
        """
        token, id_ = _PREFIX + secrets.token_urlsafe(32), new_id()
        self._database.run(
            "token_insert", id=id_, name=name, hash=token_hash(token), role=role,
            sees_values=int(sees_values), by=storable(by), expires_in=expires_in,
        )  # fmt: skip
        return id_, token

    def tokens(self) -> Sequence[TokenRow]:
        """All tokens, the oldest first."""
        return [_token(row) for row in self._database.rows("tokens_list")]

    def ids_between(self, low: bytes, high: bytes, limit: int) -> Sequence[bytes]:
        """The first ``limit`` ids of tokens from ``low`` to ``high``, both included."""
        return self._database.column("tokens_between", low=low, high=high, n=limit)

    def revoke(self, id_: bytes) -> bool:
        """End a token; False if it was ended before."""
        return self._database.run("token_revoke", id=id_) > 0

    def find(self, hashed: str) -> TokenRow | None:
        """The row of a token that holds now, by its hash; None if there is none.

        The time that the look-up takes says nothing of the token.
        """
        row = self._database.first("token_of", hash=hashed)
        if row is None:
            return None
        found, now = _token(row), time.monotonic()
        if now - self._noted.get(found.id, -_NOTED) >= _NOTED:
            self._noted[found.id] = now
            self._database.run("token_use", id=found.id)
        return found

    def begin(
        self, who: str, address: str, action: str, target: str, details: Mapping[str, Any]
    ) -> bytes:
        """Note that somebody asks for a change, before it is made; gives the entry's id."""
        id_ = new_id()
        text = json.dumps(dict(details), default=str)
        self._database.run(
            "audit_insert", id=id_, who=storable(who), address=storable(address), action=action,
            target=storable(target), details=storable(text),
        )  # fmt: skip
        return id_

    def end(self, id_: bytes, outcome: str) -> None:
        """Note how it went."""
        self._database.run("audit_end", id=id_, outcome=storable(outcome))

    def page(
        self, *, limit: int, before: bytes | None = None, who: str | None = None
    ) -> tuple[Sequence[AuditEntry], bytes | None]:
        """Entries, newest first, and the id before which the next page begins."""
        rows = self._database.rows("audit_page", before=before, who=who, n=limit + 1)
        entries = [
            AuditEntry(id_, _instant(at), who_, address, action, target, _details(details), outcome)
            for id_, at, who_, address, action, target, details, outcome in rows[:limit]
        ]
        return entries, rows[limit - 1][0] if len(rows) > limit else None

    def prune(self, now: float) -> int:
        """Remove entries and operations that are older than a year, and answers whose time is over;
        gives the number of the entries.

        Args:
            now: the database's clock, in seconds since 1970.
        """
        before = first_id_at(now - _KEPT)
        self._database.run("web_answers_prune")
        self._database.run("operations_prune", before=before)
        return self._database.run("audit_prune", before=before)


def token_hash(token: str) -> str:
    """What the database keeps of a token."""
    # A token has 256 random bits: nothing is gained by a slow hash, as for passwords.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _details(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:  # it was cut
        return {"text": text}
    return found if isinstance(found, dict) else {"text": text}


def _token(row: tuple[Any, ...]) -> TokenRow:
    id_, name, role, sees, created, by, *moments = row
    times = (None if at is None else _instant(at) for at in moments)
    return TokenRow(id_, name, role, bool(sees), _instant(created), by, *times)
