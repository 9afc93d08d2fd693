"""The little of Redis's protocol (RESP2) that rings need: commands out, pushed messages in.

Why not the parser of redis-py: it keeps a whole message in memory, whatever its size, and anybody
who reaches Redis can publish one of 512 MB. Here a body above the limit is dropped as it comes in.
"""

from __future__ import annotations

__all__ = ["LIMIT", "Reader", "command"]

#: Bytes of one string of a message that are kept: 4096 ids of 16 bytes.
LIMIT = 1 << 16
#: Bytes of a line, such as an error's; Redis's own are far shorter.
_LINE = 1 << 10
_END = b"\r\n"


def command(*parts: bytes) -> bytes:
    """A command, ready to be sent."""
    body = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%b" % (len(parts), body)


class Reader:
    """Takes bytes as they come, gives messages: each a list of the strings of one reply.

    Numbers come as their digits, nulls and strings above the limit as empty strings.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0  # bytes of a string above the limit that are still to come
        self._left = 0  # strings that are still to come in the message
        self._message: list[bytes] = []

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The messages that are complete with these bytes.

        Raises:
            ConnectionError: Redis reports an error, or what came is not its protocol.
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
        """Read one item that begins at ``at``; where the next begins, or ``at``: incomplete."""
        buffer = self._buffer
        if self._skip:
            skipped = min(self._skip, len(buffer) - at)
            self._skip -= skipped
            return at + skipped
        end = buffer.find(_END, at, at + _LINE)
        if end < 0:
            if len(buffer) - at >= _LINE:
                raise ConnectionError("what Redis sent is not its protocol")
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
            raise ConnectionError("what Redis sent is not its protocol")
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
            raise ConnectionError("what Redis sent is not a pushed message")
        self._left = max(0, size)

    def _add(self, string: bytes) -> None:
        self._message.append(string)
        self._left = max(0, self._left - 1)


def _number(digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ConnectionError("what Redis sent is not its protocol") from None
