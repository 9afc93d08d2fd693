"""``hammerflow explain``: why a job does not run, and what would change that."""

from __future__ import annotations

import click

from hammerflow.admin.ids import get_job
from hammerflow.admin.jobs import explanation_json
from hammerflow.cli import options
from hammerflow.cli.session import Session
from hammerflow.stores.diagnosis.explain import explain, reasons

__all__ = ["command"]


@click.command("explain")
@options.job_argument
@options.shared
def command(session: Session, job_id: str) -> None:
    """Say in one sentence why a job does not run, and what would change that.

    The sentence names the first condition of a claim that is not met; where a job runs; or how it
    has ended. ID may be any unique prefix of the job's id. With --json, "then" lists what else
    would keep the job from running.

    \b
    Example:
      hammerflow explain 01a1fc00
    """
    with session.store() as store:
        job = get_job(store, job_id)
        first = explain(store, job, lease=session.settings.lease)
        others = reasons(store, job, lease=session.settings.lease)[1:]
    session.tell(
        {
            "id": job.id, "state": job.state, **explanation_json(first),
            "then": [explanation_json(each) for each in others],
        },
        first.sentence(job.id, job.state),
    )  # fmt: skip
