"""The dashboard: its files, and the ways that people take through it, in a real browser."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

from hammerflow import Hammerflow, Workflow
from hammerflow.admin.webhooks import put_webhook
from hammerflow.events.filter import EventFilter
from hammerflow.testing import drain
from hammerflow.web.access import Role
from tests.support.vendored import FOLDER, RELEASES
from tests.web.browsing import chromium, dashboard, grave_faults, visit

_PAGES = (
    "/", "/jobs", "/failures", "/tasks", "/queues", "/queues/default", "/workers", "/workflows",
    "/spawns", "/schedules", "/limits", "/events", "/sinks", "/webhooks", "/alerts", "/archive",
    "/settings", "/audit", "/reference",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def migrated_url(migrated_database: Callable[[str], str]) -> str:
    """Pages know no database: the tests of the API run on all of them."""
    return migrated_database("sqlite")


def test_vendored_files_are_those_of_their_releases() -> None:
    rows = json.loads((FOLDER / "vendor.json").read_text())
    assert [row["name"] for row in rows] == [release.name for release in RELEASES]
    for row in rows:
        assert hashlib.sha256((FOLDER / row["name"]).read_bytes()).hexdigest() == row["sha256"]
        assert (FOLDER / f"LICENSE.{row['package'].rpartition('/')[2]}").stat().st_size > 500
    known = {"vendor.json", *(release.name for release in RELEASES)}
    others = {file.name for file in FOLDER.iterdir()} - known
    assert all(name.startswith("LICENSE.") for name in others)


def test_files_are_packed_and_kept_and_nothing_else_is_served(busy: Hammerflow) -> None:
    with dashboard(busy) as address, httpx.Client(base_url=address) as client:
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


def test_the_first_page_is_light(browser: Browser, busy: Hammerflow) -> None:
    """60 KB and a dozen requests; the chart's library comes after what is to be read."""
    with dashboard(busy) as address, visit(browser, address) as page:
        sizes: dict[str, int] = {}
        page.on("response", lambda answer: sizes.update({answer.url: len(
            gzip.compress(answer.body(), 9))}) if "/static/" in answer.url else None)  # fmt: skip
        page.goto("/jobs")
        expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert sum(sizes.values()) < 60_000, sizes
        assert len(sizes) <= 14, sizes


@pytest.mark.parametrize("path", _PAGES)
def test_a_page_is_drawn_and_can_be_used_by_everybody(
    browser: Browser, busy: Hammerflow, path: str
) -> None:
    """Light and dark, on a desk and on a phone, for screen readers, without any error."""
    with dashboard(busy) as address, visit(browser, address) as page:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.get_by_role("alert").all_inner_texts() == []
        assert grave_faults(page) == []
        page.emulate_media(color_scheme="dark")
        assert grave_faults(page) == []
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_find_why_a_job_does_not_run(browser: Browser, busy: Hammerflow) -> None:
    with dashboard(busy) as address, visit(browser, address) as page:
        page.goto("/")
        page.keyboard.press("/")
        page.keyboard.type("state:scheduled task:shop.resize")
        page.keyboard.press("Enter")
        row = page.get_by_role("row").filter(has_text="shop.resize")
        expect(row).to_have_count(1)
        row.get_by_role("link").first.click()
        expect(page.locator(".why")).to_contain_text("it is due at")
        assert grave_faults(page) == []


def test_filters_are_in_the_address(browser: Browser, busy: Hammerflow) -> None:
    with dashboard(busy) as address, visit(browser, address) as page:
        page.goto("/jobs?state=failed")
        expect(page.get_by_role("row")).to_have_count(2)
        page.get_by_label("Add a filter").fill("task:shop.resize")
        page.keyboard.press("Enter")
        expect(page.get_by_text("No job fits these filters.")).to_be_visible()
        assert page.url.endswith("/jobs?state=failed&task=shop.resize")
        page.get_by_label("Remove the filter task").click()
        expect(page.get_by_role("row")).to_have_count(2)
        page.go_back()
        expect(page.get_by_text("No job fits these filters.")).to_be_visible()


def test_retry_what_is_selected_with_the_keyboard_only(browser: Browser, busy: Hammerflow) -> None:
    with dashboard(busy) as address, visit(browser, address) as page:
        page.goto("/jobs?state=failed")
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


