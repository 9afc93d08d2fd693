"""``hammerflow demo``: count the standard library with real workers, and check the counts."""

from __future__ import annotations

import platform
import sysconfig
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hammerflow.cli.options import shared
from hammerflow.cli.output import say, show_json
from hammerflow.cli.session import Session
from hammerflow.errors import HammerflowError

if TYPE_CHECKING:
    from hammerflow.cli.demo.environment import DemoEnvironment
    from hammerflow.cli.demo.line_count import LineCount

__all__ = ["command", "compare"]

_BATCH = 6


@click.command("demo")
@click.option("--redis", metavar="URL", help="A doorbell, as redis://localhost:6379/0.")
@click.option("--children", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="PATH",
    help="Count the Python files below this folder instead.",
)  # fmt: skip
@shared
def command(session: Session, redis: str | None, children: int, folder: Path | None) -> None:
    """Count the standard library's code with real workers, and check the counts.

    A spawner walks the source files of this Python's standard library and spawns a job for each
    batch of them; a fan-in adds the counts up. They must be those that one process gets without
    any job. Everything happens in a temporary folder, or in tables of the demo's own in the
    database that --database names, and is gone at the end.
    """
    from hammerflow.cli.demo.environment import set_up

    root = (folder or Path(sysconfig.get_path("stdlib"))).absolute()
    with set_up(database=session.database, redis=redis, children=children) as stage:
        _play(stage, root, children, as_json=session.as_json)


def _play(stage: DemoEnvironment, root: Path, children: int, *, as_json: bool) -> None:
    from hammerflow.cli.demo.render import progress_view, show_census, show_sums
    from hammerflow.cli.demo.run import count_by_jobs, count_directly, measure

    if not as_json:
        settings = stage.app.settings
        say(f"counting the source files in {root} (Python {platform.python_version()})")
        say(
            f"on {settings.url.redacted}, doorbell {settings.bell}, with a supervisor "
            f"(pid {stage.worker.pid}) and {children} children\n"
        )
    with progress_view(is_quiet=as_json) as show:
        counted = count_by_jobs(stage, root, _BATCH, show)
    direct = count_directly(root)
    compare(counted.census, direct.census)
    measured = measure(stage)
    if as_json:
        found = {"counted": asdict(counted), "measured": asdict(measured)}
        show_json({"ok": True, **found, "direct_seconds": direct.seconds})
        return
    say("")
    show_census(counted.census)
    show_sums(counted, direct, measured)


def compare(counted: LineCount, direct: LineCount) -> None:
    """See that the jobs counted what one process counts.

    Raises:
        HammerflowError: they did not; names the packages.
    """
    if counted == direct:
        return
    here, there = direct["packages"], counted["packages"]
    wrong = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    raise HammerflowError(
        f"the jobs' counts differ from those of one process in {', '.join(wrong) or 'imports'}: "
        "files changed meanwhile, or this is a bug worth reporting"
    )
