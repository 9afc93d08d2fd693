"""``hammerflow demo``: count the standard library with real workers, and check the counts."""

from __future__ import annotations

import contextlib
import platform
import sysconfig
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hammerflow.cli.demo.seed import command as seed
from hammerflow.cli.options import Checked, flag, number_option, path_option, shared
from hammerflow.cli.output import say, show_json
from hammerflow.cli.session import Session
from hammerflow.cli.web_server import web_server
from hammerflow.errors import HammerflowError
from hammerflow.settings import SETTINGS

if TYPE_CHECKING:
    from hammerflow.cli.demo.environment import DemoEnvironment
    from hammerflow.cli.demo.line_count import LineCount

__all__ = ["command", "compare"]

_FILES_PER_JOB = 6


@click.group("demo", invoke_without_command=True)
@click.option(
    "--redis", metavar="URL", type=Checked(SETTINGS.by_name["redis"].check),
    help="The doorbell, as redis://localhost:6379/0 [default: sockets of this host].",
)  # fmt: skip
@number_option("--children", 1, 64, default=2, help="Processes that run jobs.")
@path_option(
    "--folder",
    help="Count the Python files below this folder [default: the standard library].",
)  # fmt: skip
@flag("--web", help="Open the dashboard, and keep counting until Ctrl-C.")
@shared
def command(
    session: Session, redis: str | None, children: int, folder: str | None, web: bool
) -> None:
    """Count the standard library's code with real workers, and check the counts.

    A spawner walks the source files of this Python's standard library and spawns a job for each
    batch of files; a fan-in adds the counts up, and the sums are compared with those of one
    process. Everything happens in a temporary folder, or in tables of the demo's own in the
    database that --database names, and is removed at the end.

    \b
    Examples:
      hammerflow demo --web
      hammerflow demo --database postgresql://localhost/test --redis redis://localhost
      hammerflow --database sqlite:///day.db demo seed --jobs 100000
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    from hammerflow.cli.demo.environment import demo_environment

    if web:
        web_server("hammerflow demo --web")  # before anything is made
        if session.as_json:
            raise click.UsageError("--web shows a page: leave --json out, or --web")

    root = Path(folder or sysconfig.get_path("stdlib")).absolute()
    if not root.is_dir():
        raise click.UsageError(f"--folder: the folder {root} does not exist")
    with demo_environment(database=session.database, redis=redis, children=children) as demo:
        if web:
            _show_dashboard(demo)
        _run(demo, root, children, as_json=session.as_json)
        if web:
            _keep_counting(demo, root)


command.add_command(seed)


def _show_dashboard(demo: DemoEnvironment) -> None:
    from hammerflow.cli.demo.dashboard import open_in_browser, serve_dashboard

    link = serve_dashboard(demo)
    say(f"{'opened' if open_in_browser(link) else 'open'} {link}")


def _keep_counting(demo: DemoEnvironment, root: Path) -> None:
    """Give the dashboard something to show, until a signal asks to end."""
    from hammerflow.cli.demo.run import count_again

    say("the dashboard stays open, and the counting goes on: Ctrl-C ends both")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            count_again(demo, root, _FILES_PER_JOB)


def _run(demo: DemoEnvironment, root: Path, children: int, *, as_json: bool) -> None:
    from hammerflow.cli.demo.render import progress_view, show_line_count, show_measurements
    from hammerflow.cli.demo.run import count_by_jobs, count_directly, measure

    if not as_json:
        settings = demo.app.settings
        say(f"counting the source files in {root} (Python {platform.python_version()})")
        say(
            f"on {settings.url.redacted}, doorbell {settings.bell}, with a supervisor "
            f"(pid {demo.worker.pid}) and {children} children"
        )
        say("")
    with progress_view(is_quiet=as_json) as show:
        counted = count_by_jobs(demo, root, _FILES_PER_JOB, show)
    direct = count_directly(demo, root, _FILES_PER_JOB)
    compare(counted.lines, direct.lines)
    measured = measure(demo)
    if as_json:
        found = {"counted": asdict(counted), "measured": asdict(measured)}
        show_json({"ok": True, **found, "direct_seconds": direct.seconds})
        return
    say("")
    show_line_count(counted.lines)
    show_measurements(counted, direct, measured)


def compare(counted: LineCount, direct: LineCount) -> None:
    """Check that the jobs counted what one process counts; else name the packages that differ."""
    if counted == direct:
        return
    here, there = direct["packages"], counted["packages"]
    wrong = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    raise HammerflowError(
        f"the jobs' counts differ from those of one process in {', '.join(wrong) or 'imports'}: "
        "files changed meanwhile, or this is a bug worth reporting"
    )
