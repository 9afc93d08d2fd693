"""Access: who asks, and what they may do."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Principal", "Role"]


class Role(enum.IntEnum):
    """What somebody may do; each role may do all that those before it may.

    Attributes:
        READ: see everything but arguments and results.
        OPERATE: also enqueue, retry, cancel, pause and the like.
        ADMIN: also what changes who may do what, or where data goes.
    """

    READ = 1
    OPERATE = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """Its name as users write it: ``operate``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was let in.

    Attributes:
        name: as it is written to the audit: a user's name, or that of a token.
        role: what they may do.
        sees_values: whether they may see arguments and results.
    """

    name: str
    role: Role = Role.READ
    sees_values: bool = False
