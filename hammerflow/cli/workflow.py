"""``hammerflow workflow``: create, list, show, draw and steer workflows."""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from collections.abc import Iterator

import click

from hammerflow.app import as_key
from hammerflow.cli.dependency_view import around, around_json, around_rows
from hammerflow.cli.output import can_print, is_terminal, say, show_facts, show_json, show_table
from hammerflow.cli.session import Session, shared, who
from hammerflow.cli.workflow_view import (
    HEADS,
    member_rows,
    members_json,
    nodes_of,
    progress_words,
    stats_json,
    workflow_facts,
    workflow_json,
    workflow_row,
)
from hammerflow.enqueue.files import workflow_from_file, workflow_from_text
from hammerflow.errors import HammerflowError, WorkflowInvalid
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.results.workflow import WorkflowResult

__all__ = ["command"]

_ERRORS = 20  # that show tells of
_workflow_id = click.argument("workflow_id", metavar="ID")


@click.group("workflow")
def command() -> None:
    """Create, list, show, draw and steer workflows.

    Batches, chains, groups and chords are workflows, too.
    """


@command.command("list")
@click.option(
    "--status",
    type=click.Choice([status.value for status in WorkflowStatus]),
    help="Only workflows that stand there.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Only those older than this one: the next page.")
@shared
def list_workflows(session: Session, status: str | None, limit: int, before: str | None) -> None:
    """Workflows, newest first."""
    with session.store() as store:
        rows = store.workflows.list(
            status=None if status is None else WorkflowStatus(status),
            limit=limit,
            before=None if before is None else as_key(before),
        )
    if session.as_json:
        show_json([workflow_json(row) for row in rows])
    else:
        show_table(HEADS, [workflow_row(row) for row in rows], empty="no workflow is like that")


@command.command("show")
@_workflow_id
@click.option(
    "--limit", type=click.IntRange(0, 10_000), default=50, show_default=True,
    help="Jobs that are named, failed ones first; the rest is counted.",
)  # fmt: skip
@shared
def show(session: Session, workflow_id: str, limit: int) -> None:
    """All that is known about one workflow: its state, its jobs, their errors."""
    with _found(session, workflow_id) as result:
        row, stats = result.row(), result.stats()
        nodes = nodes_of(result.members(), limit)
        errors = dict(itertools.islice(result.errors().items(), _ERRORS))
    if session.as_json:
        found = {str(job_id): error for job_id, error in errors.items()}
        parts = {"stats": stats_json(stats), **members_json(nodes), "errors": found}
        show_json(workflow_json(row) | parts)
        return
    lines = [f"{job_id}: {error}" for job_id, error in errors.items()]
    show_facts(workflow_facts(row, stats) | {"errors": "\n".join(lines)})
    if nodes.named:
        say("")
        show_table(("name", "id", "task", "state", "note"), member_rows(nodes), empty="")


@command.command("create")
@click.option(
    "--file", "path", required=True, metavar="FILE",
    help="The workflow, in JSON or YAML; - for standard input.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["json", "yaml"]),
    help="Where the file's ending does not tell.",
)  # fmt: skip
@shared
def create(session: Session, path: str, form: str | None) -> None:
    """Check a workflow file whole and enqueue it in one transaction; prints its id.

    The file names tasks of the app (-A), in full (shop.resize) or by their last part (resize).
    """
    with contextlib.closing(session.app) as app:
        if path == "-":
            workflow = workflow_from_text(app, _given(), format=form, source="standard input")
        else:
            workflow = workflow_from_file(app, path, format=form)
        result = app.enqueue(workflow)
    if session.as_json:
        show_json({"id": result.id, "name": workflow.name, "nodes": len(workflow)})
    else:
        say(str(result.id))


@command.command("dependencies")
@click.argument("job_id", metavar="JOB")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
    help="Jobs that are named on each side; all are counted.",
)  # fmt: skip
@shared
def dependencies(session: Session, job_id: str, limit: int) -> None:
    """What a job waits for, and what waits for it."""
    with session.store() as store:
        found = around(store, as_key(job_id), limit)
    if session.as_json:
        show_json({"id": uuid.UUID(bytes=as_key(job_id)), **around_json(found)})
        return
    show_table(
        ("", "id", "name", "state"),
        around_rows(found),
        empty=f"job {job_id} waits for nothing, and nothing waits for it",
    )


@command.command("graph")
@_workflow_id
@click.option(
    "--format", "form", type=click.Choice(["text", "dot", "mermaid", "json"]), default="text",
    show_default=True,
)  # fmt: skip
@click.option(
    "--max-nodes", type=click.IntRange(1, 100_000), default=200, show_default=True,
    help="With more, jobs of one kind are drawn as one, with counts (json has them all).",
)  # fmt: skip
@click.option("--max-depth", type=click.IntRange(0), help="What is deeper is drawn by task.")
@shared
def graph(
    session: Session, workflow_id: str, form: str, max_nodes: int, max_depth: int | None
) -> None:
    """The graph of a workflow's jobs and their states."""
    with _found(session, workflow_id) as result:
        drawn = result.graph(
            "json" if session.as_json else form,
            max_nodes=max_nodes,
            max_depth=max_depth,
            ascii_only=not can_print("├└│─"),
        )
    say(drawn)


