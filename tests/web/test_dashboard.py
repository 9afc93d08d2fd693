"""The dashboard: its files, and the ways that people take through it, in a real browser.

Pages know no database: the tests of the API run on all of them, these on SQLite. They share one
browser, one server and one shop; a test that changes something has a task or a queue of its own.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from hammerflow import Hammerflow, Workflow, constant
from hammerflow.admin.webhooks import put_webhook
from hammerflow.cli.demo.day.seed import seed_day
from hammerflow.events.filter import EventFilter
from hammerflow.ids import first_id_at, name_id, new_id
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.log_lines import KeptLine, LineBuffer
from hammerflow.jobs.outcome import Cancelled, Completed, Failure, Retrying
from hammerflow.results.waiting import announce
from hammerflow.stores.rows import JobLogRow
from hammerflow.testing import drain
from hammerflow.web import first_reads
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from hammerflow.web.login import BrowserLogin
from hammerflow.web.tokens import TokenCheck
from tests.support.vendored import FOLDER, RELEASES
from tests.support.waiting import until
from tests.web.browsing import chromium, complaints, dashboard, grave_faults, settled, visit
from tests.web.conftest import count_ended, fill, open_shop, served

_PAGES = (
    "/", "/jobs", "/failures", "/tasks", "/queues", "/queues/default", "/workers", "/workflows",
    "/spawns", "/schedules", "/limits", "/events", "/sinks", "/webhooks", "/alerts", "/archive",
    "/settings", "/audit", "/reference",
)  # fmt: skip


class Stage(NamedTuple):
    """What all tests share."""

    app: Hammerflow
    address: str
    browser: Browser


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    url = f"sqlite:///{tmp_path_factory.mktemp('shop')}/shop.db"
    with chromium() as browser, open_shop(url) as app, pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_reads, "_PATIENCE", 20.0)  # however busy the machine is
        fill(app)
        with dashboard(app) as address:
            yield Stage(app, address, browser)


@pytest.fixture(scope="module")
def day(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a shop with the figures of a day."""
    app = Hammerflow("shop", database=f"sqlite:///{tmp_path_factory.mktemp('day')}/day.db")
    app.migrate()
    seed_day(app.store, jobs=100, queues=11, seed=1)
    with dashboard(app) as address:
        yield address
    app.close()


@pytest.fixture(scope="module")
def window(stage: Stage) -> Iterator[Page]:
    with visit(stage.browser, stage.address) as page:
        yield page


@pytest.fixture
def page(window: Page) -> Iterator[Page]:
    """The window of an admin who sees all values, as if it was new."""
    yield window
    assert complaints(window) == []
    window.set_viewport_size({"width": 1280, "height": 860})
    window.emulate_media(color_scheme="light")
    window.evaluate("localStorage.clear()")
    window.goto("about:blank")


def test_vendored_files_are_those_of_their_releases() -> None:
    rows = json.loads((FOLDER / "vendor.json").read_text())
    assert [row["name"] for row in rows] == [release.name for release in RELEASES]
    for row in rows:
        assert hashlib.sha256((FOLDER / row["name"]).read_bytes()).hexdigest() == row["sha256"]
        assert (FOLDER / f"LICENSE.{row['package'].rpartition('/')[2]}").stat().st_size > 500
    known = {"vendor.json", *(release.name for release in RELEASES)}
    others = {file.name for file in FOLDER.iterdir()} - known
    assert all(name.startswith("LICENSE.") for name in others)


def test_files_are_packed_and_kept_and_nothing_else_is_served(stage: Stage) -> None:
    with httpx.Client(base_url=stage.address) as client:
        index = client.get("/jobs?state=failed")
        assert index.headers["cache-control"] == "no-store"
        script = re.search(r'src="(/static/[0-9a-f]{16}/app\.js)"', index.text)
        assert script is not None
        told = client.get(script[1], headers={"accept-encoding": "gzip"})
        assert told.headers["content-encoding"] == "gzip"
        assert "immutable" in told.headers["cache-control"]
        assert "script-src 'self'" in told.headers["content-security-policy"]
        plain = client.get(script[1], headers={"accept-encoding": "identity"})
        assert plain.text == told.text
        release = script[1].split("/")[2]
        for path in ("/static/0000000000000000/app.js", f"/static/{release}/nothing.js",
                     f"/static/{release}/../pages.py", f"/static/{release}/%2e%2e/pages.py",
                     f"/static/{release}/index.html/", "/static/app.js"):  # fmt: skip
            assert client.get(path).status_code == 404
        assert client.get("/no-such-page").status_code == 404
        assert client.get("/api/nothing").json()["status"] == 404


def test_the_first_page_is_light(stage: Stage) -> None:
    """60 KB and a dozen requests; the chart's library comes after what is to be read."""
    with visit(stage.browser, stage.address) as page:
        sizes: dict[str, int] = {}
        page.on("response", lambda answer: sizes.update({answer.url: len(
            gzip.compress(answer.body(), 9))}) if "/static/" in answer.url else None)  # fmt: skip
        page.goto("/jobs")
        settled(page)
        assert sum(sizes.values()) < 60_000, sizes
        assert len(sizes) <= 14, sizes


@pytest.mark.parametrize("path", _PAGES)
def test_a_page_is_drawn_and_can_be_used_by_everybody(page: Page, path: str) -> None:
    """Light and dark, on a desk and on a phone, for screen readers, without any error."""
    page.goto(path)
    settled(page)
    assert page.evaluate(_UNTOLD) == []
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.get_by_role("alert").all_inner_texts() == []
    assert grave_faults(page) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 740})
    assert grave_faults(page) == []
    assert page.evaluate(_WIDTH) <= 360
    heights = page.locator(".card > header h2").evaluate_all("all => all.map(h => h.clientHeight)")
    assert max(heights, default=0) <= 22  # one line each


_WIDTH = "document.documentElement.scrollWidth"
#: The reads of a page that it was not told of first: their addresses differ from those told.
_UNTOLD = """() => {
    const address = ([path, query]) =>
        [path, new URLSearchParams(query)].join("?").replace(/[?]$/, "");
    const told = JSON.parse(document.getElementById("first").textContent).map(address);
    const read = performance.getEntriesByType("resource").map((one) => one.name);
    return read.map((one) => one.slice(location.origin.length)).filter((one) =>
        /^.api/.test(one) && !/stream|openapi|shares/.test(one) && !told.includes(one));
}"""


