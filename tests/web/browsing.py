"""Browsing: the dashboard in a real Chromium, where an error of a page fails the test."""

from __future__ import annotations

import contextlib
import os
import shutil
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

__all__ = ["chromium", "dashboard", "grave_faults", "visit"]

#: A loaded machine may be slow to draw; no test waits for it where the page is quick.
_PATIENCE = 20_000  # milliseconds
expect.set_options(timeout=_PATIENCE)


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
def dashboard(
    app: Hammerflow, role: Role = Role.ADMIN, *, sees_values: bool = True
) -> Iterator[str]:
    """The address of an app's dashboard for somebody with a role, who is logged in."""
    who = Principal("ann", role, sees_values)

    async def authorize(request: Request) -> Principal:
        return who

    with served(create_application(app, authorize=authorize, title="shop")) as address:
        yield address


@contextlib.contextmanager
def visit(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page of a fresh browser; what it reports as an error, it must not."""
    options = {
        "viewport": {"width": 1280, "height": 860},
        "timezone_id": "Europe/Berlin",
        **options,
    }
    with browser.new_context(base_url=address, **options) as context:
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        told: list[str] = []

        def console(message: ConsoleMessage) -> None:
            # A refused request is no fault of the page, which tells of it.
            if message.type in ("error", "warning") and "Failed to load" not in message.text:
                told.append(message.text)

        page.on("console", console)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("response", lambda answer: _check_file(answer, told))
        page.on("request", lambda request: _check_host(request.url, address, told))
        yield page
        assert not told, told


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
