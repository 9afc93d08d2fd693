"""POST requests to addresses that strangers chose, guarded: public addresses only, and in time."""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from hammerflow.errors import ConfigError, HammerflowError

__all__ = [
    "Cutoff",
    "GuardedAnswer",
    "GuardedError",
    "GuardedUrl",
    "IPNetwork",
    "check_url",
    "guarded_connection",
    "is_of_cloud",
    "local_address",
    "networks",
    "post",
    "refuse_cloud",
]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
#: What getaddrinfo says of one address: its family, and what connect() takes.
SocketAddress = tuple[socket.AddressFamily, Any]

#: All of IPv6 that is public. The rest is local or has an IPv4 address inside: 64:ff9b::/96, ::/96.
_PUBLIC_IPV6: Final = ipaddress.ip_network("2000::/3")
#: Global by ipaddress, and yet a way to other addresses or to the host's own cloud.
_REFUSED: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "2002::/16",  # 6to4: has an IPv4 address inside
        "2001::/23",  # Teredo, ORCHID and other protocols
        "3fff::/20",  # documentation
        "192.0.0.0/24",  # protocols, and Oracle's own services; global in old versions of Python
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # Azure's own services, on each of its hosts
    )
)
#: Where a host asks its cloud for its own credentials: of AWS, Google, Azure, Alibaba and Oracle.
_CLOUD: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "168.63.129.16/32", "100.100.100.200/32",
        "192.0.0.192/32",
    )
)  # fmt: skip
#: Headers that say where a request goes and where it ends.
_OWN_HEADERS: Final = frozenset({
    "host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer",
    "upgrade",
})  # fmt: skip
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")


class GuardedError(HammerflowError):
    """A request had no answer.

    Attributes:
        is_refused: nothing was sent, as the URL, a header or an address is not allowed.
        address: the IP address that was connected to; None if it did not come to that.
    """

    def __init__(
        self, message: str, *, is_refused: bool = False, address: str | None = None
    ) -> None:
        super().__init__(message)
        self.is_refused = is_refused
        self.address = address


