"""LogKeeper: what bodies log and print, kept for their jobs and told to the supervisor while they
run."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from hammerflow.app import Hammerflow
from hammerflow.context import RUNNING
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.log_lines import KeptLine, LineBuffer
from hammerflow.jobs.outcome import Failed, Outcome, Parked, Retrying, Settled
from hammerflow.stores.rows import JobLogRow
from hammerflow.worker.child.kept_output import KeptOutput, kept_stream
from hammerflow.worker.logs import JOB_THREADS, text_of

__all__ = ["KeptLog", "LogKeeper", "LogTarget"]

#: Lines that an attempt sends one by one, each second; more go together.
_ONE_BY_ONE = 100
#: Bytes of lines that go together, and of the longest part of a text. A message must be one atomic
#: write (pipe(7), PIPE_BUF): the soft timeout of the body that logs must not leave half of one.
_TOGETHER, _PART = 3_500, 2_800
_OF_A_LINE = 24
#: The streams whose lines are kept, at this level; their names are those of the loggers.
_STREAMS, _PRINTED = ("stdout", "stderr"), logging.INFO
#: Bytes of a printed line that are held until it ends.
_UNENDED = 64 << 10
_FAILURES = (Failed, Retrying, Parked)


class LogTarget(Protocol):
    """Who hears what is kept."""

    def lines(self, log: KeptLog, rows: Sequence[Any]) -> None:
        """A body has logged these; a text alone goes on with the last line."""

    def row(self, row: JobLogRow) -> None:
        """An attempt has ended, and keeps these lines."""


class KeptLog:
    """The lines of one attempt.

    Attributes:
        only_failures: they are dropped unless the attempt fails.
    """

    def __init__(
        self, keeper: LogKeeper, job: Claimed, *, only_failures: bool, most: int
    ) -> None:  # fmt: skip
        self._keeper = keeper
        self.job = job
        self.only_failures = only_failures
        self.most = most
        self.buffer = LineBuffer(most)
        self.unsent: list[Any] = []
        self.unsent_size = 0
        self.is_over = False
        self.allowance, self.counted_at = float(_ONE_BY_ONE), 0.0
        #: What was printed since the last end of a line, by stream and thread.
        self.unended: dict[tuple[str, int], bytes] = {}

    def row(self, outcome: Outcome) -> JobLogRow | None:
        """The row of an attempt with this outcome; None if it is not kept."""
        self._keeper.end_lines(self)
        if not self.buffer or (self.only_failures and not isinstance(outcome, _FAILURES)):
            return None
        return JobLogRow.of(self.job.id, self.job.lease, self.job.attempt, self.buffer)

    def final_rows(self, outcome: Outcome) -> Sequence[JobLogRow]:
        """What a settle in this process writes: the row, or that there is none, though the
        supervisor may have written one while the body ran."""
        row = self.row(outcome)
        if row is not None:
            return [row]
        job = self.job
        return [JobLogRow.nothing(job.id, job.lease, job.attempt)] if self.buffer else []

    def end(self, outcome: Outcome) -> None:
        """The attempt has ended; later lines are not its own."""
        self._keeper.end(self, outcome)


class LogKeeper(logging.Handler):
    """A handler of the root logger, which takes the lines of bodies whose tasks keep them.

    What they write to ``sys.stdout`` and ``sys.stderr`` is kept, too, line by line.

    What a process logs or prints that a body has forked belongs to no job.
    """

    def __init__(self, app: Hammerflow, target: LogTarget) -> None:
        super().__init__(logging.getLevelName(app.settings.keep_logs_level.upper()))
        self._target = target
        self._most = app.settings.keep_logs_lines
        self._only_failures = {
            name_id(name): mode == "on_failure"
            for name, task in app.tasks.items()
            if (mode := task.defaults.keep_logs or app.settings.keep_logs) != "never"
        }
        self._pid = os.getpid()
        assert self.lock is not None
        self._printing = self.lock  # emit() is called with it

    @classmethod
    def of(cls, app: Hammerflow, target: LogTarget) -> LogKeeper | None:
        """The keeper of an app; None if none of its tasks keeps what it logs."""
        keeper = cls(app, target)
        return keeper if keeper._only_failures else None

    def install(self) -> None:
        """Take part in the logging of this process."""
        root = logging.getLogger()
        if not root.handlers and logging.lastResort is not None:
            root.addHandler(logging.lastResort)  # else it would hear nothing any more
        root.addHandler(self)
        for name in _STREAMS if self.level <= _PRINTED else ():
            setattr(sys, name, kept_stream(getattr(sys, name), name, self.printed))

    def remove(self) -> None:
        """Take part no more."""
        logging.getLogger().removeHandler(self)
        for name in _STREAMS:
            raw = getattr(getattr(sys, name), "buffer", None)
            if isinstance(raw, KeptOutput):
                setattr(sys, name, raw.target)

    def begin(self, job: Claimed) -> KeptLog | None:
        """The log of an attempt that begins now; None if its task keeps none."""
        only_failures = self._only_failures.get(job.task_id)
        if only_failures is None:
            return None
        return KeptLog(self, job, only_failures=only_failures, most=self._most)

    def end(self, log: KeptLog, outcome: Outcome) -> None:
        """The attempt has ended; later lines are not its own."""
        log.is_over = True
        if os.getpid() == self._pid and type(outcome) is not Settled:
            row = log.row(outcome)
            if row is not None:
                self._target.row(row)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, if it is of such a body."""
        log = self._log_here()
        if log is None:
            return
        try:
            line = KeptLine.of(record.created, record.levelno, record.name, text_of(record))
        except Exception:  # noqa: BLE001 - a border: as every handler of logging does
            self.handleError(record)
            return
        self._keep(log, line)

    def printed(self, stream: str, data: bytes) -> None:
        """Keep what was written to a stream, if it is of such a body: each line once it ends."""
        log = self._log_here()
        if log is None:
            return
        key = stream, threading.get_ident()
        with self._printing:
            *lines, rest = (log.unended.pop(key, b"") + data).split(b"\n")
            if len(rest) > _UNENDED:
                lines.append(rest)
            elif rest:
                log.unended[key] = rest
            for line in lines:
                self._keep(log, _printed(stream, line))

    def end_lines(self, log: KeptLog) -> None:
        """Keep what was printed without the end of a line."""
        while log.unended:
            (stream, _), rest = log.unended.popitem()
            self._keep(log, _printed(stream, rest))

    def _log_here(self) -> KeptLog | None:
        """The log of the body that calls this; None if nothing of it is kept, or it is over."""
        log: KeptLog | None = getattr(RUNNING.get() or JOB_THREADS.owner(), "kept_log", None)
        return None if log is None or log.is_over or os.getpid() != self._pid else log

    def _keep(self, log: KeptLog, line: KeptLine) -> None:
        log.buffer.add(line)
        first, *more = _parts(line.text)
        size = _OF_A_LINE + len(first.encode()) + len(line.logger.encode())
        if log.unsent_size + size > _TOGETHER:
            self._send(log)
        log.unsent.append(line._replace(text=first))
        log.unsent_size += size
        if more or self._may_send(log, line.at):
            self._send(log)
            for part in more:
                self._target.lines(log, [part])

    def _send(self, log: KeptLog) -> None:
        rows, log.unsent, log.unsent_size = log.unsent, [], 0
        if rows:
            self._target.lines(log, rows)

    def _may_send(self, log: KeptLog, now: float) -> bool:
        passed, log.counted_at = now - log.counted_at, now
        gained = log.allowance + max(0.0, passed) * _ONE_BY_ONE
        log.allowance = min(gained, float(_ONE_BY_ONE))
        if log.allowance < 1.0:
            return False
        log.allowance -= 1.0
        return True


def _printed(stream: str, line: bytes) -> KeptLine:
    return KeptLine.of(time.time(), _PRINTED, stream, line.decode("utf-8", "backslashreplace"))


def _parts(text: str) -> list[str]:
    """A text in parts, each of which fits into a message."""
    size = _PART if text.isascii() else _PART // 4
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]
