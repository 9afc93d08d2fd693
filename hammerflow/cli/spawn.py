"""``hammerflow spawn``: what a job has spawned, as a tree."""

from __future__ import annotations

import click

from hammerflow.app import as_key
from hammerflow.cli.output import can_print, say, show_json
from hammerflow.cli.session import Session, shared
from hammerflow.cli.spawn_tree import as_json, as_mermaid, as_text, read_tree

__all__ = ["command"]


@click.group("spawn")
def command() -> None:
    """Look at what a job has spawned."""


@command.command("tree")
@click.argument("job_id", metavar="ID")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "mermaid"]), default="text",
    show_default=True,
)  # fmt: skip
@click.option("--max-depth", type=click.IntRange(0), default=10, show_default=True)
@click.option(
    "--wide", type=click.IntRange(0, 1000), default=20, show_default=True,
    help="More children than this are folded into counts by task and state.",
)  # fmt: skip
@shared
def tree(session: Session, job_id: str, form: str, max_depth: int, wide: int) -> None:
    """A job and its descendants, wide levels folded into counts."""
    with session.store() as store:
        root = read_tree(store, as_key(job_id), max_depth=max_depth, wide=wide)
    if session.as_json or form == "json":
        show_json(as_json(root))
    elif form == "mermaid":
        say(as_mermaid(root))
    else:
        say(as_text(root, is_drawn=can_print("├└│─")))
