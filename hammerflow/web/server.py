"""Server: the web on an address of its own."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Collection

import uvicorn

from hammerflow.errors import ConfigError
from hammerflow.text import safe_repr
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from hammerflow.web.backend import Backend
from hammerflow.web.guard import HostCheck
from hammerflow.web.login import LocalLogin
from hammerflow.web.tokens import TokenLogin

__all__ = ["serve"]

#: Names of this machine for itself.
_LOCAL = ("localhost", "127.0.0.1", "::1")
#: Connections at a time, and seconds until an idle one is closed.
_CONNECTIONS, _KEEP_ALIVE = 2_000, 30


def serve(
    backend: Backend, *, host: str, port: int, hosts: Collection[str], user: str,
    is_read_only: bool, seconds: float | None, tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Serve until Ctrl-C or SIGTERM.

    Args:
        host: the address to listen at, on this machine only.
        port: 0 takes a free one.
        hosts: further names by which it may be called, as behind a tunnel.
        user: who opens the link.
        is_read_only: nobody may change anything.
        seconds: end after this time; None for no limit.
        tell: gets the link once it can be opened.

    Raises:
        ConfigError: the address is not one of this machine's own, or is taken.
    """
    if not _is_loopback(host):
        raise ConfigError(
            f"web listens on this machine only, and not at {safe_repr(host, 80)}: use "
            "127.0.0.1, and an SSH tunnel or a proxy with a log-in of its own before it"
        )
    login = LocalLogin(Principal(user, Role.READ if is_read_only else Role.ADMIN, sees_values=True))
    app = create_application(
        backend,
        authorize=TokenLogin(backend.store.access, login.authorize).authorize,
        title="hammerflow",
        more=login.routes(),
    )
    bound = _bind(host, port)
    port = bound.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    tell(f"http://{shown}:{port}{login.path()}")
    config = uvicorn.Config(
        HostCheck(app, {*_LOCAL, host.lower(), *(name.lower() for name in hosts)}),
        log_config=None, access_log=False, lifespan="off", server_header=False,
        limit_concurrency=_CONNECTIONS, timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=5, proxy_headers=False,
    )  # fmt: skip
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = uvicorn.Server(config)
    if seconds is not None:
        timer = threading.Timer(seconds, setattr, (server, "should_exit", True))
        timer.daemon = True
        timer.start()
    server.run(sockets=[bound])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(host: str, port: int) -> socket.socket:
    try:
        bound = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise ConfigError(
            f"web cannot listen at {host} port {port}: {error.strerror or error}"
        ) from None
    # Connections inherit it. Without it each answer waits 40 ms for the client's acknowledgement of
    # its head; asyncio sets it for sockets that it has made itself only.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound
