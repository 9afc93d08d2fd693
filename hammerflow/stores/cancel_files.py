"""Cancel files: how a body is stopped that holds the only writer of an SQLite file.

A cancel writes to the database, and a body with ``in_transaction=True`` lets nobody else write
until it has ended. So a cancel that waits for that puts the ids of its jobs into a file next to the
database, which workers read once a second while they run jobs. The transaction is rolled back with
the body, and the cancel goes on.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from hammerflow.stores.database import Database

__all__ = ["asked_by_file", "ids_in_files"]

#: Seconds that a cancel waits for the writer before it writes a file, and for which a file counts:
#: one that was left by a process that was killed must stop no later attempt.
_PATIENCE, _FRESH = 1.0, 60.0
_MARK = "-cancel-"


@contextlib.contextmanager
def asked_by_file(database: Database, job_ids: Collection[bytes]) -> Iterator[None]:
    """Ask by a file, too, once the block has taken a second; it is removed at the end."""
    path = _path_of(database)
    if path is None:
        yield
        return
    file = path.with_name(f"{path.name}{_MARK}{secrets.token_hex(8)}")
    text = "".join(f"{job_id.hex()}\n" for job_id in job_ids)
    timer = threading.Timer(_PATIENCE, _write, (file, text))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        _remove(file)


def ids_in_files(database: Database) -> set[bytes]:
    """The jobs whose cancel waits for the writer."""
    path = _path_of(database)
    found: set[bytes] = set()
    for file in path.parent.glob(f"{path.name}{_MARK}*") if path is not None else ():
        with contextlib.suppress(OSError, ValueError):  # removed or half written just now
            if time.time() - file.stat().st_mtime < _FRESH:
                found.update(map(bytes.fromhex, file.read_text("ascii").split()))
            else:
                _remove(file)
    return found


def _path_of(database: Database) -> Path | None:
    path = getattr(database.dialect, "path", None)
    return Path(path) if database.dialect.one_writer and path else None


def _write(file: Path, text: str) -> None:
    with contextlib.suppress(OSError):  # a folder that this user may not write: the cancel waits
        file.write_text(text, "ascii")


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