def test_no_chart_widens_its_page(stage: Stage, day: str) -> None:
    """A chart has the width that its box had when it was drawn, until it is told of the new one."""
    with visit(stage.browser, day) as page:
        page.goto("/queues/mail")
        settled(page)
        page.set_viewport_size({"width": 360, "height": 740})
        found = page.evaluate("""() => [...document.querySelectorAll(".uplot")].map((chart) => {
            chart.style.width = "2000px";
            return document.documentElement.scrollWidth;
        })""")
        assert found == [360, 360]


def test_find_why_a_job_does_not_run(page: Page) -> None:
    page.goto("/")
    settled(page)
    page.keyboard.press("/")
    page.keyboard.type("state:scheduled task:shop.resize")
    page.keyboard.press("Enter")
    row = page.get_by_role("row").filter(has_text="shop.resize")
    expect(row).to_have_count(1)
    row.get_by_role("link").first.click()
    expect(page.locator(".why")).to_contain_text("It is due at")
    settled(page)
    assert grave_faults(page) == []


def test_filters_are_in_the_address(page: Page) -> None:
    page.goto("/jobs?state=failed&task=shop.charge")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("Add a filter").fill("queue:none")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No job fits these filters.")).to_be_visible()
    assert page.url.endswith("/jobs?state=failed&task=shop.charge&queue=none")
    page.get_by_label("Remove the filter queue").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.go_back()
    expect(page.get_by_text("No job fits these filters.")).to_be_visible()


def _fail(text: str) -> None:
    raise ValueError(text)


def _refuse(number: int) -> None:
    raise ValueError(number)


def test_retry_what_is_selected_with_the_keyboard_only(stage: Stage, page: Page) -> None:
    broken = stage.app.task(name="keys.broken", max_attempts=1)(_fail)
    broken.delay("it broke")
    drain(stage.app, queues=["default"])
    page.goto("/jobs?state=failed&task=keys.broken")
    expect(page.get_by_role("row")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("1 job selected")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_role("dialog")).to_contain_text("Retry 1 job?")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 job made ready again.")).to_be_visible()
    expect(page.get_by_text("No job fits these filters.")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", name="Queues")).to_be_visible()


def test_retry_a_group_of_failures_and_undo(stage: Stage) -> None:
    charge = stage.app.task(name="group.charge", max_attempts=1)(_fail)
    for card in range(3):
        charge.delay(f"no money on {card}")
    drain(stage.app)
    with visit(stage.browser, stage.address, Role.OPERATE) as page:
        page.goto("/failures?task=group.charge")
        row = page.get_by_role("row").filter(has_text="no money")
        expect(row.get_by_role("link", name="3", exact=True)).to_be_visible()
        row.get_by_role("button", name="Retry all").click()
        page.get_by_role("button", name="Retry 3 jobs").click()
        expect(page.get_by_text("3 jobs made ready again.")).to_be_visible()
        expect(page.get_by_text("Nothing has failed.")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_text("3 jobs back as they were.")).to_be_visible()
        expect(row).to_be_visible()


def test_cancel_all_jobs_of_a_filter(stage: Stage, page: Page) -> None:
    many = stage.app.task(name="bulk.many", queue="bulk")(_fail)
    for _ in range(120):
        many.delay("x")
    page.goto("/jobs?task=bulk.many")
    page.get_by_role("button", name="cancel", exact=True).click()
    page.get_by_role("button", name="Cancel 120 jobs").click()
    expect(page.get_by_text("120 jobs cancelled.")).to_be_visible()
    page.goto("/jobs?state=ready&task=bulk.many")
    expect(page.get_by_text("No job fits these filters.")).to_be_visible()


def test_edit_and_retry_keeps_every_digit(stage: Stage, page: Page) -> None:
    pay = stage.app.task(name="edit.pay", max_attempts=1)(_refuse)
    first = pay.delay(9007199254740993)
    drain(stage.app)
    page.goto(f"/jobs/{first.id}")
    expect(page.get_by_text("edit.pay(9007199254740993)")).to_be_visible()
    page.get_by_role("button", name="Edit and retry").click()
    args = page.get_by_label("Positional arguments")
    expect(args).to_have_value(re.compile("9007199254740993"))
    args.fill('[9007199254740995, "more"]')
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("takes 1 positional argument")).to_be_visible()
    args.fill("[9007199254740995")
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(args).to_have_accessible_description(re.compile("This is not JSON"))
    expect(args).to_be_focused()
    args.fill("[9007199254740995]")
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("is enqueued with these arguments")).to_be_visible()
    page.goto("/jobs?task=edit.pay")
    page.get_by_role("row").nth(1).get_by_role("link").first.click()
    expect(page.get_by_text("edit.pay(9007199254740995)")).to_be_visible()


def test_the_life_of_a_job_is_told_in_full_on_a_phone(stage: Stage, page: Page) -> None:
    """However many attempts it had: no text is cut, and nothing is wider than the page."""
    fail = stage.app.task(name="life.flaky", queue="life", max_attempts=40)(_fail)
    job, store, tasks = fail.delay("x"), stage.app.store, [name_id("life.flaky")]
    failure = Failure("failed", "builtins.ValueError", "x", "")
    for _ in range(20):
        (claimed,) = store.jobs.claim(9, queue="life", task_ids=tasks, limit=1, thorough=True)
        store.jobs.settle(9, [(claimed, Retrying(0, failure))])
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"/jobs/{job.id}")
    expect(page.get_by_text(re.compile("more attempts in"))).to_be_visible()
    settled(page)
    assert page.evaluate(_WIDTH) <= 360
    assert page.locator(".life small").evaluate_all(_CUT) == []
    assert page.locator(".lane small").evaluate_all(_OUTSIDE) == []


_CUT = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"
#: Texts that leave the lane that they are in.
_OUTSIDE = """all => all.filter(one => {
    const [text, lane] = [one, one.parentElement].map(each => each.getBoundingClientRect());
    return text.left < lane.left - 1 || text.right > lane.right + 1;
}).map(one => one.innerText)"""


def test_a_chart_without_values_says_so(stage: Stage, page: Page) -> None:
    stage.app.store.names.register(queues=["never"])
    page.goto("/queues/never")
    expect(page.get_by_text("No job ended in this time.")).to_be_visible()
    expect(page.get_by_text("No job started in this time.")).to_be_visible()
    settled(page)
    expect(page.locator(".uplot")).to_have_count(0)


