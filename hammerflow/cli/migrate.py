"""``hammerflow migrate``: make the database's tables, or bring them up to date."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from pathlib import Path

import click

from hammerflow.cli.options import flag, shared
from hammerflow.cli.output import say_block, show_json
from hammerflow.cli.session import Session, is_missing
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from hammerflow.stores.schema import Migration

__all__ = ["command"]


@click.command("migrate")
@flag("--plan", help="Print the SQL that would run, and do not run it.")
@shared
def command(session: Session, plan: bool) -> None:
    """Bring the database's tables up to date.

    It is safe to run repeatedly, and in several processes at once; it never deletes data.
    """
    settings = session.settings
    if plan:
        steps = _pending(settings)
        if session.as_json:
            show_json({"pending": [{"name": _name(step), "sql": step.sql} for step in steps]})
            return
        script = "\n".join(f"-- {_name(step)}\n{step.sql.strip()}\n" for step in steps)
        say_block(script or f"-- {settings.url.redacted} is up to date: nothing would run")
        return
    with contextlib.closing(open_store(settings)) as store:
        steps = store.schema.migrate()
        store.schema.check()
    applied = [_name(step) for step in steps]
    lines = [*(f"applied {name}" for name in applied), f"{settings.url.redacted} is up to date"]
    session.tell({"applied": applied}, *lines)


def _pending(settings: Settings) -> list[Migration]:
    if not is_missing(settings):
        with contextlib.closing(open_store(settings)) as store:
            return store.schema.pending()
    with tempfile.TemporaryDirectory() as folder:  # a plan must not create the file
        fresh = dataclasses.replace(settings, database=f"sqlite:///{Path(folder, 'fresh.db')}")
        with contextlib.closing(open_store(fresh)) as store:
            return store.schema.pending()


def _name(step: Migration) -> str:
    return f"{step.version:04}_{step.name}"
