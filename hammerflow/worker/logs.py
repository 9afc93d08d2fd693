"""Logs: one line per event, as text or JSON, from the supervisor and its children alike.

Each line that a task's body logs, with any logger, carries the fields ``job``, ``task`` and
``attempt``; in threads that a body starts, too. ``print()`` stays as it is.

The worker owns the root logger: once the app is imported, it replaces the root's handlers by one
that writes to stderr, and a warning names them. Handlers of other loggers stay. To keep the
configuration that the app's module makes, set ``configure_logging`` to false
(``HAMMERFLOW_CONFIGURE_LOGGING=0``, or the worker's ``--no-configure-logging``), and add
:class:`JobContextFilter` to your handlers for the fields::

    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"job": {"()": "hammerflow.worker.logs.JobContextFilter"}},
        "formatters": {"line": {"format": "%(asctime)s %(task)s[%(job)s] %(message)s"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "filters": ["job"], "formatter": "line"},
        },
        "root": {"handlers": ["stderr"], "level": "INFO"},
    })

No log line holds up whoever logs it. Those of the supervisor wait in a bounded queue for a thread
that writes them; the fork server, which must run no threads, and its children write them through
:class:`hammerflow.process.streams.Output`. Lines that cannot be written are dropped and counted.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from hammerflow.context import RUNNING, Holder
from hammerflow.process.streams import LOSSES, Output
from hammerflow.text import counted, safe_repr, timestamp, visible_lines

__all__ = [
    "JOB_THREADS", "SPAN_IDS", "JobContextFilter", "configure", "configure_fallback", "facts",
    "text_of", "writer_thread",
]  # fmt: skip

log = logging.getLogger("hammerflow.logs")

_LONGEST_ARGS = 1_000  # characters
#: Lines that wait for the supervisor's writer, at most, and seconds that the last ones get.
_MOST_WAITING = 10_000
_LAST_WRITES = 1.0


def facts(**values: Any) -> dict[str, Any]:
    """The ``extra`` of a log call: named values that both formats show."""
    return {"facts": values}


def configure(form: str, level: str, *, replace: bool = True) -> None:
    """Send all logs of this process to stderr.

    Args:
        form: "text" or "json".
        replace: whether to replace handlers that the root logger has; else nothing is changed.
    """
    root = logging.getLogger()
    replaced = [*root.handlers]
    if replaced and not replace:
        return
    undone = _undo_silence()
    root.handlers[:] = [_handler(form)]
    root.setLevel(level.upper())
    if replaced:
        log.warning(
            "replaced the root logger's handlers; --no-configure-logging keeps them",
            extra=facts(handlers=", ".join(map(repr, replaced))),
        )
    if undone:
        log.warning("undid %s; --no-configure-logging keeps it", " and ".join(undone))


def _undo_silence() -> list[str]:
    """Undo what keeps the worker's own lines from the log; what that was.

    Configurations by dict or file disable all loggers that exist, unless told not to.
    """
    undone = []
    if logging.root.manager.disable:
        undone.append(f"logging.disable({logging.getLevelName(logging.root.manager.disable)})")
        logging.disable(logging.NOTSET)
    loggers = {logging.getLogger(name) for name in logging.root.manager.loggerDict if _is_own(name)}
    if any(logger.disabled for logger in loggers):
        undone.append("disable_existing_loggers for hammerflow's loggers")
    for logger in loggers:
        logger.disabled = False
    return undone


def _is_own(name: str) -> bool:
    return f"{name}.".startswith("hammerflow.")


def configure_fallback(form: str) -> None:
    """Send warnings and errors to stderr as long as nobody has configured the root logger."""
    logging.lastResort = _handler(form)
    logging.lastResort.setLevel(logging.WARNING)


#: Gives the ids of the current span where jobs are traced.
SPAN_IDS: list[Callable[[], dict[str, str]]] = []


class JobContextFilter(logging.Filter):
    """Gives each record the attributes ``job``, ``task`` and ``attempt`` for a format string.

    They are the id, the task's name and the attempt of the job whose body has logged the record,
    and "-" outside a body. Add it to handlers; to a ``QueueHandler`` where there is one, because
    the fields are known only in the thread that logs.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        record.__dict__.update(_job_fields() or {"job": "-", "task": "-", "attempt": "-"})
        return True


class JobThreads:
    """The job to which threads belong that have no context of their own.

    A thread that a body starts does not inherit its context. While one job runs at a time in a
    process, its lines belong to that job, unless the thread is older than the job.
    """

    def __init__(self) -> None:
        self._job: Holder | None = None
        self._older: Sequence[threading.Thread] = ()

    def begin(self, job: Holder) -> None:
        """A job begins in this thread; in a child that is usually the only one."""
        self._older = threading.enumerate() if _thread._count() else (threading.main_thread(),)
        self._job = job

    def end(self) -> None:
        """The job has ended; its threads are on their own."""
        self._job = None

    def owner(self) -> Holder | None:
        """The job that has started the current thread, if it still runs."""
        job = self._job
        return None if threading.current_thread() in self._older else job


JOB_THREADS = JobThreads()


def _job_fields() -> dict[str, Any]:
    """Names the job whose body logs in this thread; empty outside a body."""
    holder = RUNNING.get() or JOB_THREADS.owner()
    if holder is None:
        return {}
    job = holder.context
    return {"job": str(job.id), "task": job.task, "attempt": job.attempt}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found = getattr(record, "facts", None)
    return _job_fields() | found if isinstance(found, dict) else _job_fields()


