"""Listings: read page by page to their end or to the limit, and never cut without a word."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from hammerflow.admin.page import Page
from hammerflow.cli import output
from hammerflow.cli.options import SHOWN
from hammerflow.cli.session import Session

__all__ = ["MOST", "pages_of", "show_listing", "tell_cut"]

T = TypeVar("T")
#: Rows read at once, and the most rows of a list that has no pages.
_PAGE, MOST = 500, 10_000


def pages_of(
    read: Callable[[bytes | None, int], Page[T]], *, limit: int | None, before: bytes | None = None
) -> Iterator[Page[T]]:
    """Read a list up to the limit, or to its end.

    Args:
        read: gives the page before an id; the number is the most rows.
    """
    left = limit
    while True:
        page = read(before, _PAGE if left is None else min(_PAGE, left))
        yield page
        left = None if left is None else left - len(page.rows)
        if page.next is None or left == 0 or (page.is_tired and left is not None):
            return
        before = page.next


def show_listing(
    session: Session, read: Callable[[bytes | None, int], Page[T]], view: output.TableView[T],
    *, noun: str, limit: int | None, before: bytes | None, empty: str,
    csv: Sequence[str] = (),
) -> None:  # fmt: skip
    """Print a list, and where it goes on if the limit has cut it.

    Args:
        noun: what is listed, in the plural.
        limit: the most rows; None is 50 for people, and all of them for programs.
        csv: the fields of the JSON form to print as CSV instead.
    """
    if limit is None and not session.as_json and not csv:
        limit = SHOWN
    cut: Page[T] | None = None

    def rows() -> Iterator[T]:
        nonlocal cut
        for page in pages_of(read, limit=limit, before=before):
            cut = page
            yield from page.rows

    if csv:
        output.show_csv(csv, map(view.as_json, rows()))
    elif session.as_json:
        output.show_json_list((view.as_json(row) for row in rows()), is_lines=session.as_lines)
    else:
        session.show_list(list(rows()), view, empty=empty)
    if cut is not None and cut.next is not None:
        id_ = str(uuid.UUID(bytes=cut.next))
        reason = "this is how far one command searches" if cut.is_tired else f"the limit is {limit}"
        tell_cut(session, f"there may be more {noun}, as {reason}: add --before {id_}", next=id_)


def tell_cut(session: Session, text: str, **found: Any) -> None:
    """Say on standard error that a list is not the whole."""
    output.complain("note", text, as_json=session.as_json, **found)
