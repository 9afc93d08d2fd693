"""The part of Redis's protocol (RESP2) that rings need: commands out, pushed messages in.

The parser of redis-py cannot serve here: it keeps a whole message in memory, anybody who reaches
Redis can publish 512 MB, and its non-blocking read returns only when the bytes stop coming (1.6 s
for 200 MB), whereas this one drops a body above the limit while it arrives.
"""

from __future__ import annotations

__all__ = ["LIMIT", "Reader", "command"]

#: Most bytes of one string that are kept: 4096 ids of 16 bytes.
LIMIT = 1 << 16
#: Most bytes of a line, such as an error; Redis's lines are far shorter.
_LINE = 1 << 10
_END = b"\r\n"


def command(*parts: bytes) -> bytes:
    """The bytes of a command."""
    body = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%b" % (len(parts), body)


class Reader:
    """Parses bytes into messages; a message is the list of the strings of one reply.

    A number is its digits; a null or a string above the limit is an empty string.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0  # bytes of a string above the limit that are still to come
        self._left = 0  # strings that are still to come in the message
        self._message: list[bytes] = []

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Parse more bytes; the messages that they complete.

        Raises:
            ConnectionError: Redis reports an error, or the bytes are not its protocol.
        """
        self._buffer += data
        messages: list[list[bytes]] = []
        at = 0
        while (step := self._step(at)) > at:
            at = step
            if not self._left and not self._skip and self._message:
                messages.append(self._message)
                self._message = []
        del self._buffer[:at]
        return messages

    def _step(self, at: int) -> int:
        """Parse one item from ``at``; where the next one begins, or ``at`` if it is incomplete."""
        buffer = self._buffer
        if self._skip:
            skipped = min(self._skip, len(buffer) - at)
            self._skip -= skipped
            return at + skipped
        end = buffer.find(_END, at, at + _LINE)
        if end < 0:
            if len(buffer) - at >= _LINE:
                raise ConnectionError("Redis sent bytes that are not RESP2")
            return at
        kind, rest = bytes(buffer[at : at + 1]), bytes(buffer[at + 1 : end])
        if kind == b"$":
            return self._string(at, end + 2, _number(rest))
        if kind == b"*":
            self._array(_number(rest))
        elif kind == b"-":
            raise ConnectionError(rest.decode("utf-8", "replace"))
        elif kind in (b"+", b":"):
            self._add(rest)
        else:
            raise ConnectionError("Redis sent bytes that are not RESP2")
        return end + 2

    def _string(self, at: int, begin: int, size: int) -> int:
        if size < 0:
            self._add(b"")
            return begin
        if size > LIMIT:
            self._add(b"")
            self._skip = size + 2
            return begin
        if len(self._buffer) < begin + size + 2:
            return at
        self._add(bytes(self._buffer[begin : begin + size]))
        return begin + size + 2

    def _array(self, size: int) -> None:
        if self._left or size > 16:  # a pushed message has three or four strings and no arrays
            raise ConnectionError("Redis sent something other than a pushed message")
        self._left = max(0, size)

    def _add(self, string: bytes) -> None:
        self._message.append(string)
        self._left = max(0, self._left - 1)


def _number(digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ConnectionError("Redis sent bytes that are not RESP2") from None