def test_pause_a_queue_and_undo(stage: Stage, page: Page) -> None:
    stage.app.task(name="print.page", queue="printer")(_fail).delay("x")
    page.goto("/queues")
    row = page.get_by_role("row").filter(has_text="printer")
    row.get_by_role("button", name="Pause").click()
    page.get_by_label("Why").fill("the printer is on fire")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_text("by ann")).to_contain_text("the printer is on fire")
    page.get_by_role("button", name="Undo").click()
    expect(row.get_by_role("button", name="Pause")).to_be_visible()
    page.goto("/audit")
    expect(page.get_by_role("row").filter(has_text="printer")).to_have_count(2)


def test_a_paused_workflow_is_seen_and_resumed(stage: Stage, page: Page) -> None:
    broken = stage.app.task(name="flow.broken", max_attempts=1)(_fail)
    flow = Workflow("manual close", "manual")
    flow.add(broken.s("no"), name="charge")
    flow.add(stage.app.tasks["shop.resize"].s(2), name="resize", after=["charge"])
    stage.app.enqueue(flow)
    drain(stage.app)
    page.goto("/workflows")
    row = page.get_by_role("row").filter(has_text="manual close")
    expect(row.get_by_role("img", name="1 of 2 jobs ended")).to_be_visible()
    page.get_by_role("link", name="manual close").click()
    expect(page.get_by_role("link", name="charge, failed")).to_be_visible()
    settled(page)
    assert grave_faults(page) == []
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("link", name="resize, skipped")).to_be_visible()
    page.get_by_role("link", name="Jobs", exact=True).last.click()
    expect(page.get_by_role("row")).to_have_count(3)


def test_names_of_any_characters_lead_to_their_page(stage: Stage, page: Page) -> None:
    names = ("..", "=..", "mail/eu", "q?x=1#top")
    stage.app.store.names.register(queues=names)
    page.goto("/queues")
    for name in names:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        page.get_by_role("link", name=re.compile("^Queues")).first.click()


def test_an_endpoint_is_tested_and_enabled(stage: Stage) -> None:
    config, store = {"url": "http://127.0.0.1:9/hook"}, stage.app.store
    put_webhook(store, "ops/eu", config, EventFilter.of(), by="test", position=None)
    store.webhooks.disable("ops/eu", "upgrade", by="test")
    with visit(stage.browser, stage.address, Role.OPERATE) as page:
        page.goto("/webhooks")
        page.get_by_role("button", name="Test").click()
        expect(page.get_by_text("It was not taken")).to_be_visible()
        page.get_by_role("button", name="ops/eu").click()
        deliveries = page.get_by_role("table", name="Deliveries")
        expect(deliveries.get_by_role("row").filter(has_text="test")).to_have_count(1)
        assert grave_faults(page) == []
        page.get_by_role("button", name="Enable").click()
        expect(page.get_by_text("ops/eu is enabled.")).to_be_visible()
        expect(page.get_by_role("button", name="Enable")).to_have_count(0)


def test_what_code_declares_says_so_and_offers_no_form(stage: Stage, page: Page) -> None:
    store, every = stage.app.store, EventFilter.of(kinds=["*"])
    store.sinks.put("audit", "log", {}, every, app="shop")
    store.sinks.put("own", "webhook", {"url": "https://hooks.example/x"}, every, app="shop")
    store.alerts.put("target", "desk", "slack", {"url": "https://hooks.example/y"}, app="shop")
    store.alerts.put("rule", "behind", "queue_age", {"threshold": 9.0}, app="shop")
    try:
        for path, name, call in (
            ("/sinks", "audit", 'app.sink("audit", ...)'),
            ("/webhooks", "own", 'app.webhook("own", ...)'),
        ):
            page.goto(path)
            row = page.get_by_role("row").filter(has_text=name)
            expect(row).to_contain_text("code of shop")
            row.get_by_role("button", name=name).click()
            expect(page.get_by_text(f"to change it, change {call} there")).to_be_visible()
            expect(page.get_by_role("button", name="Edit")).to_have_count(0)
            page.get_by_role("button", name="Remove").click()
            expect(page.get_by_role("dialog")).to_contain_text("comes back when a worker starts")
            page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        page.goto("/alerts")
        for row in (page.get_by_role("row").filter(has_text=name) for name in ("desk", "behind")):
            expect(row).to_contain_text("code of shop")
            expect(row.get_by_role("button", name="Edit")).to_have_count(0)
        settled(page)
        assert grave_faults(page) == []
    finally:
        store.sinks.remove("audit")
        store.sinks.remove("own")
        store.alerts.remove("target", "desk")
        store.alerts.remove("rule", "behind")


def test_an_endpoint_is_added_changed_and_removed(stage: Stage, page: Page) -> None:
    page.goto("/webhooks")
    page.get_by_role("button", name="Add a webhook").click()
    form = page.get_by_role("dialog")
    add = form.get_by_role("button", name="Add", exact=True)
    add.click()
    name, url = form.get_by_label("Name", exact=True), form.get_by_label("URL")
    expect(name).to_have_accessible_description("Fill this in.")
    expect(name).to_be_focused()
    name.fill("billing")
    url.fill("ftp://example.com/hooks")
    form.get_by_label("Kinds of events").fill("job.failed, workflow.*")
    add.click()
    expect(url).to_have_accessible_description(re.compile("http"))
    url.fill("https://example.com/hooks")
    assert grave_faults(page) == []
    add.click()
    expect(page.get_by_text("Copy the secret of billing now")).to_be_visible()
    expect(page.get_by_text(re.compile("^whsec_"))).to_be_visible()
    page.get_by_role("button", name="done").click()
    page.get_by_role("button", name="billing").click()
    expect(page.get_by_text("job.failed, workflow.", exact=False).first).to_be_visible()
    page.get_by_role("button", name="Edit").click()
    expect(form.get_by_label("Kinds of events")).to_have_value(re.compile("job.failed"))
    form.get_by_label("Only these queues").fill("mail, merchant-*")
    form.get_by_text("More options").click()
    form.get_by_label("Only this priority or above").select_option("high")
    form.get_by_label("Only attempts of at least").fill("-1")
    headers = form.get_by_label("Only jobs with these headers")
    headers.fill("tenant=acme\nplan")
    form.get_by_label("Only with this metadata").fill("team=a=b")
    change = form.get_by_role("button", name="Change")
    change.click()
    expect(headers).to_have_accessible_description(re.compile('must be NAME=VALUE, not "plan"'))
    headers.fill("tenant=acme\nplan=gold")
    change.click()
    expect(form.get_by_label("Only attempts of at least")).to_be_focused()
    form.get_by_label("Only attempts of at least").fill("1.5")
    assert grave_faults(page) == []
    change.click()
    expect(page.get_by_text("billing is changed.")).to_be_visible()
    hook = stage.app.store.sinks.get("billing")
    assert hook.filters.queues == ("mail", "merchant-*") and len(hook.filters.kinds) > 1
    told = {**hook.filters.to_plain(), "kinds": [], "queues": []}
    assert told == {
        "kinds": [], "queues": [], "min_priority": 3, "min_duration": 1.5,
        "headers": {"tenant": "acme", "plan": "gold"}, "metadata": {"team": "a=b"},
    }  # fmt: skip
    expect(page.get_by_text("priority high or above").first).to_be_visible()
    page.get_by_role("button", name="Edit").click()  # what is set is shown
    expect(headers).to_have_value("plan=gold\ntenant=acme")
    form.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Remove").click()
    form.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("billing is removed.")).to_be_visible()
    expect(page.get_by_role("button", name="billing")).to_have_count(0)


