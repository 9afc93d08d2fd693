"""``hammerflow doctor``: check the database, its durability, the doorbell and the workers."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import click

from hammerflow.cli.checks import Check, diagnose
from hammerflow.cli.options import flag, shared
from hammerflow.cli.output import say, show_json
from hammerflow.cli.session import Session

__all__ = ["command"]


@click.command("doctor")
@flag("--probe", help="Also fail if no worker is alive, for monitoring.")
@shared
def command(session: Session, probe: bool) -> int:
    """Check the database, its durability, the doorbell and the workers.

    It changes nothing. The exit code is 1 if a check fails; with warnings alone, as that no worker
    is alive, it is 0 unless --probe is given.

    \b
    Example:
      hammerflow doctor --json | jq '.checks[] | select(.status != "ok")'
    """
    settings = session.settings
    checks = [
        Check("hammerflow", "ok", _versions()),
        *diagnose(settings, session.is_namespace_known),
    ]
    is_served = any(check.name == "workers" and check.status == "ok" for check in checks)
    if probe and not is_served:
        says = "no worker is alive, and --probe was given"
        checks.append(Check("probe", "fail", says, "start a worker"))
    is_ok = all(check.status != "fail" for check in checks)
    if session.as_json:
        found = [check._asdict() for check in checks]
        place = {"database": settings.url.redacted, "database_from": settings.database_source}
        show_json({"ok": is_ok, "is_served": is_served, **place, "checks": found})
        return int(not is_ok)
    for check in checks:
        _show(check)
    return int(not is_ok)


def _show(check: Check) -> None:
    say(f"  {check.name}: {check.says}", status=check.status.ljust(4))
    if check.advice:
        say(f"      -> {check.advice}")


def _versions() -> str:
    try:
        own = version("hammerflow")
    except PackageNotFoundError:
        own = "(not installed)"
    return f"{own}, Python {sys.version.split()[0]}"