@dataclass(frozen=True, slots=True)
class GuardedAnswer:
    """What a server answered.

    Attributes:
        status: the HTTP status, also of redirects, which are never followed.
        headers: values by names in lower case.
        body: its first bytes, up to the cap.
        address: the IP address that answered.
        seconds: from the resolution of the name to the end of the answer.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    address: str
    seconds: float


class GuardedUrl(NamedTuple):
    """The parts of a URL that a request needs."""

    is_tls: bool
    host: str
    port: int
    path: str


def networks(values: Iterable[str | IPNetwork]) -> tuple[IPNetwork, ...]:
    """Networks such as ``10.2.0.0/16``, or single addresses, checked.

    Raises:
        ConfigError: one of them is not a network.
    """
    found = []
    for value in values:
        try:
            found.append(ipaddress.ip_network(value))
        except ValueError as error:
            raise ConfigError(
                f"{value!r} is not a network such as 10.2.0.0/16 or fd00:1::/32: {error}"
            ) from error
    return tuple(found)


def check_url(url: str) -> GuardedUrl:
    """The parts of a URL to which a request may be made; its host is not resolved yet.

    Raises:
        GuardedError: the URL is malformed, or is not one of http or https without a user in it.
    """
    if not url.isascii() or any(char <= " " or char in "\\\x7f" for char in url):
        raise _refused(
            "the URL must be ASCII without spaces, backslashes and control characters: encode "
            "these with %, and the name of the host as xn--"
        )
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refused(f"the URL is malformed: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise _refused("the URL must begin with http:// or https://")
    if "@" in parts.netloc:
        raise _refused("the URL must not have a user or a password in it: use a header")
    host = parts.hostname or ""
    if not _is_host(host) or ("[" in parts.netloc) != (":" in host) or port == 0:
        raise _refused("the URL must have a host, and a port from 1 to 65535 if any")
    is_tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return GuardedUrl(is_tls, host, port or (443 if is_tls else 80), path)


def local_address(url: str, allow_networks: Sequence[str | IPNetwork]) -> str | None:
    """The host of a URL, if it is an address, or localhost, to which :func:`post` sends nothing.

    No name is resolved: that may take long, and another host may get another answer.
    """
    host = check_url(url).host
    if host == "localhost" or host.endswith(".localhost"):
        addresses = ["127.0.0.1", "::1"]
    else:
        addresses = [host]
    allowed = networks(allow_networks)
    try:
        is_local = not any(_is_allowed(ipaddress.ip_address(each), allowed) for each in addresses)
    except ValueError:  # a name
        return None
    return host if is_local else None


def is_of_cloud(text: str) -> bool:
    """Whether an address is one at which a cloud gives a host its credentials."""
    address: IPAddress = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return any(address in network for network in _CLOUD)


def refuse_cloud(connected: socket.socket) -> None:
    """Refuse to send anything to what gives a host's credentials to whoever asks from it.

    For requests whose addresses may be in the own network, as an operator has chosen them.

    Raises:
        ConnectionRefusedError: the socket is connected to such an address.
    """
    peer = str(connected.getpeername()[0])
    if is_of_cloud(peer):
        raise ConnectionRefusedError(f"nothing is sent to {peer}, which is a service of the cloud")


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_networks: Sequence[str | IPNetwork] = (),
    timeout: float = 15.0,
    body_cap: int = 65_536,
    tls: ssl.SSLContext | None = None,
) -> GuardedAnswer:
    """Send one request and read its answer.

    The name is resolved once. If any of its addresses is not on the public internet, nothing is
    sent; else the connection goes to one of exactly these. Redirects are not followed, and
    settings for proxies in the environment are not read.

    Args:
        headers: further headers. Those that say where a request goes and where it ends, such as
            Host, are refused.
        allow_networks: networks, such as ``10.2.0.0/16``, that are allowed though they are not
            public.
        timeout: seconds for all of it, however slowly the server sends.
        body_cap: bytes of the answer's body that are read; the rest is dropped.
        tls: how servers' certificates are checked; by default against the system's authorities.

    Raises:
        GuardedError: it was refused, failed, or was not over in time.
        ConfigError: one of allow_networks is malformed.
    """
    started = time.monotonic()
    deadline = started + timeout
    target, allowed = check_url(url), networks(allow_networks)
    sent = _checked_headers(headers)
    addresses = _public(target.host, _resolve(target, deadline, timeout), allowed)
    connection = _PinnedConnection(target, addresses, deadline, tls)
    try:
        connection.connect()
        with Cutoff(connection.sock, deadline) as cutoff:
            status, found, answer = _exchange(connection, target, body, sent, body_cap)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            raise _too_late(timeout, connection.address) from error
        what = f"{type(error).__name__}: {error}"
        raise GuardedError(what, address=connection.address) from error
    finally:
        connection.close()
    if cutoff.is_over:
        raise _too_late(timeout, connection.address)
    seconds = time.monotonic() - started
    return GuardedAnswer(status, found, answer, connection.address or "", seconds)


def guarded_connection(
    host: str, port: int | None, *, is_tls: bool, allow_networks: Sequence[str], timeout: float
) -> http.client.HTTPConnection:
    """A connection that is open, to an address that was checked as by :func:`post`, for requests
    whose caller reads the answer.

    Args:
        timeout: seconds for the connection.

    Raises:
        GuardedError: the address is not allowed, or the name has none.
        OSError: it cannot be reached.
    """
    if not _is_host(host):
        raise _refused("the URL must have a host")
    deadline = time.monotonic() + timeout
    target = GuardedUrl(is_tls, host, port or (443 if is_tls else 80), "/")
    resolved = _resolve(target, deadline, timeout)
    addresses = _public(host, resolved, networks(allow_networks))
    connection = _PinnedConnection(target, addresses, deadline, None)
    connection.connect()
    connection.sock.settimeout(timeout)
    return connection


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to addresses that were checked, whatever the name resolves to by now."""

    def __init__(
        self,
        target: GuardedUrl,
        addresses: Sequence[SocketAddress],
        deadline: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(target.host, target.port)
        self.default_port = 443 if target.is_tls else 80  # the header Host has other ports only
        self.address: str | None = None
        self._addresses = addresses
        self._deadline = deadline
        self._tls = (tls or _tls()) if target.is_tls else None

    def connect(self) -> None:
        """Connect to the first address that accepts."""
        for tried, (family, address) in enumerate(self._addresses):
            share = _remaining(self._deadline) / (len(self._addresses) - tried)
            self.address = address[0]
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                plain.settimeout(share)
                plain.connect(address)
                break
            except OSError:
                plain.close()
                if tried + 1 == len(self._addresses):
                    raise
        self.sock = plain
        plain.settimeout(_remaining(self._deadline))  # of the handshake in all, then of each read
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host.rstrip("."))