def test_a_sink_is_added_rewound_and_removed(stage: Stage, page: Page) -> None:
    page.goto("/sinks")
    page.get_by_role("button", name="Add a sink").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("warehouse")
    form.get_by_label("Kind", exact=True).select_option("http")
    form.get_by_label("URL").fill("https://example.com/events")
    options = form.get_by_label("Other options")
    options.fill('{"speed": 3}')
    form.get_by_role("button", name="Add", exact=True).click()
    expect(options).to_have_accessible_description(re.compile("speed"))
    options.fill('{"timeout": 3}')
    form.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("warehouse is added.")).to_be_visible()
    assert stage.app.store.sinks.get("warehouse").config["timeout"] == 3
    stage.app.pause(task="shop.album")
    stage.app.resume(task="shop.album")
    page.get_by_role("button", name="warehouse").click()
    page.get_by_role("button", name="Rewind").click()
    form.get_by_role("button", name="Count them").click()
    expect(form.get_by_label("Behind position")).to_be_focused()
    head = stage.app.store.events.head()
    form.get_by_label("Behind position").fill(str(head + 1))
    form.get_by_role("button", name="Count them").click()
    expect(form.get_by_role("alert")).to_contain_text("The log ends at the position")
    form.get_by_label("Behind position").fill(str(head))
    form.get_by_role("button", name="Count them").click()
    form.get_by_role("button", name=re.compile("^(Leave|Set)")).click()
    expect(form).to_have_count(0)
    expect(page.get_by_text("warehouse goes on behind the position")).to_be_visible()
    assert stage.app.store.sinks.get("warehouse").position == head
    page.get_by_role("button", name="Remove").click()
    form.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("warehouse is removed.")).to_be_visible()


def test_rules_and_targets_of_alerts_are_changed(stage: Stage, page: Page) -> None:
    page.goto("/alerts")
    row = page.get_by_role("table", name="Rules").get_by_role("row").filter(has_text="queue_depth")
    row.get_by_role("button", name="Edit").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Warns at").fill("50000")
    form.get_by_role("button", name="Change").click()
    expect(form.get_by_label("Critical at")).to_be_focused()  # it is below that now
    form.get_by_label("Critical at").fill("90000")
    form.get_by_role("button", name="Change").click()
    expect(page.get_by_text("queue_depth is changed.")).to_be_visible()
    expect(row).to_contain_text("ann")
    row.get_by_role("button", name="Reset").click()
    form.get_by_role("button", name="Reset").click()
    expect(page.get_by_text("Rule queue_depth has its shipped values.")).to_be_visible()
    page.get_by_role("button", name="Add a target").click()
    form.get_by_label("Name", exact=True).fill("on-call")
    form.get_by_label("Kind", exact=True).select_option("email")
    form.get_by_label("Mail server").fill("127.0.0.1")
    form.get_by_label("From").fill("jobs@example.com")
    form.get_by_label("To", exact=True).fill("ann@example.com")
    form.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("on-call is told of alerts from now on.")).to_be_visible()
    targets = page.get_by_role("table", name="Targets")
    targets.get_by_role("button", name="Pause").click()
    expect(targets.get_by_role("button", name="Resume")).to_be_visible()
    row.get_by_role("button", name="Mute").click()
    form.get_by_label("For").select_option("until it is taken back")
    form.get_by_role("button", name="Mute").click()
    page.get_by_role("button", name="Unmute").click()
    expect(page.get_by_role("table", name="Mutes")).to_have_count(0)
    targets.get_by_role("button", name="Remove").click()
    form.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Nobody is told yet")).to_be_visible()


def test_a_schedule_of_a_workflow_is_created_changed_and_deleted(stage: Stage, page: Page) -> None:
    page.goto("/schedules")
    page.get_by_role("button", name="Create a schedule").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("catalogue")
    form.get_by_label("Each tick").select_option("enqueues a workflow")
    jobs = [{"name": "first", "task": "shop.resize", "args": [1]},
            {"name": "second", "task": "shop.nothing", "depends_on": ["first"]}]  # fmt: skip
    workflow, cron = form.get_by_label("Workflow, in the form"), form.get_by_label("Cron")
    workflow.fill(json.dumps({"name": "catalogue", "jobs": jobs}))
    cron.fill("61 2 * * *")
    expect(cron).to_have_accessible_description(re.compile("is not a cron expression"))
    cron.fill("0 2 * * *")
    form.get_by_label("Time zone").fill("Europe/Berlin")
    expect(cron).to_have_accessible_description(re.compile("Every day at 02:00. Next: "))
    form.get_by_role("button", name="Create").click()
    expect(workflow).to_have_accessible_description(re.compile("shop.nothing"))
    jobs[1]["task"] = "shop.resize"
    workflow.fill(json.dumps({"name": "catalogue", "jobs": [*jobs[:1], {**jobs[1], "args": [2]}]}))
    form.get_by_role("button", name="Create").click()
    expect(page.get_by_text("catalogue is due")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="catalogue")
    row.get_by_role("button", name="Edit").click()
    form.get_by_label("Due").select_option("at an interval")
    form.get_by_label("Every").fill("1h30m")
    form.get_by_role("button", name="Change").click()
    expect(row).to_contain_text("every 90 minutes")
    row.get_by_role("button", name="catalogue").click()
    page.get_by_role("button", name="Delete").click()
    form.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("catalogue is deleted.")).to_be_visible()


