"""Figures of the dashboard's pages in a browser: how long after a click there is what can be used.

All times are from the start of the navigation, by the browser's clock, on loopback; each is of a
visit with a browser context without any cached file, after one that warms the server, which is a
process of its own.

A page is interactive when what it reads first is on it, the browser has painted, and a click on the
navigation leads to another page, which the page itself tries after each frame. It is complete when
it has drawn all that it begins on its own, as its charts. ``bare`` is a line of JSON, which needs
no code: what the browser takes alone. Pages are visited in turns.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from playwright.sync_api import Browser

from benchmarks.measure import Figures
from benchmarks.tasks import app
from hammerflow.cli.demo.day.seed import seed_day
from tests.web.browsing import chromium, dashboard

_ROUNDS, _QUEUES, _BAR = 10, 1_000, 300
_ROW, _BARE = "main table tbody tr", "/api/session"
_SIZE: Any = {"width": 1280, "height": 860}
#: Pages, and what is on them once there is what they read first.
_PAGES = {
    "/": "table[aria-label=Queues] tbody tr", "/jobs": _ROW, "/jobs?state=failed": _ROW,
    "/queues": _ROW, "/workflows": _ROW, _BARE: "pre",
}  # fmt: skip
#: Promises when a page was interactive: a click is answered at once, by another address.
_INTERACTIVE = """
const afterFrame = (then) => requestAnimationFrame(() => setTimeout(then));
window.told = new Promise((tell) => {
  const painted = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
  const attempt = () => {
    const link = document.querySelector("a.page[href$='/audit']");
    const isThere = document.querySelector(CONTENT) !== null && painted() !== undefined;
    const at = location.href;
    if (isThere) link?.click();
    if (isThere && (link === null || location.href !== at)) tell(performance.now());
    else afterFrame(attempt);
  };
  afterFrame(attempt);
});
"""
#: Promises when a page was drawn for the last time before it said that nothing more comes, which
#: takes it a tenth of a second without a change; an observer is told before the browser draws.
_COMPLETE = """
let drawnAt = 0;
window.told = new Promise((tell) => new MutationObserver((changes, observer) => {
  if (!changes.some((change) => change.attributeName === "aria-busy")) {
    requestAnimationFrame(() => setTimeout(() => { drawnAt = performance.now(); }));
  }
  if (document.querySelector("main[aria-busy=false]") === null) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => setTimeout(() => tell(drawnAt))));
}).observe(document, { subtree: true, childList: true, attributes: true, characterData: true }));
"""


def pages(url: str, n: int) -> Iterator[Figures]:
    """Visit pages of a day of n jobs, which is seeded if the database is empty."""
    if not app.store.jobs.list(limit=1):
        seed_day(app.store, jobs=n, queues=_QUEUES, seed=1)
    interactive: dict[str, list[float]] = {path: [] for path in _PAGES}
    complete: dict[str, list[float]] = {path: [] for path in _PAGES if path != _BARE}
    with _server() as address, chromium() as browser:
        for _ in range(_ROUNDS + 1):
            for path, times in interactive.items():
                script = _INTERACTIVE.replace("CONTENT", repr(_PAGES[path]))
                times.append(_told(browser, address, path, script))
            for path, times in complete.items():
                times.append(_told(browser, address, path, _COMPLETE))
    for path, times in interactive.items():
        whole: Any = complete.get(path, times)
        yield {
            "figure": f"page {path}", "median_ms": round(statistics.median(times[1:])),
            "best_ms": round(min(times[1:])), "first_ms": round(times[0]),
            "complete_ms": round(statistics.median(whole[1:])),
            "bar": f"median < {_BAR}",
        }  # fmt: skip


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """The address of the dashboard in another process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def _serve(client: Connection) -> None:
    with dashboard(app) as address:
        client.send(address)
        client.recv()


def _told(browser: Browser, address: str, path: str, script: str) -> float:
    """The time that a script in the page promises; nobody else runs there until then."""
    with browser.new_context(base_url=address, viewport=_SIZE) as context:
        page = context.new_page()
        page.add_init_script(script)
        page.goto(path, wait_until="commit")
        return float(page.evaluate("window.told"))


ALL = {"pages": pages}
