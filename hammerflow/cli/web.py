"""``hammerflow web``: the dashboard and the REST API on this machine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from hammerflow.cli.options import flag, number_option, seconds_option, shared, text_option
from hammerflow.cli.session import Session
from hammerflow.cli.web_server import web_server
from hammerflow.cli.web_token import token
from hammerflow.text import user_at_host

if TYPE_CHECKING:
    from hammerflow.web.backend import Backend

__all__ = ["command"]


@click.group("web", invoke_without_command=True)
@text_option("--host", default="127.0.0.1", help="The address to listen on, of this machine only.")
@number_option("--port", 0, 65535, default=8080, help="The port; 0 takes a free one.")
@click.option(
    "--allowed-host", "hosts", multiple=True, metavar="NAME",
    help="Also answer for this name, as behind a tunnel; can be given several times.",
)  # fmt: skip
@seconds_option("--for", "seconds", help="End after this many seconds [default: no limit].")
@flag("--read-only", help="Nobody may change anything.")
@shared
def command(
    session: Session,
    host: str,
    port: int,
    hosts: tuple[str, ...],
    seconds: float | None,
    read_only: bool,
) -> None:
    """Serve the dashboard and the REST API on this machine until Ctrl-C.

    It prints a link that logs one browser in, once, within ten minutes. /api/openapi.json describes
    the API. Without an app (-A) it shows and changes jobs, but cannot enqueue any.

    \b
    Examples:
      hammerflow -A shop:app web
      hammerflow --database postgresql://localhost/shop web --port 0 --read-only
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    serve = web_server("hammerflow web")

    def tell(link: str) -> None:
        session.tell({"link": link}, f"open {link}")

    with contextlib.ExitStack() as opened:
        backend: Backend
        if session.app_spec is not None:
            backend = opened.enter_context(contextlib.closing(session.app))
            _ = backend.store  # its database is checked before anybody is let in
        else:
            backend = opened.enter_context(session.backend())
        serve(
            backend, host=host, port=port, hosts=hosts, user=user_at_host(),
            is_read_only=read_only, seconds=seconds, tell=tell,
        )  # fmt: skip


command.add_command(token)