def test_run_a_schedule_now(stage: Stage, page: Page) -> None:
    app = stage.app
    when = app.schedules.definition("weekly", "0 2 * * 1", app.tasks["shop.resize"].s(55), {})
    app.store.schedules.create("weekly", when, by="test")
    page.goto("/schedules")
    row = page.get_by_role("row").filter(has_text="weekly")
    expect(row).to_contain_text("in ")
    row.get_by_role("button", name="Run now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now").click()
    expect(page.get_by_text("The run is enqueued.")).to_be_visible()
    page.goto("/jobs?argument=55")
    expect(page.get_by_role("row").filter(has_text="shop.resize")).to_have_count(1)


@pytest.mark.parametrize("role", [Role.READ, Role.OPERATE])
def test_what_a_role_may_not_do_is_not_offered(stage: Stage, role: Role) -> None:
    with visit(stage.browser, stage.address, role) as page:
        page.goto("/queues")
        row = page.get_by_role("row").filter(has_text="default")
        expect(row).to_be_visible()
        pauses = row.get_by_role("button", name="Pause")
        expect(pauses).to_have_count(0 if role is Role.READ else 1)
        page.goto("/alerts")
        expect(page.get_by_role("table", name="Rules")).to_be_visible()
        rules = page.get_by_role("button", name="Add a rule")
        expect(rules).to_have_count(0 if role is Role.READ else 1)
        expect(page.get_by_role("button", name="Add a target")).to_have_count(0)
        page.goto("/audit")
        expect(page.get_by_text("This needs the role admin.")).to_be_visible()
        page.goto("/jobs?state=failed&task=shop.charge")
        page.get_by_role("row").nth(1).get_by_role("link").first.click()
        expect(page.get_by_text("You may not see arguments and results.")).to_be_visible()
        retries = page.get_by_role("button", name="Retry", exact=True)
        expect(retries).to_have_count(0 if role is Role.READ else 1)


def test_the_link_lets_in_once_and_a_reader_is_refused(stage: Stage) -> None:
    """The session of one-time links, as of ``hammerflow web --read-only``."""
    login = BrowserLogin(Principal("bob", Role.READ, sees_values=True))
    server = create_application(
        stage.app, authorize=login.authorize, title="shop", more=login.routes()
    )
    with served(server) as address, visit(stage.browser, address) as page:
        page.goto("/jobs")
        expect(page.get_by_text("You are not logged in")).to_be_visible()
        page.goto(login.path())
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        page.goto("/settings")
        expect(page.get_by_text("You are bob: read")).to_be_visible()
        refused = page.evaluate("""async () => (await fetch("/api/queues/default/pause", {
            method: "POST", body: "{}",
            headers: {"content-type": "application/json", "x-hammerflow": "1"}})).status""")
        assert refused == 403


def test_a_browser_logs_in_with_a_token_and_out(stage: Stage) -> None:
    """As at ``hammerflow web --host 0.0.0.0``."""
    tokens = TokenCheck(stage.app.store.access)
    _, token = stage.app.store.access.create(
        "ci", Role.READ, sees_values=False, expires_in=None, by="test"
    )
    login = BrowserLogin(None, tokens)
    server = create_application(
        stage.app, authorize=login.authorize, title="shop", more=login.routes(), ways=login.ways
    )
    with served(server) as address, visit(stage.browser, address) as page:
        page.goto("/settings?link=refused")
        expect(page.get_by_role("navigation")).to_have_count(0)
        page.get_by_label("Token").fill("hf_wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("this token is unknown")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("You are token ci: read")).to_be_visible()
        assert page.url == f"{address}/settings"
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()


def test_markup_in_names_and_errors_is_text(stage: Stage, page: Page) -> None:
    nasty = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    fail = stage.app.task(name="shop.nasty", max_attempts=1)(_fail)
    job = fail.delay(nasty)
    fail.apply_async((nasty,), queue=nasty[:20], headers={"order": nasty})
    drain(stage.app)
    drain(stage.app, queues=[nasty[:20]])
    for path in ("/", "/jobs", "/failures", "/queues"):
        page.goto(path)
        settled(page)
        assert page.locator("img[src=x]").count() == 0
    page.goto(f"/jobs/{job.id}")
    expect(page.get_by_text(nasty).first).to_be_visible()


def test_it_works_below_any_prefix(stage: Stage) -> None:
    """All addresses are relative to where the app is mounted."""

    async def authorize(request: Request) -> Principal:
        return Principal("ann", Role.ADMIN, sees_values=True)

    inner = create_application(stage.app, authorize=authorize, title="shop")
    with (
        served(Starlette(routes=[Mount("/ops/jobs", inner)])) as address,
        visit(stage.browser, address) as page,
    ):
        page.goto("/ops/jobs/")
        page.get_by_role("link", name=re.compile("^Queues")).first.click()
        expect(page.get_by_role("row").nth(1)).to_be_visible()
        assert page.url == f"{address}/ops/jobs/queues"
        page.reload()
        expect(page.get_by_role("row").nth(1)).to_be_visible()


def test_a_page_tells_that_the_server_is_gone_and_goes_on(stage: Stage) -> None:
    with stage.browser.new_context(base_url=stage.address) as context:
        page = context.new_page()
        page.goto("/queues")
        expect(page.get_by_role("row").nth(1)).to_be_visible()
        context.set_offline(True)
        expect(page.get_by_role("alert").first).to_contain_text("does not answer")
        expect(page.get_by_role("row").nth(1)).to_be_visible()
        context.set_offline(False)
        expect(page.get_by_role("alert")).to_have_count(0)


def test_what_changes_is_shown_at_once_until_the_page_is_stopped(stage: Stage, page: Page) -> None:
    """The stream of hints tells of it: nothing is read while nothing changes."""
    task = stage.app.task(name="live.one", queue="live")(_fail)
    task.delay("first")
    page.goto("/jobs?task=live.one")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(2)
    expect(page.locator("html[data-stream=open]")).to_be_attached()
    task.delay("second")
    expect(rows).to_have_count(3, timeout=8_000)  # without a hint it would be read after 10 s
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="stopped")).to_be_visible()
    expect(page.locator("html[data-stream=closed]")).to_be_attached()
    task.delay("third")
    with page.expect_response("**/api/jobs**"):
        page.keyboard.press("p")
    expect(rows).to_have_count(4)


def test_without_a_stream_pages_are_read_again(stage: Stage) -> None:
    """As below a server of WSGI, which has none."""

    async def authorize(request: Request) -> Principal:
        return Principal("ann", Role.ADMIN, sees_values=True)

    task = stage.app.task(name="polled.one", queue="polled")(_fail)
    task.delay("first")
    server = create_application(stage.app, authorize=authorize, title="shop", streams=False)
    with served(server) as address, visit(stage.browser, address) as page:
        page.goto("/jobs?task=polled.one")
        rows = page.get_by_role("row")
        expect(rows).to_have_count(2)
        task.delay("second")
        expect(rows).to_have_count(3)


