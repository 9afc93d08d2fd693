"""Lists of workflows and batches, newest first."""

from __future__ import annotations

from collections.abc import Callable

from hammerflow.admin.ids import page_mark
from hammerflow.admin.page import Page
from hammerflow.admin.workflows import workflow_page
from hammerflow.cli.paging import show_listing
from hammerflow.cli.session import Session
from hammerflow.cli.workflow_view import WORKFLOWS
from hammerflow.stores.pages.workflow_pages import WorkflowFilter
from hammerflow.stores.store import Store
from hammerflow.stores.workflows import WorkflowRow

__all__ = ["show_workflows"]


def show_workflows(
    session: Session, wanted: WorkflowFilter, find: Callable[[Store, str], bytes], *,
    noun: str, limit: int | None, before: str | None,
) -> None:  # fmt: skip
    """Print the workflows that a filter matches, page by page.

    Args:
        find: completes an id that ``before`` begins.
        noun: what is listed, in the plural.
    """
    with session.store() as store:

        def read(mark: bytes | None, most: int) -> Page[WorkflowRow]:
            return workflow_page(store, wanted, most, mark)

        mark = page_mark(find, store, before)
        if not session.as_json:
            mark = mark or wanted.newest
        show_listing(
            session, read, WORKFLOWS,
            noun=noun, limit=limit, before=mark, empty=f"no matching {noun}",
        )  # fmt: skip
