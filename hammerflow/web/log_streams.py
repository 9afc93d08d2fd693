"""Log streams: the lines of jobs as workers keep them. One poller reads for all who follow them.

The id of each message is a position in the job's log. What a stream has told is its position, and
every read gives it what lies behind that: so nothing is lost or told twice, whoever has read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hammerflow.admin.log_follow import LogPosition, NewLines, lines_behind
from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.jobs.log_lines import AttemptLog
from hammerflow.stores.job_logs import LogEnd
from hammerflow.stores.store import Store
from hammerflow.web.held_messages import RETRY, Stream

__all__ = ["LogStreams", "LogsWanted"]

#: Seconds between two reads; workers write the lines of running bodies once a second.
POLL = 0.5


@dataclass(frozen=True, slots=True)
class LogsWanted:
    """A stream of the lines of one job behind a position.

    Attributes:
        attempt: only those of attempts with this number.
        texts: what is shown of them.
    """

    job_id: bytes
    attempt: int | None
    after: LogPosition
    texts: ShownTexts


@dataclass(eq=False)
class _Follower:
    """One client; ``after`` is the position up to which it was told all."""

    wanted: LogsWanted
    after: LogPosition
    stream: Stream = field(default_factory=Stream)

    def tell(self, logs: Sequence[AttemptLog], end: LogEnd | None) -> None:
        """Tell what is new to it, and that the job has ended or is gone."""
        for new in lines_behind(logs, self.after):
            if self.wanted.attempt in (None, new.attempt):
                self.stream.put(_message(new, self.wanted.texts))
            self.after = new.position
        if end is None or end.state is not None:
            self.stream.end(_end_message(end))


class LogStreams:
    """All log streams of one process.

    Args:
        read: calls a function in a thread.
        patiently: makes a context in which the database may fail.
    """

    def __init__(
        self, store: Store, read: Callable[[Callable[[], Any]], Awaitable[Any]],
        patiently: Callable[[], AbstractContextManager[None]],
    ) -> None:  # fmt: skip
        self._logs = store.job_logs
        self._read = read
        self._patiently = patiently
        self._followers: dict[bytes, set[_Follower]] = {}
        self._told: dict[bytes, LogEnd | None] = {}  # what all followers of a job were told of
        self._poller: asyncio.Task[None] | None = None

    async def messages(self, wanted: LogsWanted) -> AsyncIterator[bytes]:
        """What one client is sent, until the job has ended."""
        job_id, follower = wanted.job_id, _Follower(wanted, wanted.after)
        self._followers.setdefault(job_id, set()).add(follower)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield RETRY
            ends = await self._read(lambda: self._logs.ends([job_id]))
            await self._tell(job_id, ends.get(job_id))
            async for message in follower.stream.messages():
                yield message
        finally:
            self._leave(job_id, follower)

    def _leave(self, job_id: bytes, follower: _Follower) -> None:
        followers = self._followers[job_id]
        followers.discard(follower)
        if not followers:
            del self._followers[job_id]
            self._told.pop(job_id, None)
        if not self._followers and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        """One statement tells of all jobs that are followed; logs that have grown are read."""
        while True:
            await asyncio.sleep(POLL)
            with self._patiently():
                ids = [*self._followers]
                ends = await self._read(lambda: self._logs.ends(ids))  # noqa: B023
                for job_id in ids:
                    if self._told.get(job_id, ...) != ends.get(job_id):
                        await self._tell(job_id, ends.get(job_id))

    async def _tell(self, job_id: bytes, end: LogEnd | None) -> None:
        """Read what the followers of a job were not told yet; the end was read before."""
        followers = self._followers.get(job_id, ())
        since = min((each.after.lease for each in followers), default=0)
        logs = () if end is None else await self._read(lambda: self._logs.get(job_id, since=since))
        for each in self._followers.get(job_id, ()):
            # Who has come meanwhile and wants older ones reads for itself.
            if each.after.lease >= since:
                each.tell(logs, end)
                self._told[job_id] = end


def _message(new: NewLines, texts: ShownTexts) -> bytes:
    lines = [
        {
            "at": line.at, "level": line.level, "logger": line.logger,
            "message": texts.answer(line.message),
        }
        for line in new.lines
    ]  # fmt: skip
    told = {"attempt": new.attempt, "lease": new.lease, "missed": new.missed, "lines": lines}
    data = msgspec.json.encode(told, enc_hook=str)
    return b"id: %s\nevent: lines\ndata: %s\n\n" % (str(new.position).encode(), data)


def _end_message(end: LogEnd | None) -> bytes:
    data = msgspec.json.encode({"state": end.state if end is not None else None}, enc_hook=str)
    return b"event: end\ndata: %s\n\n" % data
