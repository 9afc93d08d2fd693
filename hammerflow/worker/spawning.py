"""Spawning: the children that one run of a body asks for, kept until its job is settled."""

from __future__ import annotations

import itertools
import json
import tempfile
import uuid
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from typing import IO, Any

from hammerflow.app import Hammerflow
from hammerflow.calls import Parent
from hammerflow.errors import SpawnInvalid
from hammerflow.job import NewJob
from hammerflow.outcome import Spawned
from hammerflow.signature import Signature
from hammerflow.stores.names import new_id
from hammerflow.worker.frames import Unpacker, pack

__all__ = ["Spawning"]

#: So many children travel with their parent's outcome; more are spooled and streamed.
RIDING = 5_000
_CHUNK = 2_500
_IN_MEMORY = 4 << 20
_SEEN_BY_HOOKS = 10_000


class Spawning:
    """Collects children in order, checks the limits, spools what is too much for memory.

    Args:
        parent: the job that spawns, and how its children inherit.
        then: the fan-in that waits for all of them.
        handler: recorded with the operation where the configuration names none.
    """

    def __init__(
        self, app: Hammerflow, parent: Parent, *, then: Signature | None, handler: str
    ) -> None:
        self._app = app
        self._parent = parent
        self._then = then
        self._handler = parent.config.handler or handler
        self._fan_in_id = new_id() if then is not None else None
        self._waiting: list[NewJob] = []
        self._spool: IO[bytes] | None = None
        self.count = 0
        self.first_ids: list[uuid.UUID] = []

    @property
    def is_spooled(self) -> bool:
        """Whether there are too many children to ride in the outcome."""
        return self._spool is not None

    def add(self, signature: Signature) -> bytes:
        """One more child; its id.

        Raises:
            SpawnInvalid: too many or too deep.
            TypeError: not a signature, or wrong arguments.
        """
        if not isinstance(signature, Signature):
            raise TypeError(
                f"a child is a signature such as task.s(...), not {type(signature).__name__}"
            )
        self._check_limits()
        child = self._app.new_job(
            signature, parent=self._parent, spawn_index=self.count, fan_in_id=self._fan_in_id
        )
        self.count += 1
        self._waiting.append(child)
        if len(self.first_ids) < _SEEN_BY_HOOKS:
            self.first_ids.append(uuid.UUID(bytes=child.id))
        if len(self._waiting) > RIDING:
            self._spill()
        return child.id

    def add_all(self, signatures: Iterable[Signature]) -> Any:
        """All children that a body yields; what its generator returns."""
        iterator = iter(signatures)
        while True:
            try:
                signature = next(iterator)
            except StopIteration as stop:
                return stop.value
            self.add(signature)

    async def add_all_async(self, signatures: AsyncIterable[Signature]) -> None:
        """All children that an async generator yields."""
        async for signature in signatures:
            self.add(signature)

    def close_list(self) -> None:
        """No more children; the fan-in comes last."""
        if self._then is None:
            return
        fan_in = self._app.new_job(
            self._then, parent=self._parent, spawn_index=self.count, fan_in=self.count
        )
        self._waiting.append(fan_in._replace(id=self._fan_in_id or fan_in.id))

    def spawned(self) -> Spawned:
        """The operation, with its children unless they are spooled."""
        config = self._parent.config
        return Spawned(
            [] if self.is_spooled else self._waiting,
            self._handler,
            config.operation_id,
            json.dumps(dict(config.metadata)) if config.metadata else None,
            self.count,
        )

    def chunks(self) -> Iterator[Sequence[NewJob]]:
        """All children in order, anew at each call."""
        if self._spool is not None:
            self._spool.seek(0)
            unpacker = Unpacker()
            while data := self._spool.read(1 << 20):
                for rows in unpacker.frames(data):
                    yield [NewJob._make(row) for row in rows]
        rest = iter(self._waiting)
        while chunk := list(itertools.islice(rest, _CHUNK)):
            yield chunk

    def close(self) -> None:
        """Drop the spool."""
        if self._spool is not None:
            self._spool.close()

    def _check_limits(self) -> None:
        config, job = self._parent.config, self._parent.job
        if self.count >= config.max_spawn_count:
            raise SpawnInvalid(
                f"more than max_spawn_count={config.max_spawn_count} children: raise the limit on "
                "the spawner, or yield fewer; nothing was inserted"
            )
        if job.depth + 1 > config.max_depth:
            raise SpawnInvalid(
                f"a child at depth {job.depth + 1} is below max_depth={config.max_depth}; "
                "nothing was inserted"
            )

    def _spill(self) -> None:
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - close()
        for at in range(0, len(self._waiting), _CHUNK):
            self._spool.write(pack(self._waiting[at : at + _CHUNK]))
        self._waiting = []
