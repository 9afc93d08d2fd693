"""``hammerflow maintenance``: check the tables and mend them, and keep them in shape."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import click

from hammerflow.cli import options, output
from hammerflow.cli.confirming import confirm
from hammerflow.cli.session import Session
from hammerflow.errors import HammerflowError
from hammerflow.settings import Settings
from hammerflow.stores.diagnosis.invariants import Finding, Invariants
from hammerflow.stores.maintenance.upkeep import UPKEEP_TABLES, Step, Upkeep, Verb
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["command"]

_EXAMPLES = 3
_MIB = 1 << 20


@click.group("maintenance")
def command() -> None:
    """Check and mend the tables, and keep them in shape."""


@command.command("check")
@options.flag("--fix", help="Repair rows that have only one correct repair.")
@options.flag("--yes", help="Do not ask.")
@options.shared
def check(session: Session, fix: bool, yes: bool) -> None:
    """Search all tables for impossible rows: orphans, jobs in no state or in two, wrong counts.

    It reads all tables in one transaction. Workers keep running, and cause no false alarms. The
    cause of a finding is a change by hand or by another program, or a damaged disk; if it is none
    of these, please report it.

    --fix repairs each row in a short transaction that checks the row again first. The exit code is
    1 if anything is left.

    \b
    Examples:
      hammerflow maintenance check
      hammerflow maintenance check --fix --yes
    """
    settings = session.settings
    with session.store() as store:
        invariants = _invariants(store, settings)
        found = invariants.find()
        mended: Mapping[str, int] = {}
        left: Sequence[Finding] = found
        if fix and (wrong := sum(len(each.rows) for each in found if each.is_mended)):
            confirm(session, f"mend {counted(wrong, 'row')} ({_kinds(found)})", yes=yes)
            mended = invariants.mend(found)
            left = invariants.find()
    _show(session, found, mended)
    if left:
        advice = "" if fix else "; look at them, then run it with --fix"
        many = counted(sum(len(each.rows) for each in left), "row")
        raise HammerflowError(f"the tables have {many} that cannot be{advice}")


def _tables(command: Any) -> Any:
    command = options.flag("--dry-run", help="Say what would be done, and do nothing.")(command)
    return click.option(
        "--table", "tables", type=click.Choice(UPKEEP_TABLES), multiple=True, metavar="TABLE",
        help="Only this table, without the prefix; may be repeated.",
    )(command)  # fmt: skip


@command.command("vacuum")
@_tables
@options.flag("--yes", help="Do not ask, on SQLite.")
@options.shared
def vacuum(session: Session, tables: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Reclaim the space of deleted rows, table by table, the busiest tables first.

    PostgreSQL: VACUUM (ANALYZE), while others read and write. MySQL and MariaDB: OPTIMIZE TABLE,
    which rebuilds the table. SQLite: VACUUM of the whole file, during which everybody waits; it
    needs twice the size of the file on the disk.

    \b
    Examples:
      hammerflow maintenance vacuum --table ready --table leases
      hammerflow maintenance vacuum --dry-run
    """
    _keep_up(session, "vacuum", tables, dry_run, yes=yes)


@command.command("analyze")
@_tables
@options.shared
def analyze(session: Session, tables: tuple[str, ...], dry_run: bool) -> None:
    """Refresh the statistics of the tables, from which the database plans its queries.

    Run it after a restore or a bulk load.
    """
    _keep_up(session, "analyze", tables, dry_run, yes=True)


@command.command("reindex")
@_tables
@options.shared
def reindex(session: Session, tables: tuple[str, ...], dry_run: bool) -> None:
    """Rebuild the indexes of tables.

    PostgreSQL: REINDEX TABLE CONCURRENTLY, while others read and write. MySQL and MariaDB: ALTER
    TABLE ... FORCE, which rebuilds the table. SQLite: REINDEX, during which writers wait.
    """
    _keep_up(session, "reindex", tables, dry_run, yes=True)


def _keep_up(
    session: Session, verb: Verb, chosen: tuple[str, ...], dry_run: bool, *, yes: bool
) -> None:
    with session.store() as store:
        upkeep = Upkeep(store.database)
        tables = upkeep.tables(verb, chosen)
        names = [table or "the file" for table in tables]
        if dry_run:
            session.tell({"would": verb, "tables": names}, f"would {verb} {', '.join(names)}")
            return
        if store.dialect == "sqlite" and verb == "vacuum":
            deed = f"vacuum {session.settings.url.redacted}, for which all writers wait"
            confirm(session, deed, yes=yes)
        steps = []
        for step in upkeep.run(verb, tables):
            steps.append(step._asdict())
            if not session.as_json:
                output.say(_step_text(step))
    if session.as_json:
        output.show_json({"done": verb, "tables": steps})


def _step_text(step: Step) -> str:
    text = f"{step.table or 'the file'}: {step.seconds:.1f} s"
    if step.before is None or step.after is None:
        return text
    return f"{text}, {step.before / _MIB:,.1f} -> {step.after / _MIB:,.1f} MiB"


def _invariants(store: Store, settings: Settings) -> Invariants:
    sweep = functools.partial(
        store.workers.sweep, lease=settings.lease, poison_limit=settings.poison_limit
    )
    return Invariants(store.database, store.names, sweep=sweep, silent=settings.lease)


def _kinds(found: Sequence[Finding]) -> str:
    return ", ".join(each.kind for each in found if each.is_mended)


def _show(session: Session, found: Sequence[Finding], mended: Mapping[str, int]) -> None:
    as_json = [
        {
            "kind": each.kind, "says": each.says, "count": len(each.rows), "remedy": each.remedy,
            "is_mended": each.is_mended, "mended": mended.get(each.kind, 0),
            "examples": [_shown(row[0]) for row in each.rows[:_EXAMPLES]],
        }
        for each in found
    ]  # fmt: skip
    rows = [_row(each, mended) for each in found]
    heads = ("kind", "count", "first", "what it is", "mended" if mended else "remedy")
    session.show_table({"findings": as_json}, (heads, rows), empty="the tables are sound")


def _row(each: Finding, mended: Mapping[str, int]) -> Sequence[Any]:
    last = mended.get(each.kind, 0) if mended else each.remedy
    return each.kind, len(each.rows), _shown(each.rows[0][0]), each.says, last


def _shown(id_: Any) -> str:
    return output.id_text(id_) if isinstance(id_, bytes) else str(id_)
