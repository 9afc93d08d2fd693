"""``hammerflow backup``: write, list and restore backups of the app's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from hammerflow import __version__
from hammerflow.cli import options, output
from hammerflow.cli.confirming import confirm
from hammerflow.cli.session import Session
from hammerflow.errors import HammerflowError
from hammerflow.stores.maintenance.backup_file import BackupHead, BackupReader
from hammerflow.stores.maintenance.backups import Backups
from hammerflow.text import counted, user_at_host

__all__ = ["command"]

_SUFFIX = ".hfbackup"
_MIB = 1 << 20


@click.group("backup")
def command() -> None:
    """Write, list and restore backups of the app's tables."""


class _Backup(NamedTuple):
    """A file as it is listed."""

    file: Path
    size: int
    head: BackupHead | None
    rows: Mapping[str, int]
    status: str  # ok, or what is wrong

    @property
    def as_json(self) -> dict[str, Any]:
        head = self.head
        return {
            "file": str(self.file), "bytes": self.size, "is_ok": head is not None,
            "status": self.status, "created_at": head and head.created_at,
            "app": head and head.app, "dialect": head and head.dialect,
            "schema": head and head.schema, "hammerflow": head and head.hammerflow,
            "rows": dict(self.rows),
        }  # fmt: skip


def _row(each: _Backup) -> tuple[Any, ...]:
    size = f"{each.size / _MIB:,.1f}"
    if each.head is None:
        return each.file.name, "", "", "", "", size, each.status
    head = each.head
    jobs = f"{each.rows.get('jobs', 0):,}"
    created = output.local_time(datetime.fromisoformat(head.created_at))
    return each.file.name, created, head.app, head.dialect, jobs, size, each.status


_LIST = output.TableView(
    ("file", "created", "app", "dialect", "jobs", "MiB", "status"), _row, lambda each: each.as_json
)


@command.command("create")
@options.path_argument
@options.shared
def create(session: Session, path: str) -> None:
    """Write all jobs, workflows, schedules, limits and pauses to FILE, while workers run.

    The backup is a snapshot of one moment. In a folder, the file is named after the app and the
    time. It holds arguments and results, so only its owner may read it.

    \b
    Examples:
      hammerflow backup create before-upgrade.hfbackup
      hammerflow backup create /var/backups/
    """
    settings = session.settings
    place = Path(path)
    if place.is_dir():
        app = settings.namespace.replace("/", "_")
        place /= f"{app}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{_SUFFIX}"
    with session.store() as store:
        made = Backups(store).create(place, app=settings.namespace, version=__version__)
    found = _Backup(place, made.size, made.head, made.rows, "ok")
    size = f"{made.size / _MIB:,.1f} MiB"
    session.tell(found.as_json, f"{place}: {_contents(made.rows)}, {size}")


@command.command("list")
@options.path_argument
@options.shared
def list_backups(session: Session, path: str) -> None:
    """List the backup FILE, or those of a folder whose names end in .hfbackup, and compare their
    checksums.

    The exit code is 1 if one of them cannot be restored.
    """
    place = Path(path)
    is_folder = place.is_dir()
    files = sorted(place.glob(f"*{_SUFFIX}")) if is_folder else [place]
    found = [_read(file, is_one_of_many=is_folder) for file in files]
    session.show_list(found, _LIST, empty=f"no file in {place} has a name that ends in {_SUFFIX}")
    if bad := sum(each.head is None for each in found):
        raise HammerflowError(f"{bad} of {counted(len(found), 'backup')} cannot be restored")


def _read(path: Path, *, is_one_of_many: bool) -> _Backup:
    try:
        with BackupReader(path) as file:
            return _Backup(path, file.size, file.head, file.rows, "ok")
    except HammerflowError as error:
        if not is_one_of_many:
            raise
        return _Backup(path, path.stat().st_size, None, {}, str(error))


@command.command("restore")
@options.path_argument
@options.flag("--replace", help="Delete the jobs that are in the database.")
@options.bulk
@options.shared
def restore(session: Session, path: str, replace: bool, dry_run: bool, yes: bool) -> None:
    """Restore the backup FILE into this database, of whichever kind, and leave the app paused.

    The database must be migrated and, without --replace, empty; stop its workers first. Jobs that
    were running when the backup was made lose an attempt. Nothing starts before hammerflow app
    resume.

    \b
    Examples:
      hammerflow --database sqlite:///copy.db backup restore before-upgrade.hfbackup
      hammerflow backup restore before-upgrade.hfbackup --replace
    """
    settings = session.settings
    with BackupReader(Path(path)) as file, session.store() as store:
        backups = Backups(store)
        backups.check(file, lease=settings.lease)
        there = backups.jobs_there() if replace else 0
        if dry_run:
            text = f"would restore {_contents(file.rows)}"
            text += f" and delete {counted(there, 'job')}" if replace else ""
            session.tell({"rows": dict(file.rows), "deleted_jobs": there}, text)
            return
        if replace:
            confirm(
                session,
                f"delete {counted(there, 'job')} of {settings.url.redacted} and restore "
                f"{_contents(file.rows)}",
                yes=yes,
            )  # fmt: skip
        done = backups.restore(
            file, by=user_at_host(), lease=settings.lease,
            poison_limit=settings.poison_limit, replace=replace,
        )  # fmt: skip
    lost = counted(done.lost, "job")
    session.tell(
        {"rows": dict(done.rows), "lost": done.lost, "paused": True},
        f"restored {_contents(done.rows)}",
        *([f"{lost} had been running, and lost an attempt"] if done.lost else []),
        "the app is paused: check it, start workers, then run hammerflow app resume",
    )  # fmt: skip


def _contents(rows: Mapping[str, int]) -> str:
    """``12 jobs, 1 workflow, 40 rows``."""
    return ", ".join(_counts(rows))


def _counts(rows: Mapping[str, int]) -> Iterator[str]:
    for table, noun in (("jobs", "job"), ("workflows", "workflow"), ("schedules", "schedule")):
        if table == "jobs" or rows.get(table):
            yield counted(rows.get(table, 0), noun)
    yield f"{counted(sum(rows.values()), 'row')} in all"