def test_late_queues_are_named_and_the_pages_are_counted_everywhere(
    stage: Stage, page: Page
) -> None:
    id_ = first_id_at(time.time() - 3700)[:6] + new_id()[6:]
    stage.app.store.jobs.insert([NewJob(id_, "late.one", "tardy", 2, b"M")])
    page.goto("/")
    problem = page.get_by_role("listitem").filter(has_text="tardy")
    expect(problem).to_contain_text("behind, tardy for longest: 1 h 1 min")
    problem.get_by_role("link", name="See queues").click()
    page.get_by_role("link", name="tardy").click()
    expect(page.get_by_role("heading", name="tardy")).to_be_visible()
    page.goto("/settings")
    pages = page.get_by_role("navigation", name="Pages")
    expect(pages.get_by_role("link", name="Failures")).to_contain_text("group")
    expect(pages.get_by_role("link", name="Workers")).to_contain_text("0")


def test_a_thousand_queues_are_found_sorted_and_drawn_in_parts(
    tmp_path: Path, stage: Stage
) -> None:
    with open_shop(f"sqlite:///{tmp_path}/queues.db") as app:
        jobs = [NewJob(new_id(), "shop.one", f"tenant-{n % 300}", 2, b"M") for n in range(310)]
        app.store.jobs.insert(jobs)
        with dashboard(app) as address, visit(stage.browser, address) as page:
            page.goto("/queues")
            rows = page.get_by_role("table", name="Queues").locator("tbody tr")
            expect(rows).to_have_count(100)
            expect(page.get_by_text("100 of 300")).to_be_visible()
            page.get_by_role("button", name="Show 100 more").click()
            expect(rows).to_have_count(200)
            page.get_by_role("columnheader", name="ready").get_by_role("button").click()
            expect(page).to_have_url(re.compile("sort=-ready"))
            expect(rows.first.get_by_role("cell").nth(1)).to_have_text("2")
            page.get_by_role("columnheader", name="queue").get_by_role("button").click()
            expect(rows.nth(2).get_by_role("cell").first).to_have_text("tenant-2")
            page.get_by_label("Find a queue").fill("-299")
            expect(rows).to_have_count(1)
            expect(page.get_by_role("link", name="with jobs 1")).to_be_visible()
            page.goto("/jobs")
            expect(page.get_by_role("link", name="ready 310")).to_be_visible()


def test_a_running_body_is_looked_at_and_killed(stage: Stage, page: Page) -> None:
    store, tasks = stage.app.store, [name_id("busy.train")]
    job = stage.app.task(name="busy.train", queue="busy")(_fail).delay("x")
    store.workers.register(9, host="gpu-1", pid=99, info={}, tasks=["busy.train"], queues=[])
    (claimed,) = store.jobs.claim(9, queue="busy", task_ids=tasks, limit=1, thorough=True)

    def answer() -> None:
        until("it is asked", lambda: store.workers.requests(9) != [])
        (request,) = store.workers.requests(9)
        told = {"says": "the body is here, in child 4", "stack": 'File "train.py", line 7'}
        store.workers.answer(9, request.id, json.dumps(told))

    worker = threading.Thread(target=answer)
    worker.start()
    page.goto(f"/jobs/{job.id}")
    expect(page.locator(".why")).to_contain_text("It has been running on gpu-1")
    page.get_by_role("button", name="show its stack").click()
    expect(page.get_by_text("the body is here, in child 4")).to_be_visible()
    expect(page.get_by_text('File "train.py", line 7')).to_be_visible()
    worker.join()
    page.get_by_role("button", name="Kill").click()
    page.get_by_label("Why").fill("wrong data")
    page.get_by_role("button", name="Kill the job").click()
    expect(page.get_by_text("The job was told to stop.")).to_be_visible()
    assert store.workers.cancels(9) == [(claimed.id, "wrong data")]
    store.jobs.settle(9, [(claimed, Cancelled("wrong data"))])
    store.workers.leave(9)
    expect(page.get_by_role("button", name="Retry", exact=True)).to_be_visible()


def test_the_attempts_of_a_job_are_a_timeline(stage: Stage, page: Page) -> None:
    fail = stage.app.task(name="tries.flaky", queue="tries", max_attempts=3)(_fail)
    job, store, tasks = fail.delay("x"), stage.app.store, [name_id("tries.flaky")]
    failure = Failure("failed", "builtins.ValueError", "x", "")
    for outcome in (Retrying(0, failure), Retrying(0, failure), Completed(None)):
        (claimed,) = store.jobs.claim(9, queue="tries", task_ids=tasks, limit=1, thorough=True)
        store.jobs.settle(9, [(claimed, outcome)])
    page.goto(f"/jobs/{job.id}")
    rows = page.get_by_role("table", name="Attempts").get_by_role("row")
    expect(rows).to_have_count(4)
    for place, told in enumerate(("failed after", "failed after", "completed after"), 1):
        expect(rows.nth(place)).to_contain_text(f"attempt {place}")
        expect(rows.nth(place).get_by_role("cell")).to_have_attribute(
            "aria-label", re.compile(f"^{told} [0-9.]+ m?s")
        )
    settled(page)
    assert grave_faults(page) == []
    expect(page.get_by_text("on worker 9")).to_have_count(2)


def test_an_ended_job_is_deleted_and_a_part_of_a_tree_only_with_it(
    stage: Stage, page: Page
) -> None:
    spawner = stage.app.tasks["shop.album"].apply_async((2,), queue="gone")
    drain(stage.app)
    page.goto(f"/jobs/{spawner.id}")
    page.get_by_role("button", name="Delete").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Delete the job").click()
    whole = form.get_by_label("Also the rest of its workflow or spawn tree")
    expect(whole).to_have_attribute("aria-invalid", "true")
    expect(form.get_by_text("only goes together")).to_be_visible()
    assert grave_faults(page) == []
    whole.check()
    form.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_text("3 jobs deleted.")).to_be_visible()
    expect(page.get_by_role("heading", level=1, name="Jobs")).to_be_visible()
    assert stage.app.store.jobs.get(spawner.id.bytes) is None


