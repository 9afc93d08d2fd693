"""``hammerflow migrate``: the database's tables, made or brought up to date."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from pathlib import Path

import click

from hammerflow.cli.options import shared
from hammerflow.cli.output import say, show_json
from hammerflow.cli.session import Session, is_missing
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from hammerflow.stores.schema import Migration

__all__ = ["command"]


@click.command("migrate")
@click.option("--plan", is_flag=True, help="Print the SQL that would run, and run nothing.")
@shared
def command(session: Session, plan: bool) -> None:
    """Bring the database's tables up to date.

    Safe to run again and by several at once; it never takes anything away.
    """
    settings = session.settings
    if plan:
        _show_plan(session, _pending(settings))
        return
    with contextlib.closing(open_store(settings)) as store:
        steps = store.schema.migrate()
        store.schema.check()
    if session.as_json:
        show_json({"applied": [_named(step) for step in steps]})
        return
    for step in steps:
        say(f"applied {_named(step)}")
    if not steps:
        say(f"{settings.url.redacted} is up to date")


def _pending(settings: Settings) -> list[Migration]:
    if not is_missing(settings):
        with contextlib.closing(open_store(settings)) as store:
            return store.schema.pending()
    with tempfile.TemporaryDirectory() as folder:  # looking must not create the file
        fresh = dataclasses.replace(settings, database=f"sqlite:///{Path(folder, 'fresh.db')}")
        with contextlib.closing(open_store(fresh)) as store:
            return store.schema.pending()


def _show_plan(session: Session, steps: list[Migration]) -> None:
    if session.as_json:
        show_json({"pending": [{"name": _named(step), "sql": step.sql} for step in steps]})
        return
    for step in steps:
        say(f"-- {_named(step)}\n{step.sql.strip()}\n")
    if not steps:
        say(f"-- {session.settings.url.redacted} is up to date: nothing would run")


def _named(step: Migration) -> str:
    return f"{step.version:04}_{step.name}"
