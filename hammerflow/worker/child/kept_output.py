"""KeptOutput: what a process prints, passed on and kept with the job that printed it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["KeptOutput", "kept_stream", "layers"]

#: Takes the name of a stream and what was written to it.
Keep = Callable[[str, bytes], None]


class KeptOutput(io.RawIOBase):
    """Writes to another stream, and tells what it has written.

    Args:
        target: the stream of the process; it is closed by nobody here.
        label: stdout or stderr.
    """

    def __init__(self, target: TextIO, label: str, keep: Keep) -> None:
        self.target = target
        self._label = label
        self._keep = keep
        self.name = getattr(target, "name", f"<{label}>")
        self.mode = "wb"

    def again(self) -> KeptOutput:
        """Another one for the same stream, in place of one that a body has closed."""
        return KeptOutput(self.target, self._label, self._keep)

    def writable(self) -> bool:
        """See :class:`io.RawIOBase`."""
        return True

    def fileno(self) -> int:
        """See :class:`io.RawIOBase`."""
        return self.target.fileno()

    def isatty(self) -> bool:
        """See :class:`io.RawIOBase`."""
        return self.target.isatty()

    def flush(self) -> None:
        """See :class:`io.RawIOBase`."""
        if not self.target.closed:
            self.target.flush()

    def write(self, data: Any) -> int:
        """Write all of it to the stream, then keep it."""
        given = bytes(data)
        buffer: Any = getattr(self.target, "buffer", None)
        if buffer is None:  # as a StringIO that a test has put there
            self.target.write(given.decode(self.target.encoding or "utf-8", "replace"))
        else:
            buffer.write(given)
        self._keep(self._label, given)
        return len(given)


def kept_stream(stream: TextIO, label: str, keep: Keep) -> TextIO:
    """A stream that writes to this one, and keeps what it writes.

    Handlers of loggers that hold the stream itself are not heard: their lines are kept as records.
    """
    kept: Any = io.TextIOWrapper(
        KeptOutput(stream, label, keep),
        encoding=stream.encoding or "utf-8", errors=stream.errors,
        line_buffering=bool(getattr(stream, "line_buffering", False)), write_through=True,
    )  # fmt: skip
    kept.mode = "w"
    return kept  # type: ignore[no-any-return]


def layers(stream: Any) -> list[Any]:
    """A stream, and the one that it writes to."""
    raw = getattr(stream, "buffer", None) if isinstance(stream, io.TextIOWrapper) else None
    return [stream, raw.target] if isinstance(raw, KeptOutput) else [stream]
