"""The command line: the list of commands; a command's module is imported when it is called.

To add a command, write ``hammerflow/cli/<name>.py`` with a click command or group ``command``, its
subcommands decorated with :func:`hammerflow.cli.options.shared`, and add its name to COMMANDS.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from hammerflow.cli.exit import exit_code_of, show_warnings
from hammerflow.cli.options import shared
from hammerflow.cli.session import Session
from hammerflow.process.early_signals import release_signals
from hammerflow.process.streams import open_missing_streams

__all__ = ["COMMANDS", "main"]

#: Name and help of each command; ``hammerflow.cli.<name>`` holds it as ``command``.
COMMANDS = {
    "worker": "Run jobs: a supervisor and its children; list, show and stop workers.",
    "migrate": "Bring the database's tables up to date.",
    "demo": "Count the standard library's code with real workers, and check the counts.",
    "doctor": "Check the database, its durability, the doorbell and the workers.",
    "health": "Say whether a worker is ready to run jobs; the exit code is 1 if not.",
    "metrics": "Print metrics once; rules for Prometheus and a dashboard for Grafana.",
    "explain": "Say in one sentence why a job does not run, and what would change that.",
    "config": "Show the settings, where each comes from, and set them in hammerflow.toml.",
    "job": "List, show, enqueue, retry and cancel jobs.",
    "monitor": "Watch queues, rates, latencies, workers and schedules until Ctrl-C or q.",
    "queue": "List, pause, resume, watch and clear queues.",
    "task": "List, pause and resume tasks.",
    "app": "Pause and resume the whole app; list every pause.",
    "limit": "List, set and remove rate and concurrency limits.",
    "archive": "Say how long ended jobs are kept; list, restore and purge archived jobs.",
    "backup": "Write, list and restore backups of the app's tables.",
    "maintenance": "Check and mend the tables, and keep them in shape.",
    "schedule": "List, create, change, pause and run schedules, and say when one is due.",
    "event": "List the events of the log, and follow them.",
    "sink": "List, add, pause, rewind, test and remove sinks, which get the events.",
    "webhook": "Add, list, test, replay and remove webhooks: each event as a signed request.",
    "relay": "Deliver events to the sinks until SIGTERM or Ctrl-C.",
    "alert": "List alerts, set their rules, mute them, and say who is told.",
    "web": "Serve the dashboard and the REST API until Ctrl-C.",
    "spawn": "List, count and draw what jobs have spawned.",
    "batch": "Create, list, show, retry, cancel and export batches.",
    "workflow": "Create, list, show, draw and control workflows.",
}
#: Further names of commands.
ALIASES = {"cron": "schedule"}


class Commands(click.Group):
    """A group that imports a command's module only to run the command or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name != "worker":  # that one handles the signals first
            release_signals()
        name = ALIASES.get(name, name)
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"hammerflow.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog="Settings come from the app, from HAMMERFLOW_... variables or from hammerflow.toml. "
    'Completion: eval "$(_HAMMERFLOW_COMPLETE=bash_source hammerflow)" (or zsh_source, '
    "fish_source).",
)
@click.version_option(package_name="hammerflow", message="hammerflow %(version)s")
@shared
def hammerflow(session: Session) -> None:
    """Run and inspect durable background jobs on a SQL database."""


def main(args: Sequence[str] | None = None) -> None:
    """Run one command (that of the process by default) and end the process with its exit code."""
    open_missing_streams()
    given = list(sys.argv[1:] if args is None else args)
    show_warnings(given)
    sys.exit(exit_code_of(hammerflow, given))
