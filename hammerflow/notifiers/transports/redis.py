"""Rings over Redis pub/sub. Redis is a doorbell, never a mailbox: it stores nothing."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Collection, Sequence
from time import monotonic
from typing import Any

from hammerflow.errors import ConfigError, MissingExtra
from hammerflow.notifiers.base import Ring, Sender, Subscription
from hammerflow.notifiers.transports.resp import Reader, command

try:
    import redis
except ImportError as error:  # pragma: no cover - shown by the packaging test
    raise MissingExtra(package="redis", extra="redis", what="a redis URL") from error

__all__ = ["RedisTransport"]

#: Most seconds of each step of a connection that rings, and of one that subscribes.
RING_TIMEOUT = 0.5
LISTEN_TIMEOUT = 1.0

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_PING = command(b"PING")
_CHUNK = 1 << 16


class RedisTransport:
    """Carries rings on ``<namespace>:work:<queue>``, ``<namespace>:done`` and
    ``<namespace>:control``.

    Raises:
        ConfigError: the URL is malformed.
    """

    instant = False
    direct = True

    def __init__(self, url: str, *, namespace: str) -> None:
        self._url = re.sub(r"(?<=[?&])protocol=[^&]*&?", "", url)  # resp.py reads RESP2 only
        self._names = _Channels(namespace)
        try:
            options = redis.ConnectionPool.from_url(url).connection_kwargs
        except ValueError as error:
            raise ConfigError(f"the redis URL is malformed: {error}") from error
        place = options.get("path") or (
            f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        )
        self.label = f"redis at {place}"

    def connect(self) -> Sender:
        """See :meth:`Transport.connect`."""
        connection = self._connect(RING_TIMEOUT)
        try:  # nobody subscribes to this channel, but the same access rules hold for it
            connection.send_command("PUBLISH", self._names.hello, b"")
            connection.read_response()
        except redis.RedisError as error:
            connection.disconnect()
            raise _plain(error) from error
        return _RedisSender(connection, self._names)

    def subscribe(self, queues: Collection[str] | None) -> Subscription:
        """See :meth:`Transport.subscribe`."""
        channels = self._names.subscribed(queues)
        subscription = _RedisSubscription(self._connect(LISTEN_TIMEOUT), channels)
        try:
            subscription.subscribe(monotonic() + LISTEN_TIMEOUT)
        except BaseException:
            subscription.close()
            raise
        return subscription

    def _connect(self, timeout: float) -> Any:
        """A connection after its handshake, which redis-py does: TLS, sockets, logins."""
        options: dict[str, Any] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "protocol": 2,
        }
        if not self._url.startswith("unix:"):
            options["socket_keepalive"] = True
        pool = redis.ConnectionPool.from_url(self._url, **options)
        connection: Any = pool.make_connection()
        try:
            connection.connect()
        except redis.RedisError as error:
            connection.disconnect()
            raise _plain(error) from error
        return connection


class _Channels:
    """The names of one namespace's channels."""

    def __init__(self, namespace: str) -> None:
        prefix = namespace.encode()
        self.work = prefix + b":work:"
        self.done = prefix + b":done"
        self.control = prefix + b":control"
        self.hello = prefix + b":hello"

    def subscribed(self, queues: Collection[str] | None) -> dict[bytes, Ring]:
        """The channels to subscribe to, each with the ring that a message on it is."""
        if queues is None:
            return {self.done: Ring("done")}
        bodies = [queue.encode("utf-8", "replace") for queue in queues]
        work = {self.work + body: Ring("work", body) for body in bodies}
        return {**work, self.control: Ring("control")}