class Cutoff:
    """Ends what waits for a connected socket at a deadline, however often some byte arrives.

    Attributes:
        is_over: whether the deadline came first. What was read is then worth nothing, though it
            may look whole: http.client takes headers that break off for all of them.
    """

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self.is_over = False
        self._socket = connected
        # http.client closes a socket before the body is read: this keeps it open until the end.
        self._reference = connected.makefile("rb", buffering=0)
        self._timer = threading.Timer(max(deadline - time.monotonic(), 0.0), self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._has_ended = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:  # a closed socket's number may be another file's at once
            self._has_ended = True
        self._reference.close()

    def _cut(self) -> None:
        with self._lock:
            if self._has_ended:
                return
            self.is_over = True
            with contextlib.suppress(OSError):
                # Not that of SSLSocket, which would have the reader go on without TLS.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _exchange(
    connection: _PinnedConnection,
    target: GuardedUrl,
    body: bytes,
    headers: Mapping[str, str],
    body_cap: int,
) -> tuple[int, dict[str, str], bytes]:
    connection.request("POST", target.path, body, headers)
    answer = connection.getresponse()
    try:
        found = answer.read(body_cap)
    except http.client.IncompleteRead as error:
        found = error.partial  # the status was whole, and that is what counts
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}, found


def _is_host(host: str) -> bool:
    """Whether it is a name or an address, and has nothing that a resolver may read otherwise."""
    if ":" not in host:
        return _NAME.fullmatch(host) is not None
    try:
        return not ipaddress.IPv6Address(host).scope_id
    except ValueError:
        return False


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """All headers of the request."""
    names = {name.lower() for name in headers}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise _refused(
                f"the header {name!r} must be a name of letters, digits and -, and a value of "
                "printable ASCII characters"
            )
    for name in sorted(names & _OWN_HEADERS):
        raise _refused(f"the header {name} follows from the request and cannot be set")
    agent = {} if "user-agent" in names else {"User-Agent": "hammerflow"}
    return {"Connection": "close", **agent, **headers}


def _resolve(target: GuardedUrl, deadline: float, timeout: float) -> list[SocketAddress]:
    """All addresses of a host. The resolver knows no deadline, so a thread waits for it."""
    answers: queue.SimpleQueue[list[SocketAddress] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            answers.put([(family, address) for family, _, _, _, address in found])
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=resolve, name="hammerflow-resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=max(deadline - time.monotonic(), 0.0))
    except queue.Empty:
        raise _too_late(timeout, None) from None
    if isinstance(answer, Exception):
        raise GuardedError(f"the name {target.host} has no address: {answer}") from answer
    return answer


def _public(
    host: str, addresses: Sequence[SocketAddress], allowed: Sequence[IPNetwork]
) -> Sequence[SocketAddress]:
    """The addresses, if all of them are public or allowed."""
    for _, address in addresses:
        if not _is_allowed(ipaddress.ip_address(address[0]), allowed):
            is_name = host != address[0]
            where = f"{host} has the address {address[0]}, which" if is_name else host
            raise _refused(
                f"{where} is not on the public internet: if requests may go there, put its "
                "network into the setting webhook_allow_networks"
            )
    return addresses


def _is_allowed(address: IPAddress, allowed: Sequence[IPNetwork]) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if any(address in network for network in allowed):
        return True
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_IPV6:
        return False
    # Not global: private, loopback, link-local, 100.64.0.0/10, documentation, reserved, 0.0.0.0/8.
    is_public = address.is_global and not address.is_multicast and not address.is_reserved
    return is_public and not any(address in network for network in _REFUSED)


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _refused(message: str) -> GuardedError:
    return GuardedError(message, is_refused=True)


def _too_late(timeout: float, address: str | None) -> GuardedError:
    return GuardedError(f"no whole answer within {timeout:g} seconds", address=address)
