"""Browsing: the dashboard in a real Chromium, where an error of a page fails the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect, sync_playwright
from starlette.requests import Request

from hammerflow import Hammerflow
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from tests.web.conftest import served

__all__ = ["chromium", "complaints", "dashboard", "grave_faults", "settled", "visit"]

#: A loaded machine may be slow to draw; no test waits for it where the page is quick.
_PATIENCE = 20_000  # milliseconds
expect.set_options(timeout=_PATIENCE)
_COMPLAINTS: weakref.WeakKeyDictionary[Page, list[str]] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    options = ["--disable-background-networking"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to be root in its sandbox
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@contextlib.contextmanager
def dashboard(app: Hammerflow) -> Iterator[str]:
    """The address of an app's dashboard for somebody who is logged in.

    They are an admin who sees all values, or what the headers of :func:`visit` say.
    """

    async def authorize(request: Request) -> Principal:
        role = Role[request.headers.get("x-role", "ADMIN")]
        return Principal("ann", role, sees_values="x-role" not in request.headers)

    with served(create_application(app, authorize=authorize, title="shop")) as address:
        yield address


@contextlib.contextmanager
def visit(
    browser: Browser, address: str, role: Role | None = None, **options: Any
) -> Iterator[Page]:
    """A page of a fresh browser; what it reports as an error, it must not.

    Args:
        role: of somebody who sees no values; else an admin who does.
    """
    options = {
        "extra_http_headers": {} if role is None else {"x-role": role.name},
        "viewport": {"width": 1280, "height": 860},
        "timezone_id": "Europe/Berlin",
        **options,
    }
    with browser.new_context(base_url=address, **options) as context:
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        told = _COMPLAINTS[page] = []

        def console(message: ConsoleMessage) -> None:
            # A refused request is no fault of the page, which tells of it.
            if message.type in ("error", "warning") and "Failed to load" not in message.text:
                told.append(message.text)

        page.on("console", console)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("response", lambda answer: _check_file(answer, told))
        page.on("request", lambda request: _check_host(request.url, address, told))
        yield page
        assert complaints(page) == []


def complaints(page: Page) -> list[str]:
    """What a page of :func:`visit` has reported since it was last asked."""
    told = [*_COMPLAINTS[page]]
    _COMPLAINTS[page].clear()
    return told


def settled(page: Page) -> None:
    """Wait until the page is there with all that it reads and draws first."""
    expect(page.locator("main[aria-busy=false]")).to_be_attached()


def _check_host(url: str, address: str, told: list[str]) -> None:
    if not url.startswith((address, "data:", "blob:")):
        told.append(f"a request to another host: {url}")


def _check_file(answer: Response, told: list[str]) -> None:
    if "/static/" in answer.url and not answer.ok:
        told.append(f"{answer.status} for {answer.url}")


def grave_faults(page: Page) -> list[str]:
    """What axe finds serious or critical on the page as it is now, and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']}"
        for one in found if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]  # fmt: skip