class _RedisConnection:
    """A redis-py connection whose socket is used without blocking: its own calls wait for replies.

    The attribute of the socket is private, but has had this name since the first release.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket: socket.socket = connection._sock
        self._socket.setblocking(False)

    def close(self) -> None:
        """Close it."""
        self._connection.disconnect()

    def abandon(self) -> None:
        """See :meth:`Sender.abandon`."""
        self._socket.close()

    def _recv(self) -> bytes:
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("Redis closed the connection")
        return data


class _RedisSender(_RedisConnection):
    """Publishes without waiting; reads the replies before the next publish."""

    def __init__(self, connection: Any, names: _Channels) -> None:
        super().__init__(connection)
        self._names = names
        self._packed: dict[Ring, bytes] = {}
        self._missing = 0
        self._since = 0.0  # when the oldest missing reply became due

    def send(self, rings: Sequence[Ring]) -> None:
        now = monotonic()
        self._read(now)
        if not self._missing:
            self._since = now
        packed = [self._packed.get(ring) or self._pack(ring) for ring in rings]
        data = packed[0] if len(packed) == 1 else b"".join(packed)
        try:
            sent = self._socket.send(data)
        except _NOT_NOW:
            sent = 0
        if sent < len(data):
            raise TimeoutError("Redis does not read what it is sent")
        self._missing += len(rings)

    def finish(self, seconds: float) -> None:
        """Read all replies: to close a socket with unread bytes resets the connection, and Redis
        loses what it has not read."""
        deadline = monotonic() + seconds
        while self._missing > 0:
            self._socket.settimeout(max(0.001, deadline - monotonic()))
            try:
                self._take()
            finally:
                self._socket.setblocking(False)

    def _read(self, now: float) -> None:
        """Read the replies that have arrived.

        Raises:
            TimeoutError: a reply is overdue, or is an error.
        """
        try:
            while True:  # even if none is missing: Redis may have closed the connection
                self._take()
                self._since = now
        except _NOT_NOW:
            if self._missing and now - self._since > RING_TIMEOUT:
                raise TimeoutError(f"no reply within {RING_TIMEOUT} s") from None

    def _take(self) -> None:
        data = self._recv()
        if b"-" in data:  # a reply is the number of subscribers, or an error
            raise TimeoutError(f"Redis refuses: {data.decode('utf-8', 'replace').strip()}")
        self._missing = max(0, self._missing - data.count(b"\n"))

    def _pack(self, ring: Ring) -> bytes:
        match ring.kind:
            case "work":
                packed = command(b"PUBLISH", self._names.work + ring.body, b"")
            case "done":
                return command(b"PUBLISH", self._names.done, ring.body)
            case _:
                packed = command(b"PUBLISH", self._names.control, b"")
        if len(self._packed) > 4096:
            self._packed.clear()
        self._packed[ring] = packed
        return packed


class _RedisSubscription(_RedisConnection):
    """A subscription to some channels."""

    def __init__(self, connection: Any, channels: dict[bytes, Ring]) -> None:
        super().__init__(connection)
        self._channels = channels
        self._reader = Reader()

    def subscribe(self, deadline: float) -> None:
        """Subscribe, and wait until Redis has confirmed all channels."""
        self._socket.settimeout(LISTEN_TIMEOUT)
        self._socket.sendall(command(b"SUBSCRIBE", *self._channels))
        confirmed = 0
        while confirmed < len(self._channels):
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError("Redis did not confirm a subscription in time")
            self._socket.settimeout(left)
            messages = self._reader.feed(self._recv())
            confirmed += sum(message[0] == b"subscribe" for message in messages)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> tuple[list[Ring], bool]:
        try:
            rings = {self._ring(message): None for message in self._reader.feed(self._recv())}
        except _NOT_NOW:
            return [], False
        more = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
        return [ring for ring in rings if ring is not None], more

    def ping(self) -> bool:
        try:
            self._socket.send(_PING)
        except _NOT_NOW:
            pass  # Redis reads nothing, so no reply will come and the subscriber reconnects
        return True

    def _ring(self, message: list[bytes]) -> Ring | None:
        if len(message) != 3 or message[0] != b"message":
            return None
        ring = self._channels.get(message[1])
        if ring is None or ring.kind != "done":
            return ring
        return Ring("done", message[2])


def _plain(error: redis.RedisError) -> OSError:
    kind = TimeoutError if isinstance(error, redis.TimeoutError) else ConnectionError
    return kind(str(error) or type(error).__name__)
