"""The API inside other applications: every route and role, as the table says, in each of them."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx
import pytest

from hammerflow import Hammerflow
from hammerflow.stores.database import Database
from hammerflow.web import first_reads
from hammerflow.web.access import Principal, Role
from hammerflow.web.mounting import web_app
from hammerflow.web.paths import in_path
from hammerflow.web.routes import ROUTES
from hammerflow.web.routing import Route
from tests.web.conftest import ODD_NAMES

PREFIX = "/shop/jobs"
_OWN = {"x-hammerflow": "1", "content-type": "application/json"}


class Answer(NamedTuple):
    """What a client got."""

    status: int
    kind: str
    body: bytes


#: Sends method, path, headers and body in the name of a role.
Send = Callable[[str, str, Role | None, dict[str, str], bytes], Answer]


def _who(role: str | None) -> Principal | None:
    return Principal("ann", Role(int(role))) if role else None


def _cookie(role: Role | None) -> dict[str, str]:
    """What stands for the session of the host's own log-in."""
    return {} if role is None else {"cookie": f"role={int(role)}"}


@pytest.fixture
def shop(sqlite_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("shop", database=sqlite_url)
    app.migrate()
    app.task(name="shop.resize")(lambda image: image)
    app.tasks["shop.resize"].delay(1)
    yield app
    for thread in threading.enumerate():
        if thread.name == "warmth":
            thread.join(20)
    app.close()


def _asgi(site: Any, runner: asyncio.Runner) -> Send:
    def send(
        method: str, path: str, role: Role | None, headers: dict[str, str], body: bytes
    ) -> Answer:
        async def ask() -> Answer:
            transport = httpx.ASGITransport(site)
            async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
                found = await client.request(
                    method, path, headers={**headers, **_cookie(role)}, content=body
                )
            return Answer(found.status_code, found.headers.get("content-type", ""), found.content)

        return runner.run(ask())

    return send


def _starlette(app: Hammerflow, runner: asyncio.Runner) -> Send:
    from starlette.applications import Starlette

    site = Starlette()
    site.mount(PREFIX, web_app(app, who=lambda request: _who(request.cookies.get("role"))))
    return _asgi(site, runner)


def _fastapi(app: Hammerflow, runner: asyncio.Runner) -> Send:
    from fastapi import FastAPI

    async def who(request: Any) -> Principal | None:
        return _who(request.cookies.get("role"))

    site = FastAPI()
    site.mount(PREFIX, web_app(app, who=who))
    return _asgi(site, runner)


def _flask(app: Hammerflow, runner: asyncio.Runner) -> Send:
    from flask import Flask, request

    from hammerflow.integrations.flask import mount

    site = Flask("site")
    mount(site, app, who=lambda: _who(request.cookies.get("role")), prefix=PREFIX)

    def send(
        method: str, path: str, role: Role | None, headers: dict[str, str], body: bytes
    ) -> Answer:
        client = site.test_client(use_cookies=False)
        sent = {**headers, **_cookie(role)}
        found = client.open(path, method=method, headers=sent, data=body)
        return Answer(found.status_code, found.content_type, found.data)

    return send


def _django(app: Hammerflow, runner: asyncio.Runner) -> Send:
    import django
    from django.conf import settings
    from django.test import Client
    from django.urls import re_path

    from hammerflow.integrations.django import api_view

    view = api_view(app, who=lambda request: _who(request.COOKIES.get("role")))
    urls: Any = sys.modules[__name__]
    urls.urlpatterns = [re_path(f"^{PREFIX[1:]}/(?P<path>.*)$", view)]
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="only for tests",
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
        )  # fmt: skip
        django.setup()
    from django.urls import clear_url_caches

    clear_url_caches()

    def send(
        method: str, path: str, role: Role | None, headers: dict[str, str], body: bytes
    ) -> Answer:
        sent = {**headers, **_cookie(role)}
        kind = sent.pop("content-type", "application/json")
        client = Client(enforce_csrf_checks=True)
        found = client.generic(method, path, body, kind, headers=sent)
        return Answer(found.status_code, found.headers.get("content-type", ""), found.content)

    return send


