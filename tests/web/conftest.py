"""A shop with jobs in every state, and the API of it in this process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from hammerflow import Hammerflow, Workflow
from hammerflow.testing import drain
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application

TOKEN = "Bearer right"


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("shop", database=migrated_url)

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
def busy(shop: Hammerflow) -> Hammerflow:
    """The shop with jobs that have ended and such that have not."""
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
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        bound.close()
