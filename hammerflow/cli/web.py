"""``hammerflow web``: the dashboard and the REST API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from hammerflow.cli.options import flag, number_option, seconds_option, shared, text_option
from hammerflow.cli.session import Session
from hammerflow.cli.web_server import web_server
from hammerflow.cli.web_token import token
from hammerflow.text import user_at_host
from hammerflow.web.options import ServerOptions

if TYPE_CHECKING:
    from hammerflow.web.backend import Backend

__all__ = ["command"]


@click.group("web", invoke_without_command=True)
@text_option(
    "--host", default="127.0.0.1",
    help="The address to listen on; everybody needs a token unless it is this machine's own.",
)  # fmt: skip
@number_option("--port", 0, 65535, default=8080, help="The port; 0 takes a free one.")
@click.option(
    "--allowed-host", "hosts", multiple=True, metavar="NAME",
    help="Also answer for this name, as behind a tunnel; can be given several times.",
)  # fmt: skip
@text_option("--tls-cert", metavar="FILE", help="Serve HTTPS with this certificate (PEM).")
@text_option("--tls-key", metavar="FILE", help="Its private key, unless it is in the same file.")
@click.option(
    "--proxy", "proxies", multiple=True, metavar="ADDRESS",
    help="Trust X-Forwarded-For and -Proto from this proxy; can be given several times.",
)  # fmt: skip
@seconds_option("--for", "seconds", help="End after this many seconds [default: no limit].")
@flag("--read-only", help="Refuse all changes.")
@shared
def command(
    session: Session,
    host: str,
    port: int,
    hosts: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    proxies: tuple[str, ...],
    seconds: float | None,
    read_only: bool,
) -> None:
    """Serve the dashboard and the REST API until Ctrl-C.

    On this machine it prints a link that logs one browser in, once, within ten minutes. From other
    machines (--host 0.0.0.0), browsers log in with a token from "hammerflow web token create".
    /api/openapi.json describes the API. Without an app (-A) it shows and changes jobs, and enqueues
    calls of tasks that a live worker serves.

    \b
    Examples:
      hammerflow -A shop:app web
      hammerflow --database postgresql://localhost/shop web --port 0 --read-only
      hammerflow -A shop:app web --host 0.0.0.0 --tls-cert web.pem --tls-key web.key
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    options = ServerOptions(
        host, port, hosts, tls_cert, tls_key, proxies, is_read_only=read_only, seconds=seconds
    )
    serve = web_server("hammerflow web")

    def tell(address: str, is_link: bool) -> None:
        if is_link:
            session.tell({"link": address}, f"open {address}")
        else:
            session.tell({"url": address}, f"serving {address}: log in with a token")
            if tls_cert is None and not proxies:
                session.warn(
                    "it is served without TLS, so anyone on the network between can read tokens "
                    "and jobs: give --tls-cert, or name the --proxy that has the certificate"
                )

    with contextlib.ExitStack() as opened:
        backend: Backend
        if session.app_spec is not None:
            backend = opened.enter_context(contextlib.closing(session.app))
            _ = backend.store  # its database is checked before anybody is let in
        else:
            backend = opened.enter_context(session.backend())
        serve(backend, options, user=user_at_host(), tell=tell)


command.add_command(token)