def test_a_running_body_is_heard_line_by_line_and_may_be_paused(stage: Stage, page: Page) -> None:
    store = stage.app.store
    job = stage.app.tasks["shop.resize"].apply_async((1,), queue="talks")
    tasks = [name_id("shop.resize")]
    (claimed,) = store.jobs.claim(9, queue="talks", task_ids=tasks, limit=1, thorough=True)
    buffer = LineBuffer(100)

    def says(*texts: str) -> JobLogRow:
        for text in texts:
            buffer.add(KeptLine.of(time.time(), logging.INFO, "shop", text))
        return JobLogRow.of(claimed.id, claimed.lease, claimed.attempt, buffer)

    def write(*texts: str) -> None:
        assert store.job_logs.write_running(9, [says(*texts)], patience=5)

    write(*(f"line {number}" for number in range(90)))
    page.goto(f"/jobs/{job.id}")
    log = page.get_by_role("log")
    expect(log.get_by_text("line 89")).to_be_attached()
    log.scroll_into_view_if_needed()
    expect(log.get_by_text("line 89")).to_be_in_viewport()
    write("more")
    expect(log.get_by_text("more")).to_be_in_viewport()  # the end is followed
    settled(page)
    assert grave_faults(page) == []
    log.evaluate("box => { box.scrollTop = 0; }")
    page.get_by_role("button", name="pause", exact=True).click()
    expect(page.get_by_text("paused")).to_be_visible()
    write("not seen")
    expect(page.get_by_text("Attempt 1: 92 lines")).to_be_visible()  # the rest of the page goes on
    expect(log).not_to_contain_text("not seen")
    page.get_by_role("button", name="follow again").click()
    expect(log.get_by_text("not seen")).to_have_count(1)
    expect(log.get_by_text("line 0")).to_be_in_viewport()  # who reads is left there
    assert log.locator("span").count() == 92
    store.jobs.settle(9, [(claimed, Completed(b"M\x01"))], logs=[says("the end")])
    expect(page.get_by_text("the end")).to_be_visible()
    expect(page.get_by_role("log")).to_have_count(0)


def test_what_an_attempt_has_logged_is_read_where_it_is_opened(
    stage: Stage, page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    @stage.app.task(name="logs.talks", max_attempts=2, backoff=constant(0), keep_logs="always")
    def talks(word: str) -> None:
        logging.getLogger("shop").info("<b>%s</b>", word)
        logging.getLogger("shop").warning("password='hunter2'\n  indented")
        raise ValueError(word)

    job = talks.delay("first")
    drain(stage.app)
    page.goto(f"/jobs/{job.id}")
    logs = page.locator("section").filter(has=page.get_by_role("heading", name="Logs"))
    expect(logs.get_by_text("Attempt 2: 2 lines")).to_be_visible()
    expect(logs.get_by_text("<b>first</b>")).to_have_count(1)  # that of the last attempt
    expect(logs.locator(".log-warning")).to_contain_text("indented")
    expect(logs).not_to_contain_text("hunter2")
    logs.get_by_text("Attempt 1: 2 lines").click()
    expect(logs.get_by_text("<b>first</b>")).to_have_count(2)
    settled(page)
    assert grave_faults(page) == []
    page.emulate_media(color_scheme="dark")
    assert grave_faults(page) == []
    with visit(stage.browser, stage.address, Role.OPERATE) as other:
        other.goto(f"/jobs/{job.id}")
        expect(other.get_by_text("so you may not see these lines")).to_be_visible()
        expect(other.get_by_text("<b>first</b>")).to_have_count(0)


def test_a_spawn_tree_is_opened_a_level_at_a_time(stage: Stage, page: Page) -> None:
    app = stage.app
    leaf = app.task(name="tree.leaf")(lambda n: None)

    @app.spawner(name="tree.branch")
    def branch(count: int) -> Iterator[Any]:
        for n in range(count):
            yield leaf.s(n)

    @app.spawner(name="tree.root")
    def root() -> Iterator[Any]:
        yield branch.s(60)
        yield branch.s(1)

    job = root.delay()
    drain(app)
    page.goto("/spawns")
    page.goto(f"/spawns/{job.id}")
    tree = page.get_by_role("tree", name="Spawn tree")
    expect(tree.get_by_role("treeitem")).to_have_count(3)
    expect(tree).to_contain_text("2 completed")
    tree.get_by_role("button", name="Open").first.click()
    expect(tree.get_by_role("link", name="tree.leaf")).to_have_count(50)
    tree.get_by_role("button", name="more of 60").click()
    expect(tree.get_by_role("link", name="tree.leaf")).to_have_count(60)
    settled(page)
    assert grave_faults(page) == []
    tree.get_by_role("button", name="Fold").nth(1).click()
    expect(tree.get_by_role("treeitem")).to_have_count(3)
    tree.get_by_role("link", name="tree.branch").first.click()
    expect(page.get_by_text("60 completed")).to_be_visible()
    page.get_by_role("link", name="60 completed").click()
    expect(page.get_by_text("It was itself spawned by")).to_be_visible()


def test_a_running_workflow_is_followed(stage: Stage, page: Page) -> None:
    """Its nodes change their colours, and nobody loads the page again."""
    app, store = stage.app, stage.app.store
    step = app.task(name="follow.step", queue="follow")(lambda n: None)
    flow, names = Workflow("followed"), [f"step {n}" for n in range(4)]
    for n, name in enumerate(names):
        flow.add(step.s(n), name=name, after=names[max(0, n - 1) : n])
    result = app.enqueue(flow)
    page.goto(f"/workflows/{result.id}")
    page.get_by_role("button", name="follow what runs").click()
    expect(page.get_by_role("button", name="following what runs")).to_be_visible()

    def shows(name: str, state: str) -> None:
        box = page.get_by_label(f"{name}, {state}")
        expect(box).to_be_visible()
        wanted = page.evaluate(_COLOUR, state)
        assert box.evaluate("box => getComputedStyle(box).color") == wanted

    shows("step 0", "ready")
    shows("step 1", "waiting")
    page.evaluate("window.isSame = true")
    for name, following in itertools.pairwise(names[:3]):
        (job,) = store.jobs.claim(9, queue="follow", task_ids=[name_id("follow.step")], limit=1)
        shows(name, "running")
        settlement = store.jobs.settle(9, [(job, Completed(None))])
        announce(app, settlement)
        shows(name, "completed")
        shows(following, "ready")
    drain(app, queues=["follow"])
    shows("step 3", "completed")
    expect(page.get_by_text("4 of 4 jobs ended")).to_be_visible()
    expect(page.get_by_text("completed after")).to_be_visible()
    assert page.evaluate("window.isSame") is True


#: The colour of a state as the browser resolves it.
_COLOUR = """state => {
    const probe = document.createElement("i");
    probe.style.color = `var(--${state})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
}"""


def test_charts_take_the_colours_of_the_theme_at_once(stage: Stage, day: str) -> None:
    with visit(stage.browser, day) as page:
        page.goto("/queues/mail")
        settled(page)
        legends = page.locator(".u-legend .u-marker")
        colours = "marks => marks.map(mark => mark.style.cssText).join()"
        before = legends.evaluate_all(colours)
        assert before
        for change in (
            lambda: page.get_by_title("Light, dark, or as the system says").click(),
            lambda: page.evaluate("delete document.documentElement.dataset.theme"),
            lambda: page.emulate_media(color_scheme="dark"),
        ):
            change()
            page.wait_for_function(
                f"before => ({colours})([...document.querySelectorAll('.u-legend .u-marker')])"
                " !== before", arg=before,
            )  # fmt: skip
            before = legends.evaluate_all(colours)
        expect(page.locator(".uplot")).to_have_count(2)


def test_a_job_is_moved_to_another_queue(stage: Stage, page: Page) -> None:
    job = stage.app.task(name="moved.one", queue="slow")(_fail).delay("x")
    page.goto(f"/jobs/{job.id}")
    page.get_by_role("button", name="Move").click()
    page.get_by_label("Queue").fill("quick")
    page.get_by_label("Priority").select_option("critical")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_text("The job is in the queue quick")).to_be_visible()
    expect(page.get_by_role("link", name="quick")).to_be_visible()
    assert (job.job().queue, job.job().priority) == ("quick", 4)