def _handler(form: str) -> logging.Handler:
    formatter = _JsonFormatter() if form == "json" else _TextFormatter()
    handler = _StderrHandler()
    handler.setFormatter(formatter)
    LOSSES.line = lambda count: formatter.format(_loss(count))
    return handler


def _loss(count: int) -> logging.LogRecord:
    """The line that tells of lost ones."""
    lines = counted(count, "line")
    text = "dropped %s of output: nobody read it, or it could not be written"
    return log.makeRecord(
        log.name, logging.WARNING, "", 0, text, (lines,), None, extra=facts(lines=count)
    )


class _StderrHandler(logging.Handler):
    """Writes lines to stderr, by the writer while there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._output = Output(2)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
        except Exception:  # noqa: BLE001 - a border: as every handler of logging does
            self.handleError(record)
            return
        if _writers:
            _writers[-1].put(line)
        else:
            self._output.write(line)


class _Writer:
    """A thread that writes lines to stderr, and may wait there for as long as it takes."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._lost = 0  # lines that have been dropped and not told of
        self._is_writing = False
        self._is_over = False
        self._changed = threading.Condition(self._lock)
        threading.Thread(target=self._run, name="hammerflow-log", daemon=True).start()

    def put(self, line: bytes) -> None:
        """Have a line written; drops it if too many wait already."""
        with self._lock:
            if len(self._lines) >= _MOST_WAITING:
                self._lost += 1
                return
            self._lines.append(line)
            if not self._is_writing:
                self._changed.notify_all()

    def finish(self, seconds: float) -> None:
        """Give the lines that wait some time, then end."""
        with self._lock:
            self._changed.wait_for(lambda: not self._lines and not self._is_writing, seconds)
            self._is_over = True
            self._changed.notify_all()

    def _run(self) -> None:
        while taken := self._take():
            lines, lost = taken
            notice = f"{LOSSES.line(lost)}\n".encode() if lost else b""
            try:
                _write_all(notice + lines)
            except OSError:  # a full disk, a reader that has ended, a terminal that is gone
                with self._lock:
                    self._lost += lost + lines.count(b"\n")

    def _take(self) -> tuple[bytes, int] | None:
        """The next lines, up to what a pipe takes as one, and how many were lost before them; None
        at the end."""
        with self._lock:
            self._is_writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines or self._is_over)
            if self._is_over:
                return None
            self._is_writing = True
            lines = self._lines.popleft()
            while self._lines and len(lines) + len(self._lines[0]) <= select.PIPE_BUF:
                lines += self._lines.popleft()
            lost, self._lost = self._lost, 0
            return lines, lost


def _write_all(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(2, data) :]
        except BlockingIOError:  # somebody who shares the descriptor has made it so
            poll = select.poll()
            poll.register(2, select.POLLOUT)
            poll.poll()


_writers: list[_Writer] = []


@contextlib.contextmanager
def writer_thread() -> Iterator[None]:
    """Write the log of this process in a thread of its own, for a process that never forks."""
    writer = _Writer()
    _writers.append(writer)
    try:
        yield
    finally:
        _writers.remove(writer)
        writer.finish(_LAST_WRITES)


class _TextFormatter(logging.Formatter):
    """``2025-01-31T12:00:00.123+01:00 INFO worker[4711] child started pid=4712``

    Further lines, as of a traceback, are indented, and no terminal obeys what a text holds.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = timestamp(datetime.fromtimestamp(record.created, UTC).astimezone())
        head = f"{at} {record.levelname} {record.name.removeprefix('hammerflow.')}"
        tail = "".join(f" {key}={_plain(value)}" for key, value in _fields(record).items())
        message, _, more = _message(record).partition("\n")
        rest = [more] * bool(more) + _traces(self, record)
        line = visible_lines("\n".join([f"{head}[{record.process}] {message}{tail}", *rest]))
        return line.replace("\n", "\n  ")  # no text of a job can look like a line of the log


class _JsonFormatter(logging.Formatter):
    """One object per line, with the fields of the text format; times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "at": timestamp(at),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": _message(record),
            **_fields(record),
        }
        for ids in SPAN_IDS:
            line |= ids()
        if traces := _traces(self, record):
            line["traceback"] = "\n".join(traces)
        return json.dumps(line, default=str)


def _message(record: logging.LogRecord) -> str:
    """The message; its parts where they cannot be put together, as of a broken ``__repr__``."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a border: the user's __str__ and __repr__ run
        message = record.msg if isinstance(record.msg, str) else safe_repr(record.msg)
        return f"{message} {safe_repr(record.args, _LONGEST_ARGS)}"


def _traces(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    traces = [formatter.formatException(record.exc_info)] if record.exc_info else []
    return [*traces, record.stack_info] if record.stack_info else traces


def text_of(record: logging.LogRecord) -> str:
    """The message of a record, and the traceback of its exception."""
    return "\n".join([_message(record), *_traces(_PLAIN, record)])


_PLAIN = logging.Formatter()


def _plain(value: Any) -> str:
    text = str(value)
    is_word = text.isprintable() and " " not in text
    return text if is_word else json.dumps(text, ensure_ascii=False)
