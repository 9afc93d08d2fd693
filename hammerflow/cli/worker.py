"""``hammerflow worker``: run jobs; list, show and stop workers, and see where a body is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from hammerflow.admin.ids import find_worker, get_job
from hammerflow.admin.workers import worker_json
from hammerflow.cli.asking import WAIT_HELP, ask_worker
from hammerflow.cli.confirming import confirm
from hammerflow.cli.options import argument, flag, job_argument, of_table, seconds_option, shared
from hammerflow.cli.session import Session
from hammerflow.cli.worker_pool import pool
from hammerflow.cli.worker_view import CHILDREN, WORKERS, worker_facts
from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import JobState
from hammerflow.process.early_signals import release_signals
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.text import counted, user_at_host
from hammerflow.worker import WorkerOptions, run
from hammerflow.worker.options import WORKER_OPTIONS

__all__ = ["command"]

_option = partial(of_table, WORKER_OPTIONS)
_worker = argument("worker", metavar="WORKER")


@click.group("worker", invoke_without_command=True)
@_option("-c", "--children", metavar="N[:MAX]")
@_option("--child-cooldown", metavar="SECONDS", default=30.0)
@_option("-Q", "--queues", metavar="NAME[:WEIGHT],...")
@_option("--queue-caps", metavar="NAME:CAP,...")
@_option("--async-slots", metavar="N", default=100)
@_option("--max-jobs-per-child", metavar="N")
@_option("--max-memory-per-child", metavar="MIB")
@_option("--grace", metavar="SECONDS", default=30.0)
@_option("--poll", metavar="SECONDS")
@_option("--priorities", metavar="strict|weighted")
@_option("--aging", metavar="SECONDS")
@_option("--import-timeout", metavar="SECONDS", default=120.0)
@_option("--wait-for-database", metavar="SECONDS")
@_option("--health", metavar="HOST:PORT")
@_option("--metrics", metavar="HOST:PORT")
@_option("--burst")
@_option("--until-empty")
@_option("--reload")
@_option("--log-format", metavar="text|json", default="text")
@_option("--log-level", metavar="debug|info|warning|error", default="info")
@_option("--configure-logging/--no-configure-logging", default=True)
@_option("--log-jobs")
@shared
def command(session: Session, log_format: str, **options: Any) -> int | None:
    """Run jobs: a supervisor and its children; list, show and stop workers.

    SIGTERM or Ctrl-C ends the worker once running jobs have ended (see --grace); a second one
    ends it at once. SIGHUP starts fresh children with fresh code, SIGUSR1 logs what the worker is
    doing. With --json the log is JSON.

    With a command, it lists, shows, resizes or stops workers that run elsewhere. WORKER is a
    worker's number, a unique prefix of it, or HOST:PID.

    \b
    Examples:
      hammerflow -A shop.tasks:app worker
      hammerflow -A shop.tasks:app worker -c 2:16
      hammerflow -A shop.tasks:app worker -c 8 -Q high:5,default:1 --max-jobs-per-child 1000
      hammerflow worker list
    """
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is not None:
        release_signals()  # the group has held them for a worker
        _refuse_flags(ctx, ctx.invoked_subcommand, options)
        return None
    if options["until_empty"] and not options["burst"]:
        raise click.UsageError("--until-empty goes with --burst: give both")
    log_format = "json" if session.as_json else log_format
    spec, database = session.spec, session.database or ""
    return run(WorkerOptions(app=spec, database=database, log_format=log_format, **options))


def _refuse_flags(ctx: click.Context, name: str, options: Mapping[str, Any]) -> None:
    given = [n for n in options if ctx.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    if given:
        flags = ", ".join(f"--{one.replace('_', '-')}" for one in given)
        raise click.UsageError(f"{flags} is for a worker that is started: leave {name!r} out")


command.add_command(pool)


@command.command("list")
@shared
def list_workers(session: Session) -> None:
    """List the workers: where each runs, since when, its queues, and how busy its children are.

    What the children do is of the worker's last heartbeat, whose age is shown.
    """
    with session.store() as store:
        workers = store.workers.list()
    session.show_list(workers, WORKERS, empty="there are no workers")


@command.command("show")
@_worker
@shared
def show(session: Session, worker: str) -> None:
    """Show a worker: its queues and tasks, and what each child runs, since when, in which memory.

    What the children do is of the worker's last heartbeat, whose age is shown.
    """
    with session.store() as store:
        found = find_worker(store, worker)
        registered = store.workers.tasks(found["id"])
    tasks = [name for name in registered if not name.startswith(BUILTIN)]
    children = [CHILDREN.row(child) for child in found["state"].get("children", ())]
    session.show_facts(
        {**worker_json(found), "tasks": tasks},
        {**worker_facts(found), "tasks": ", ".join(tasks)},
        (CHILDREN.heads, children),
    )


@command.command("stop")
@argument("workers", metavar="WORKER...", nargs=-1, required=True)
@flag("--yes", help="Do not ask.")
@shared
def stop(session: Session, workers: tuple[str, ...], yes: bool) -> None:
    """Let workers drain and end, on whatever hosts they run.

    The request is written to the database; workers notice it within 2 seconds, or at once with a
    doorbell. Running bodies get the --grace of their worker.
    """
    with session.backend() as backend:
        store = backend.store.workers
        found = [find_worker(backend.store, worker) for worker in workers]
        jobs = counted(sum(store.running(one["id"]) for one in found), "job")
        confirm(session, f"stop {counted(len(found), 'worker')}, which hold {jobs}", yes=yes)
        for one in found:
            store.ask(one["id"], "stop", by=user_at_host())
        backend.notifier.ring_control()
    session.tell(
        [{"id": one["id"], "host": one["host"], "pid": one["pid"]} for one in found],
        *(f"the worker on {one['host']} (pid {one['pid']}) was told to stop" for one in found),
    )


@command.command("stack")
@job_argument
@seconds_option("--timeout", default=10.0, help=WAIT_HELP)
@shared
def stack(session: Session, job_id: str, timeout: float) -> None:
    """Print the Python stack of a running body.

    For a coroutine it is the chain of awaits. For a body inside a C function it is the line that
    called the function. The body is not disturbed.
    """
    with session.backend() as backend:
        job = get_job(backend.store, job_id)
        if job.state is not JobState.RUNNING or job.worker_id is None:
            raise HammerflowError(f"job {job.id} is {job.state}: only a running job has a stack")
        found = ask_worker(backend, job.worker_id, "stack", timeout, job_id=job.id.bytes)
    lines = [found["says"], *filter(None, [found["stack"]])]
    session.tell({"id": job.id, **found}, "\n".join(lines))