def test_retry_a_group_of_failures_and_undo(browser: Browser, shop: Hammerflow) -> None:
    for card in range(3):
        shop.tasks["shop.charge"].delay("4" * card)
    drain(shop)
    with dashboard(shop, Role.OPERATE) as address, visit(browser, address) as page:
        page.goto("/failures")
        row = page.get_by_role("row").filter(has_text="card declined")
        expect(row.get_by_role("link", name="3", exact=True)).to_be_visible()
        row.get_by_role("button", name="Retry all").click()
        page.get_by_role("button", name="Retry 3 jobs").click()
        expect(page.get_by_text("3 jobs made ready again.")).to_be_visible()
        expect(page.get_by_text("Nothing has failed.")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_text("3 jobs back as they were.")).to_be_visible()
        expect(row).to_be_visible()


def test_cancel_all_jobs_of_a_filter(browser: Browser, shop: Hammerflow) -> None:
    for image in range(120):
        shop.tasks["shop.resize"].delay(image)
    shop.tasks["shop.album"].delay(1)
    with dashboard(shop) as address, visit(browser, address) as page:
        page.goto("/jobs?task=shop.resize")
        page.get_by_role("button", name="cancel", exact=True).click()
        page.get_by_role("button", name="Cancel 120 jobs").click()
        expect(page.get_by_text("120 jobs cancelled.")).to_be_visible()
        page.goto("/jobs?state=ready")
        expect(page.get_by_role("row")).to_have_count(2)


def test_edit_and_retry_keeps_every_digit(browser: Browser, shop: Hammerflow) -> None:
    shop.tasks["shop.charge"].delay(9007199254740993)
    drain(shop)
    with dashboard(shop) as address, visit(browser, address) as page:
        page.goto("/jobs")
        page.get_by_role("row").nth(1).get_by_role("link").first.click()
        expect(page.get_by_text("shop.charge(9007199254740993)")).to_be_visible()
        page.get_by_role("button", name="Edit and retry").click()
        args = page.get_by_label("Positional arguments")
        expect(args).to_have_value(re.compile("9007199254740993"))
        args.fill('[9007199254740995, "more"]')
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        expect(page.get_by_text("takes 1 positional argument")).to_be_visible()
        page.get_by_role("button", name="Edit and retry").click()
        page.get_by_label("Positional arguments").fill("[9007199254740995]")
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        expect(page.get_by_text("is enqueued with these arguments")).to_be_visible()
        page.goto("/jobs")
        page.get_by_role("row").nth(1).get_by_role("link").first.click()
        expect(page.get_by_text("shop.charge(9007199254740995)")).to_be_visible()


def test_pause_a_queue_and_undo(browser: Browser, busy: Hammerflow) -> None:
    with dashboard(busy) as address, visit(browser, address) as page:
        page.goto("/queues")
        page.get_by_role("button", name="Pause").click()
        page.get_by_label("Why").fill("the printer is on fire")
        page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        expect(page.get_by_text("by ann")).to_contain_text("the printer is on fire")
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.goto("/audit")
        expect(page.get_by_role("row")).to_have_count(3)


def test_an_endpoint_is_tested_and_enabled(browser: Browser, shop: Hammerflow) -> None:
    config = {"url": "http://127.0.0.1:9/hook"}
    put_webhook(shop.store, "ops", config, EventFilter.of(), by="test", position=None)
    shop.store.webhooks.disable("ops", "upgrade", by="test")
    with dashboard(shop, Role.OPERATE) as address, visit(browser, address) as page:
        page.goto("/webhooks")
        page.get_by_role("button", name="Test").click()
        expect(page.get_by_text("It was not taken")).to_be_visible()
        page.get_by_role("button", name="ops").click()
        deliveries = page.get_by_role("table", name="Deliveries")
        expect(deliveries.get_by_role("row").filter(has_text="test")).to_have_count(1)
        assert grave_faults(page) == []
        page.get_by_role("button", name="Enable").click()
        expect(page.get_by_text("ops is enabled.")).to_be_visible()
        expect(page.get_by_role("button", name="Enable")).to_have_count(0)


