"""``hammerflow job export``: everything about the jobs that filters match, as JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from hammerflow.admin.job_filter import chosen_jobs, filter_page
from hammerflow.admin.jobs import decoded_values, job_lines, line_json
from hammerflow.admin.page import Page
from hammerflow.cli import options
from hammerflow.cli.exporting import export_options, write_export
from hammerflow.cli.job_filter import job_options
from hammerflow.cli.known_names import check_queue
from hammerflow.cli.paging import pages_of
from hammerflow.cli.session import Session
from hammerflow.jobs.job import Job
from hammerflow.stores.store import Store

__all__ = ["CSV_COLUMNS", "export"]

#: Fields of the list's JSON form that it prints as CSV.
CSV_COLUMNS = (
    "id", "state", "task", "queue", "priority", "attempt", "created_at", "run_at", "started_at",
    "finished_at", "seconds", "parent_id", "root_id", "workflow_id", "unique_key", "reason",
    "error", "headers", "options",
)  # fmt: skip
_VALUES = ("args", "kwargs", "result")
_READ = 50  # jobs whose arguments and results are in memory at once


@click.command("export")
@job_options
@export_options
@options.shared
def export(session: Session, form: str, path: str | None, **given: Any) -> None:
    """Write everything about jobs, newest first, as JSON lines or CSV.

    Arguments and results use the codec's tags for types that JSON lacks; numbers are exact. Jobs
    that are enqueued meanwhile are left out.

    \b
    Examples:
      hammerflow job export --state failed --since 2026-11-01 --output failed.jsonl
      hammerflow job export --task shop.resize --format csv > resize.csv
    """
    wanted, chosen = chosen_jobs(given)
    with session.store() as store:
        if chosen["queue"] is not None:
            check_queue(session, store, chosen["queue"])

        def read(mark: bytes | None, most: int) -> Page[Job]:
            return filter_page(store, session.codec, wanted, chosen, most, mark)

        pages = pages_of(read, limit=None)
        rows = (row for page in pages for row in _rows(session, store, page))
        write_export(session, rows, (*CSV_COLUMNS, *_VALUES), form=form, path=path)


def _rows(session: Session, store: Store, page: Page[Job]) -> Iterator[dict[str, Any]]:
    for at in range(0, len(page.rows), _READ):
        jobs = page.rows[at : at + _READ]
        ids = [job.id.bytes for job in jobs]
        calls = store.dead_letters.args_of(ids)
        results = dict(zip(ids, store.workflows.results_of(ids), strict=True))
        for line in job_lines(store, jobs, session.max_attempts):
            key = line.job.id.bytes
            values = decoded_values(session.codec, calls.get(key), results.get(key))
            yield {**line_json(line), **values.as_json}
