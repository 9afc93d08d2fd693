"""python -m tests.support.screenshots: take the pictures of docs/ from a seeded database."""

from __future__ import annotations

import base64
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page, expect

from hammerflow import Hammerflow
from hammerflow.cli.demo.day.seed import seed_day
from tests.web.browsing import chromium, dashboard, visit

_FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
_JOBS = 100_000
#: Of the WebP files: from 0 to 100; and the bytes that one may have.
_QUALITY, _MOST = 90, 150_000


#: Milliseconds that the library of charts, and the layout of a graph, take to draw.
_DRAWN = 1_500


class _Picture(NamedTuple):
    name: str
    scheme: str
    path: Callable[[Hammerflow], str]
    last: str  # what is drawn last
    width: int = 1280


def _workflow(app: Hammerflow) -> str:
    """The catalogue that is under way."""
    rows = app.store.workflows.list(limit=50)
    (found,) = (
        row for row in rows if row.name == "nightly-catalogue" and row.state.status == "running"
    )
    return f"/workflows/{found.id.hex()}"


_PICTURES = (
    _Picture("overview", "light", lambda _: "/", "canvas"),
    _Picture("workflow", "dark", _workflow, "svg", 1440),
)


def main() -> None:
    """Seed a database, and take all pictures of its dashboard."""
    _FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as opened:
        app = Hammerflow("shop", database=f"sqlite:///{place}/day.db")
        opened.callback(app.close)
        app.migrate()
        seed_day(app.store, jobs=_JOBS, queues=11, seed=1)
        browser, address = opened.enter_context(chromium()), opened.enter_context(dashboard(app))
        for picture in _PICTURES:
            data = _taken(browser, address, picture, picture.path(app))
            if len(data) > _MOST:
                raise SystemExit(f"{picture.name} has {len(data):,} bytes: more than {_MOST:,}")
            (_FOLDER / f"dashboard-{picture.name}.webp").write_bytes(data)


def _taken(browser: Browser, address: str, picture: _Picture, path: str) -> bytes:
    size = {"width": picture.width, "height": 900}
    with visit(browser, address, viewport=size, color_scheme=picture.scheme) as page:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(picture.last).first).to_be_visible()
        page.wait_for_timeout(_DRAWN)
        return _shot(page)


def _shot(page: Page) -> bytes:
    """What the page shows, as WebP, which only the protocol of the browser offers."""
    session = page.context.new_cdp_session(page)
    asked = {"format": "webp", "quality": _QUALITY}
    return base64.b64decode(session.send("Page.captureScreenshot", asked)["data"])


if __name__ == "__main__":
    main()
