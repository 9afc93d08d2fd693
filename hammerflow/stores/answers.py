"""Answers: what was answered to requests with an Idempotency-Key, so that none is done twice."""

from __future__ import annotations

from typing import NamedTuple

from hammerflow.stores.database import Database

__all__ = ["KeptAnswer", "KeptAnswers"]

#: Seconds for which an answer is kept, and after which a request without one may be given again:
#: its process has died.
_KEEP, _LOST = 86_400.0, 300.0


class KeptAnswer(NamedTuple):
    """What is known of an earlier request with the same key.

    Attributes:
        body: the hash of what it sent.
        status: None: it is under way.
    """

    body: str
    status: int | None
    answer: str | None


class KeptAnswers:
    """The table ``web_answers``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, hash_: str, body: str) -> KeptAnswer | None:
        """Note that a request begins; an earlier one with the same key is told instead.

        Args:
            hash_: of who asks, what for, and the key.
            body: the hash of what was sent.
        """
        for _ in range(3):
            if self._database.run("web_answer_insert", hash=hash_, body=body, keep=_KEEP):
                return None
            row = self._database.first("web_answer_of", hash=hash_)
            if row is None:
                continue
            is_lost = row[1] is None and row[3] < _KEEP - _LOST
            if row[3] > 0 and not is_lost:
                return KeptAnswer(*row[:3])
            self.drop(hash_)
        return KeptAnswer(body, None, None)

    def end(self, hash_: str, status: int, answer: str) -> None:
        """Keep the answer."""
        self._database.run("web_answer_end", hash=hash_, status=status, answer=answer)

    def drop(self, hash_: str) -> None:
        """Forget a request, which may be given again."""
        self._database.run("web_answer_drop", hash=hash_)
