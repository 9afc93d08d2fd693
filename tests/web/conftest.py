"""A shop with jobs in every state, and the API of it in this process."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from hammerflow import Hammerflow, Workflow
from hammerflow.admin.bulk import begin_operation
from hammerflow.events.filter import EventFilter
from hammerflow.jobs.limit import Limit
from hammerflow.testing import drain
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application

TOKEN = "Bearer right"
#: Names that a path can only have in another form.
ODD_NAMES = (
    "mail/eu", "/", "//a/", "a b", "50%", "%2F", "%252e", ".", "..", "=", "=..", "a/../b",
    "q?x=1#top", "über/日本 🐘", "a\\b;c", "pause", "a/pause", "+&", "{queue}", "\u202e",
)  # fmt: skip


@contextlib.contextmanager
def open_shop(url: str) -> Iterator[Hammerflow]:
    """The shop, whose jobs are in a database."""
    app = Hammerflow("shop", database=url, webhook_allow_networks=["127.0.0.0/8"])

    @app.task(name="shop.resize")
    def resize(image: int) -> int:
        return image

    @app.task(name="shop.charge", max_attempts=1)
    def charge(card: str) -> None:
        raise ValueError(f"card declined: {len(card)} digits")

    @app.spawner(name="shop.album")
    def album(count: int) -> Any:
        for image in range(count):
            yield resize.s(image)

    yield app
    app.close()


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Hammerflow]:
    with open_shop(migrated_url) as app:
        yield app


def fill(shop: Hammerflow) -> Hammerflow:
    """Enqueue jobs that end, and such that do not."""
    tasks = shop.tasks
    tasks["shop.album"].delay(3)
    tasks["shop.charge"].delay("4111")
    flow = Workflow("nightly")
    flow.add(tasks["shop.resize"].s(1), name="first")
    flow.add(tasks["shop.resize"].s(2), name="second", after=["first"])
    shop.enqueue(flow)
    drain(shop)
    tasks["shop.resize"].delay(7)
    tasks["shop.resize"].apply_async((8,), countdown=3600)
    tasks["shop.album"].delay(2)
    return shop


def count_ended(app: Hammerflow) -> None:
    """Count what has ended in the last minutes, as workers do a little later."""
    statistics, clock = app.store.statistics, app.store.clock
    app.store.database.run("statistics_begin", begin=int(clock() // 60 - 5) * 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_clock", lambda: clock() + 600)
        while statistics.count_next():
            pass


@pytest.fixture
def busy(shop: Hammerflow) -> Hammerflow:
    """The shop with jobs that have ended and such that have not."""
    return fill(shop)


@pytest.fixture
def places(busy: Hammerflow, admin: httpx.Client) -> Callable[[str], str]:
    """Makes a path of the table real: one thing of each noun exists. Takes the path's template."""
    store = busy.store
    when = busy.schedules.definition("nightly", "0 2 * * *", busy.tasks["shop.resize"].s(1), {})
    store.schedules.create("nightly", when, by="test")
    store.sinks.put("audit", "none", {}, EventFilter.of(kinds=["*"]), by="test")
    hook = {"url": "https://hooks.example/x"}
    store.sinks.put("hook", "webhook", hook, EventFilter.of(kinds=["job.*"]), by="test")
    batch = busy.batch([busy.tasks["shop.resize"].s(1)], name="night", rate_limit="9/s").enqueue()
    store.limits.give("queue", "default", Limit(None, 99), by="test")
    store.workers.register(7, host="h", pid=1, info={}, tasks=["shop.resize"], queues=[])
    token, _ = store.access.create("ci", 1, sees_values=False, expires_in=None, by="test")
    operation = begin_operation(store, "retry", {}, by="test", total=0)
    album = admin.get("/api/jobs?task=shop.album&state=completed").json()["items"][0]["id"]
    flow = admin.get("/api/workflows?kind=workflow").json()["items"][0]["id"]
    values = {
        "job_id": album, "workflow_id": flow, "batch_id": str(batch.id), "queue": "default",
        "task": "shop.resize", "schedule": "nightly", "sink": "audit", "webhook": "hook",
        "rule": "queue_age", "operation_id": str(uuid.UUID(bytes=operation)),
        "worker": "7", "token_id": str(uuid.UUID(bytes=token)),
    }  # fmt: skip

    def real(template: str) -> str:
        target = "queue:default" if template.startswith("/api/limits") else "ops"
        path = template.format_map({**values, "target": target, "archived_id": album})
        return f"{path}?cron=@daily" if path == "/api/cron" else path

    return real


@pytest.fixture
def as_role(shop: Hammerflow) -> Iterator[Callable[..., httpx.Client]]:
    """Clients with a role, each of a server of its own."""
    with contextlib.ExitStack() as opened:

        def client(role: Role | None, *, sees_values: bool = False) -> httpx.Client:
            who = None if role is None else Principal("ann", role, sees_values)
            url = opened.enter_context(served(api(shop, who)))
            return opened.enter_context(
                httpx.Client(base_url=url, headers={"authorization": TOKEN}, timeout=30)
            )

        yield client


@pytest.fixture
def admin(as_role: Callable[..., httpx.Client]) -> httpx.Client:
    return as_role(Role.ADMIN, sees_values=True)


def api(app: Hammerflow, who: Principal | None) -> Starlette:
    """The API of an app for one person."""

    async def authorize(request: Request) -> Principal | None:
        return who if request.headers.get("authorization") == TOKEN else None

    return create_application(app, authorize=authorize, title="shop")


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The address at which an ASGI app is served from another thread."""
    bound = socket.create_server(("127.0.0.1", 0))
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