def test_the_timeline_of_a_workflow_shows_each_member(stage: Stage, page: Page) -> None:
    flow = Workflow("timed")
    flow.add(stage.app.tasks["shop.resize"].s(1), name="first")
    flow.add(stage.app.tasks["shop.resize"].s(2), name="second", after=["first"])
    result = stage.app.enqueue(flow)
    page.goto(f"/workflows/{result.id}?view=timeline")
    expect(page.get_by_role("row").filter(has_text="second")).to_contain_text("waiting")
    drain(stage.app)
    expect(page.get_by_role("cell").nth(1)).to_have_attribute("aria-label", re.compile("completed"))
    settled(page)
    assert grave_faults(page) == []
    page.get_by_role("rowheader", name="second").click()
    expect(page.get_by_text("shop.resize(2)")).to_be_visible()


def test_runs_of_workflows_are_drawn_over_time(stage: Stage) -> None:
    flow = Workflow("drawn")
    flow.add(stage.app.tasks["shop.resize"].s(1), name="only")
    stage.app.enqueue(flow)
    drain(stage.app)
    count_ended(stage.app)
    with visit(stage.browser, stage.address) as page:
        page.clock.set_fixed_time(datetime.now(UTC) + timedelta(minutes=2))  # that one is over
        page.goto("/workflows")
        page.get_by_role("button", name="drawn", exact=True).click()
        expect(page.get_by_role("heading", name="Runs that ended: drawn")).to_be_visible()
        page.get_by_role("link", name="1 hour").click()
        settled(page)
        expect(page.get_by_role("img", name="Ended runs over time")).to_be_visible()
        expect(page.locator(".uplot")).to_have_count(2)
        assert grave_faults(page) == []
        page.get_by_role("button", name="of all").click()
        expect(page.get_by_role("heading", name="Runs that ended", exact=True)).to_be_visible()


def test_a_list_is_saved_with_its_filters_and_without_formulas(stage: Stage, page: Page) -> None:
    fail = stage.app.task(name="csv.fail", max_attempts=1)(_fail)
    for n in range(60):
        fail.delay(f'=cmd|"{n}", broken')
    drain(stage.app)
    page.goto("/jobs?task=csv.fail&state=failed")
    expect(page.get_by_role("row")).to_have_count(51)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Export CSV").click()
    assert saving.value.suggested_filename == "jobs.csv"
    rows = [*csv.DictReader(saving.value.path().read_text().splitlines())]
    assert len(rows) == 60
    assert {row["task"] for row in rows} == {"csv.fail"}
    assert json.loads(rows[0]["error"])["message"].startswith("=cmd|")
    page.goto("/failures?task=csv.fail")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Export CSV").click()
    (group,) = csv.DictReader(saving.value.path().read_text().splitlines())
    assert group["message"].startswith("'=cmd|")


@pytest.mark.parametrize(
    ("path", "column", "values"),
    [
        ("/queues", "name", {"default"}), ("/tasks", "name", {"shop.album", "shop.resize"}),
        ("/schedules?task=saved.task", "name", {f"saved {n:03}" for n in range(120)}),
        ("/events?kinds=job.cancelled", "kind", {"job.cancelled"}),
    ],
)  # fmt: skip
def test_each_list_is_saved(
    stage: Stage, page: Page, path: str, column: str, values: set[str]
) -> None:
    app, name = stage.app, path.strip("/").partition("?")[0]
    if name == "schedules":
        task = app.task(name="saved.task")(_fail)
        for n in range(120):
            when = app.schedules.definition(f"saved {n:03}", "@daily", task.s("x"), {})
            app.store.schedules.create(f"saved {n:03}", when, by="test")
    elif name == "events":
        app.store.sinks.put("saved", "none", {}, EventFilter.of(kinds=["job.cancelled"]), by="test")
        app.task(name="saved.cancelled")(_fail).apply_async(("x",), countdown=99).cancel()
    page.goto(path)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Export CSV").click()
    assert saving.value.suggested_filename == f"{name}.csv"
    rows = [*csv.DictReader(saving.value.path().read_text().splitlines())]
    assert values <= {row[column] for row in rows} and len(rows) >= len(values)


def test_events_are_shown_as_they_are_logged(stage: Stage, page: Page) -> None:
    """By their stream: the page is read once, and misses none."""
    wanted = EventFilter.of(kinds=["queue.*"])
    stage.app.store.sinks.put("watch", "none", {}, wanted, by="test")
    page.goto("/events?kinds=queue.*")
    expect(page.get_by_text("The last position is")).to_be_visible()
    settled(page)
    reads: list[str] = []
    page.on("request", lambda request: reads.append(urlsplit(request.url).path))
    for _ in range(3):
        stage.app.pause(queue="default")
        stage.app.resume(queue="default")
    expect(page.get_by_role("row").filter(has_text="queue.")).to_have_count(6)
    assert "/api/events" not in reads