def test_a_paused_workflow_is_seen_and_resumed(browser: Browser, shop: Hammerflow) -> None:
    flow = Workflow("nightly", "manual")
    flow.add(shop.tasks["shop.charge"].s("4111"), name="charge")
    flow.add(shop.tasks["shop.resize"].s(2), name="resize", after=["charge"])
    shop.enqueue(flow)
    drain(shop)
    with dashboard(shop) as address, visit(browser, address) as page:
        page.goto("/workflows")
        page.get_by_role("link", name="nightly").click()
        expect(page.get_by_role("link", name="charge, failed")).to_be_visible()
        assert grave_faults(page) == []
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("link", name="resize, skipped")).to_be_visible()
        page.get_by_role("link", name="Jobs", exact=True).last.click()
        expect(page.get_by_role("row")).to_have_count(3)


@pytest.mark.parametrize("role", [Role.READ, Role.OPERATE])
def test_what_a_role_may_not_do_is_not_offered(
    browser: Browser, busy: Hammerflow, role: Role
) -> None:
    with dashboard(busy, role, sees_values=False) as address, visit(browser, address) as page:
        page.goto("/queues")
        expect(page.get_by_role("row").nth(1)).to_be_visible()
        pauses = page.get_by_role("button", name="Pause")
        expect(pauses).to_have_count(0 if role is Role.READ else 1)
        page.goto("/audit")
        expect(page.get_by_text("This needs the role admin.")).to_be_visible()
        page.goto("/jobs?state=failed")
        page.get_by_role("row").nth(1).get_by_role("link").first.click()
        expect(page.get_by_text("You may not see arguments and results.")).to_be_visible()
        retries = page.get_by_role("button", name="Retry", exact=True)
        expect(retries).to_have_count(0 if role is Role.READ else 1)


def test_markup_in_names_and_errors_is_text(browser: Browser, shop: Hammerflow) -> None:
    nasty = '"><img src=x onerror=alert(1)><script>alert(2)</script>'

    @shop.task(name="shop.nasty", max_attempts=1)
    def fail(text: str) -> None:
        raise ValueError(text)

    fail.delay(nasty)
    fail.apply_async((nasty,), queue=nasty[:20], headers={"order": nasty})
    drain(shop)
    drain(shop, queues=[nasty[:20]])
    with dashboard(shop) as address, visit(browser, address) as page:
        for path in ("/", "/jobs", "/failures", "/queues"):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            assert page.locator("img[src=x]").count() == 0
        page.goto("/jobs")
        page.get_by_role("row").nth(1).get_by_role("link").first.click()
        expect(page.get_by_text(nasty).first).to_be_visible()


def test_it_works_below_any_prefix(browser: Browser, busy: Hammerflow) -> None:
    """All addresses are relative to where the app is mounted."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import Mount

    from hammerflow.web.access import Principal
    from hammerflow.web.application import create_application
    from tests.web.conftest import served

    async def authorize(request: Request) -> Principal:
        return Principal("ann", Role.ADMIN, sees_values=True)

    inner = create_application(busy, authorize=authorize, title="shop")
    with (
        served(Starlette(routes=[Mount("/ops/jobs", inner)])) as address,
        visit(browser, address) as page,
    ):
        page.goto("/ops/jobs/")
        page.get_by_role("link", name="Queues", exact=True).first.click()
        expect(page.get_by_role("row").nth(1)).to_be_visible()
        assert page.url == f"{address}/ops/jobs/queues"
        page.reload()
        expect(page.get_by_role("row").nth(1)).to_be_visible()


def test_a_page_tells_that_the_server_is_gone_and_goes_on(
    browser: Browser, busy: Hammerflow
) -> None:
    with dashboard(busy) as address, browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.goto("/queues")
        expect(page.get_by_role("row").nth(1)).to_be_visible()
        context.set_offline(True)
        expect(page.get_by_role("alert").first).to_contain_text("does not answer")
        expect(page.get_by_role("row").nth(1)).to_be_visible()
        context.set_offline(False)
        expect(page.get_by_role("alert")).to_have_count(0)


def test_it_can_be_stopped_to_be_read(browser: Browser, busy: Hammerflow) -> None:
    with dashboard(busy) as address, visit(browser, address) as page:
        page.goto("/jobs")
        rows = page.get_by_role("row")
        expect(rows.nth(1)).to_be_visible()
        before = rows.count()
        page.keyboard.press("p")
        expect(page.get_by_role("button", name="stopped")).to_be_visible()
        busy.tasks["shop.resize"].delay(9)
        with page.expect_response("**/api/jobs**"):
            page.keyboard.press("p")
        expect(rows).to_have_count(before + 1)
