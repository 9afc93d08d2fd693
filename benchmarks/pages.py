"""Figures of the dashboard's pages in a browser: how long after a click there is what can be used.

The time is from the start of the navigation, by the browser's clock, until the page has drawn what
it reads first, on loopback; of ten visits, each of a browser context without any cached file, after
one that warms the server.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.measure import Figures
from benchmarks.tasks import app
from hammerflow.cli.demo.day.seed import seed_day
from tests.web.browsing import chromium, dashboard, settled, visit

_VISITS, _QUEUES, _BAR = 10, 1_000, 300
_PAGES = ("/", "/jobs", "/jobs?state=failed", "/queues", "/workflows")
#: Notes when the page was drawn for the last time before it said that nothing more comes, which
#: takes it a tenth of a second without a change; an observer is told before the browser draws.
_NOTE = """
let drawnAt = 0;
new MutationObserver((changes, observer) => {
  if (!changes.some((change) => change.attributeName === "aria-busy")) {
    requestAnimationFrame(() => setTimeout(() => { drawnAt = performance.now(); }));
  }
  if (document.querySelector("main[aria-busy=false]") === null) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => setTimeout(() => { window.usableAt = drawnAt; })));
}).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
"""


def pages(url: str, n: int) -> Iterator[Figures]:
    """Visit pages of a day of n jobs, which is seeded if the database is empty."""
    if not app.store.jobs.list(limit=1):
        seed_day(app.store, jobs=n, queues=_QUEUES, seed=1)
    with chromium() as browser, dashboard(app) as address:
        for path in _PAGES:
            times = []
            for _ in range(_VISITS + 1):
                with visit(browser, address) as page:
                    page.add_init_script(_NOTE)
                    page.goto(path)
                    settled(page)
                    page.wait_for_function("window.usableAt !== undefined")
                    times.append(float(page.evaluate("window.usableAt")))
            yield {
                "figure": f"page {path}", "median_ms": round(statistics.median(times[1:])),
                "best_ms": round(min(times[1:])), "first_ms": round(times[0]),
                "bar": f"median < {_BAR}",
            }  # fmt: skip


ALL = {"pages": pages}