@pytest.fixture(params=[_starlette, _fastapi, _flask, _django], ids=lambda one: one.__name__[1:])
def send(request: pytest.FixtureRequest, shop: Hammerflow) -> Iterator[Send]:
    with asyncio.Runner() as runner:
        yield request.param(shop, runner)


def _path(route: Route) -> str:
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", "0193abcd" if name.endswith("_id") else "default")
    return PREFIX + path


@pytest.mark.parametrize("role", [None, *Role])
def test_a_role_may_do_what_the_table_says(send: Send, role: Role | None) -> None:
    for route in ROUTES:
        if route.is_stream and role is not None:
            continue  # it would not end
        status, kind, _ = send(route.method, _path(route), role, _OWN, b"{}")
        if role is None:
            assert status == HTTPStatus.UNAUTHORIZED, route.name
        elif role < route.role:
            assert status == HTTPStatus.FORBIDDEN, route.name
        else:
            assert status not in (401, 403, 405, 500), (route.name, status)
        if status >= 400:
            assert kind == "application/problem+json", route.name


def test_what_is_asked_for_is_answered(send: Send) -> None:
    listed = send("GET", f"{PREFIX}/api/jobs?state=ready&limit=5", Role.READ, {}, b"")
    assert (listed.status, b"shop.resize" in listed.body) == (200, True)
    call = b'{"task": "shop.resize", "args": [7]}'
    made = send("POST", f"{PREFIX}/api/jobs", Role.OPERATE, _OWN, call)
    assert made.status == 201
    assert send("GET", f"{PREFIX}/api/nothing", Role.READ, {}, b"").status == 404


def test_a_page_is_told_what_its_reader_may_see(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_reads, "_PATIENCE", 20.0)  # however busy the machine is
    page = send("GET", f"{PREFIX}/jobs?state=ready", Role.READ, {}, b"")
    assert (page.status, b'["/api/session",' in page.body) == (200, True)
    assert b"shop.resize" in page.body
    assert f'href="{PREFIX}/static/'.encode() in page.body
    nobody = send("GET", f"{PREFIX}/jobs?state=ready", None, {}, b"")
    assert (nobody.status, b"/api/" in nobody.body) == (200, False)


def test_the_overview_is_read_before_it_is_asked_for(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whoever asks for anything first: nothing else tells a mounted app that it is there."""
    read, is_warm = Counter[str](), threading.Event()
    real = Database.rows

    def counted(self: Database, block: str, **values: Any) -> Any:
        found = real(self, block, **values)
        read[block] += 1
        if read["queue_heads"] and read["dead_failed"]:
            is_warm.set()
        return found

    monkeypatch.setattr(Database, "rows", counted)
    assert send("GET", f"{PREFIX}/api/limits", None, {}, b"").status == 401
    assert not read, "nobody makes it read"
    assert send("GET", f"{PREFIX}/api/limits", Role.READ, {}, b"").status == 200
    assert is_warm.wait(20)
    overview = send("GET", f"{PREFIX}/api/overview", Role.READ, {}, b"")
    assert json.loads(overview.body)["counts"]["ready"] == 1
    assert (read["queue_heads"], read["dead_failed"]) == (1, 1)


def test_names_of_any_characters_reach_the_handler(send: Send, shop: Hammerflow) -> None:
    for name in ODD_NAMES:
        shop.store.names.register(queues=[name])
        path = f"{PREFIX}/api/queues/{in_path(name)}/pause"
        paused = send("POST", path, Role.OPERATE, _OWN, b"{}")
        assert (paused.status, json.loads(paused.body)["name"]) == (200, name)


def test_a_form_of_another_site_changes_nothing(send: Send) -> None:
    form = {"content-type": "application/json"}
    path = f"{PREFIX}/api/queues/default/pause"
    assert send("POST", path, Role.ADMIN, form, b"{}").status == 403
    for origin in ("https://evil.example", "null", "http://["):
        foreign = {**_OWN, "origin": origin}
        assert send("POST", path, Role.ADMIN, foreign, b"{}").status == 403, origin
    resume = f"{PREFIX}/api/queues/default/resume"
    for sent, status in (("Basic YTpi", 403), ("Negotiate x", 403), ("Bearer hf_x", 200)):
        answer = send("POST", resume, Role.ADMIN, {"authorization": sent}, b"")
        assert answer.status == status, sent
