"""Spool: rows of jobs to insert, in memory or, once there are many, in a temporary file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any

import msgpack

from hammerflow.jobs.job import NewJob
from hammerflow.jobs.unique import HeldKey

__all__ = ["Spool"]

_CHUNK = 2_500
_IN_MEMORY = 4 << 20
_READ = 1 << 20


class Spool:
    """Keeps rows in order, up to ``room`` of them in memory; ``chunks`` can be read repeatedly.

    Attributes:
        held: the rows in memory, which come after those in the file.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._file: IO[bytes] | None = None
        self.held: list[NewJob] = []

    @property
    def is_spilled(self) -> bool:
        """Whether rows were written to the file."""
        return self._file is not None

    def add(self, row: NewJob) -> None:
        """Append a row."""
        self.held.append(row)
        if len(self.held) > self._room:
            self._spill()

    def change(self, job_id: bytes, **values: Any) -> bool:
        """Replace fields of a row in memory; False if it is not in memory."""
        for at in range(len(self.held) - 1, -1, -1):
            if self.held[at].id == job_id:
                self.held[at] = self.held[at]._replace(**values)
                return True
        return False

    def chunks(self) -> Iterator[Sequence[NewJob]]:
        """All rows in order."""
        if self._file is not None:
            self._file.seek(0)
            unpacker = msgpack.Unpacker(
                max_buffer_size=2**31 - 1, strict_map_key=False, timestamp=3
            )
            while data := self._file.read(_READ):
                unpacker.feed(data)
                for rows in unpacker:
                    yield [_job(row) for row in rows]
        for at in range(0, len(self.held), _CHUNK):
            yield self.held[at : at + _CHUNK]

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        if self._file is None:
            import tempfile  # needed by few, and slow to load

            self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - close()
        self._file.seek(0, 2)
        for at in range(0, len(self.held), _CHUNK):
            self._file.write(msgpack.packb(self.held[at : at + _CHUNK], datetime=True))
        self.held = []


def _job(row: list[Any]) -> NewJob:
    job = NewJob._make(row)
    return job if job.unique is None else job._replace(unique=HeldKey._make(job.unique))
