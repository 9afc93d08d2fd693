"""``hammerflow app``: pause and resume everything; list all pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from hammerflow.cli.options import shared, text_option
from hammerflow.cli.output import TableView
from hammerflow.cli.pause_view import paused_text
from hammerflow.cli.session import Session
from hammerflow.results.pauses import pause as pause_jobs
from hammerflow.results.pauses import resume as resume_jobs
from hammerflow.stores.pauses import Pause, PauseKind
from hammerflow.text import user_at_host

__all__ = ["command"]


@click.group("app")
def command() -> None:
    """Pause and resume the whole app; list every pause."""


@command.command("pauses")
@shared
def pauses(session: Session) -> None:
    """List what is paused: the app, queues and tasks; since when, by whom and why."""
    with session.store() as store:
        found = store.pauses.list()
    session.show_list(found, _PAUSES, empty="nothing is paused")


@command.command("pause")
@text_option("--reason", default="", show_default=False, help="Why; it is listed.")
@shared
def pause(session: Session, reason: str) -> None:
    """Stop workers from starting any job on this database; running jobs go on."""
    with session.backend() as backend:
        pause_jobs(backend, PauseKind.APP, "", by=user_at_host(), reason=reason)
    session.tell({"paused": True}, "the app is paused: no job starts in any queue")


@command.command("resume")
@shared
def resume(session: Session) -> None:
    """Let workers start jobs again; pauses of single queues and tasks stay."""
    with session.backend() as backend:
        resume_jobs(backend, PauseKind.APP, "")
        left = backend.store.pauses.list()
    names = ", ".join(f"{each.kind} {each.name}" for each in left)
    session.tell(
        {"paused": False, "still_paused": [asdict(each) for each in left]},
        "the app is open", *([f"still paused: {names}"] if left else []),
    )  # fmt: skip


def _pause_row(pause: Pause) -> Sequence[Any]:
    return pause.kind, pause.name, paused_text(pause)


_PAUSES = TableView(("kind", "name", "paused"), _pause_row, asdict)