@command.command("status")
@_workflow_id
@click.option("--watch", is_flag=True, help="Go on until it has ended.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 86_400), default=2.0, show_default=True,
    metavar="SECONDS", help="Between two looks of --watch.",
)  # fmt: skip
@click.option("--count", type=click.IntRange(1), metavar="N", help="Watch for so many looks.")
@shared
def status(
    session: Session, workflow_id: str, watch: bool, interval: float, count: int | None
) -> int:
    """Where a workflow stands, in one line.

    With --watch the exit code is 1 where it ends as failed or cancelled; Ctrl-C ends the watch.
    Outside of a terminal a look at which nothing is new writes nothing.
    """
    looks: Iterator[int] = iter(range(1, (count if count and watch else 1) + 1))
    if watch and count is None:
        looks = itertools.count(1)
    with _found(session, workflow_id) as result, contextlib.suppress(KeyboardInterrupt):
        said = ""
        for number in looks:
            if number > 1:
                time.sleep(interval)
            now, said = _look(session, result, said, is_watched=watch)
            if now.is_final:
                return int(watch and now is not WorkflowStatus.COMPLETED)
    return 0


@command.command("cancel")
@_workflow_id
@click.option("--reason", default="cancelled by hand", show_default=True)
@shared
def cancel(session: Session, workflow_id: str, reason: str) -> None:
    """Cancel what has not started, and tell the workers of what runs."""
    with _found(session, workflow_id) as result:
        now = result.row().state.status
        if now.is_final:
            raise HammerflowError(
                f"workflow {result.id} is {now} already, so there is nothing to cancel"
            )
        result.cancel(reason)
        _tell(session, result)


@command.command("retry")
@_workflow_id
@click.option("--node", metavar="NAME", help="Only this one, and what was skipped because of it.")
@click.option(
    "--downstream", is_flag=True,
    help="What depends on it runs again, too, even if it has completed.",
)  # fmt: skip
@shared
def retry(session: Session, workflow_id: str, node: str | None, downstream: bool) -> None:
    """Run again what failed or was cancelled, and what was skipped because of it."""
    with _found(session, workflow_id) as result:
        result.retry(node, downstream=downstream, by=who())
        _tell(session, result)


@command.command("resume")
@_workflow_id
@shared
def resume(session: Session, workflow_id: str) -> None:
    """Go on after a pause, without what depends on the failures."""
    with _found(session, workflow_id) as result:
        result.resume(by=who())
        _tell(session, result)


@command.command("skip")
@_workflow_id
@click.argument("node")
@shared
def skip(session: Session, workflow_id: str, node: str) -> None:
    """Take a failed node as done, so that what depends on it runs."""
    with _found(session, workflow_id) as result:
        result.skip(node, by=who())
        _tell(session, result)


def _given() -> str:
    try:
        with click.open_file("-", encoding="utf-8") as file:
            return str(file.read())
    except UnicodeDecodeError as error:
        raise WorkflowInvalid(f"standard input is no UTF-8 text: {error.reason}") from error


@contextlib.contextmanager
def _found(session: Session, workflow_id: str) -> Iterator[WorkflowResult]:
    """A handle on a workflow that exists."""
    key = as_key(workflow_id)
    with session.backend() as backend:
        result = WorkflowResult(key, backend)
        result.row()
        yield result


def _look(
    session: Session, result: WorkflowResult, before: str, *, is_watched: bool
) -> tuple[WorkflowStatus, str]:
    """Say where it stands, unless that was said before; the status and what was said."""
    row, stats = result.row(), result.stats()
    now = row.state.status
    reason = f" ({row.reason})" if row.reason else ""
    said = f"{row.name}  {now}{reason}: {progress_words(stats)}"
    if said == before:
        return now, said
    if session.as_json:
        found = {"id": result.id, "status": now, "reason": row.reason, "stats": stats_json(stats)}
        show_json(found, is_line=is_watched)
        return now, said
    if is_watched and is_terminal():
        click.clear()
    say(said)
    return now, said


def _tell(session: Session, result: WorkflowResult) -> None:
    """Where it stands after a command."""
    row = result.row()
    if session.as_json:
        show_json({"id": result.id, "status": row.state.status})
    else:
        running = row.state.is_halted and not row.state.status.is_final
        said = "ending, what runs was told to stop" if running else row.state.status
        say(f"{result.id}  {said}")
