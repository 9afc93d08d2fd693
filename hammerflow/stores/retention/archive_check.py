"""Archive check: reads the packs of the archive one by one, and names what is in damaged ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, Protocol

from hammerflow.stores.rows import Row
from hammerflow.stores.transitions.packing import DamagedPack, unpack

__all__ = ["unreadable"]

_PIECES, _PAGE = 4, 1_000


class _Reader(Protocol):
    """What this needs of a snapshot."""

    def stream(self, name: str, size: int, /, **values: Any) -> Iterator[list[Row]]: ...


def unreadable(tx: _Reader) -> Iterator[tuple[bytes, bytes]]:
    """Ids of archived jobs and workflows whose pack is damaged or gone, each with that pack's id.

    One pack at a time is in memory; compressed data carry a checksum, so a changed byte is seen.
    """
    sound = {
        pack_id
        for pack_id, rows in itertools.groupby(_rows(tx, "check_packs", _PIECES), itemgetter(0))
        if _is_sound(b"".join(row[1] for row in rows))
    }
    for id_, pack_id in _rows(tx, "check_archived", _PAGE):
        if pack_id not in sound:
            yield id_, pack_id


def _rows(tx: _Reader, name: str, size: int) -> Iterator[Sequence[Any]]:
    return itertools.chain.from_iterable(tx.stream(name, size))


def _is_sound(data: bytes) -> bool:
    try:
        unpack(data)
    except DamagedPack:
        return False
    return True
