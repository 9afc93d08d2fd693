"""Server: the web on an address of its own."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable

import uvicorn

from hammerflow.errors import ConfigError
from hammerflow.text import safe_repr
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from hammerflow.web.backend import Backend
from hammerflow.web.connections import (
    BACKLOG,
    BoundedProtocol,
    WatchedServer,
    most_connections,
)
from hammerflow.web.guard import HostCheck
from hammerflow.web.login import BrowserLogin
from hammerflow.web.options import ServerOptions
from hammerflow.web.tokens import TokenCheck, TokenLogin
from hammerflow.web.warmth import Warmth

__all__ = ["serve"]

log = logging.getLogger("hammerflow.web")
#: Names of this machine for itself.
_LOCAL = ("localhost", "127.0.0.1", "::1")
#: Seconds until an idle connection is closed.
_KEEP_ALIVE = 30


def serve(
    backend: Backend, options: ServerOptions, *, user: str, tell: Callable[[str, bool], None]
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        user: who opens the link.
        tell: called once it can be opened: with the link that logs in a browser, or with the
            server's address, where browsers log in with a token; and whether it is a link.

    Raises:
        ConfigError: the address cannot be listened at, or the certificate cannot be used.
    """
    highest = Role.READ if options.is_read_only else Role.ADMIN
    tokens = TokenCheck(backend.store.access, highest)
    linked = Principal(user, highest, sees_values=True) if options.is_local else None
    login = BrowserLogin(linked, tokens)
    most = most_connections()
    app = create_application(
        backend, authorize=TokenLogin(tokens, login.authorize).authorize, title="hammerflow",
        more=login.routes(), ways=login.ways, most_streams=most // 2,
    )  # fmt: skip
    names = {*_LOCAL, *(name.lower() for name in (options.host, *options.hosts))}
    if not options.is_local:
        names.add(socket.gethostname().lower())
    config = uvicorn.Config(
        HostCheck(app, names, any_address=not options.is_local),
        log_config=None, access_log=False, lifespan="off", server_header=False,
        limit_concurrency=most, backlog=BACKLOG, http=BoundedProtocol, ws="none",
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=5, proxy_headers=bool(options.proxies),
        forwarded_allow_ips=list(options.proxies), ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
    )  # fmt: skip
    _load(config, options)
    bound = _bind(options.host, options.port)
    scheme = "http" if options.certificate is None else "https"
    shown = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{scheme}://{shown}:{bound.getsockname()[1]}"
    warmth = Warmth(app.state.warm)
    tell(address + login.path() if options.is_local else address, options.is_local)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = WatchedServer(config)
    if options.seconds is not None:
        timer = threading.Timer(options.seconds, setattr, (server, "should_exit", True))
        timer.daemon = True
        timer.start()
    with warmth:
        server.run(sockets=[bound])


def _load(config: uvicorn.Config, options: ServerOptions) -> None:
    """Have the certificate read, before anybody is told that the server is there."""
    try:
        config.load()
    except (OSError, ssl.SSLError, ValueError) as error:
        given = filter(None, (options.certificate, options.key))
        files = " and ".join(safe_repr(file, 200) for file in given)
        raise ConfigError(
            f"web cannot use the certificate in {files}: {error}: it takes PEM files of a "
            "certificate and of its private key without a password"
        ) from None


def _bind(host: str, port: int) -> socket.socket:
    try:
        bound = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            reason = "another process listens there: give another --port, or 0 for a free one"
        else:
            reason = os.strerror(number) if number and number > 0 else str(error)
            reason = reason.partition("] ")[2] or reason  # names that cannot be resolved
        raise ConfigError(
            f"web cannot listen at {safe_repr(host, 80)} port {port}: {reason}"
        ) from None
    # Connections inherit it. Without it each answer waits 40 ms for the client's acknowledgement of
    # its head; asyncio sets it for sockets that it has made itself only.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound
