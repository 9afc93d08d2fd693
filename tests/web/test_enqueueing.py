"""Calls by the API, with the app's code and by what workers have registered alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow, UniqueKey
from hammerflow.cli.session import SessionBackend
from hammerflow.tasks.shape import TaskShape
from hammerflow.testing import drain
from hammerflow.web.access import Principal, Role
from tests.web.conftest import TOKEN, api, served


@pytest.fixture
def no_code(shop: Hammerflow) -> Iterator[httpx.Client]:
    """A server that knows the database of the shop only."""
    backend = SessionBackend(
        shop.store, shop.notifier, shop.codec, shop.poll, shop.lease, shop.settings,
        open_transaction=ContextVar("open", default=None),
    )  # fmt: skip
    known: Any = backend
    with (
        served(api(known, Principal("ann", Role.OPERATE))) as url,
        httpx.Client(base_url=url, headers={"authorization": TOKEN}, timeout=30) as client,
    ):
        yield client


def _worker(app: Hammerflow, number: int, *tasks: str, **shapes: str) -> None:
    known = {name: TaskShape.of(app.tasks[name]).to_text() or "" for name in tasks}
    app.store.workers.register(
        number, host="h", pid=1, info={}, tasks=tasks, queues=[], shapes={**known, **shapes}
    )


def test_a_live_worker_tells_how_a_task_is_called(shop: Hammerflow, no_code: httpx.Client) -> None:
    call = {"task": "shop.resize", "args": [4], "job_id": "0193abcd-0000-7000-8000-000000000001"}
    unknown = no_code.post("/api/jobs", json={"task": "shop.resise"})
    assert unknown.status_code == 404
    _worker(shop, 7, "shop.resize", "shop.charge")
    unknown = no_code.post("/api/jobs", json={"task": "shop.resise"})
    assert "did you mean shop.resize" in unknown.json()["detail"]
    wrong = no_code.post("/api/jobs", json={"task": "shop.resize", "kwargs": {"imag": 1}})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert wrong.json()["errors"] == [
        {"argument": "image", "detail": "is missing"},
        {"argument": "imag", "detail": "is unknown: did you mean image?"},
    ]
    wrong = no_code.post("/api/jobs", json={"task": "shop.resize", "args": [[4]]})
    assert wrong.json()["errors"] == [{"argument": "image", "detail": "must be int, not a list"}]
    made = [no_code.post("/api/jobs", json=call).json() for _ in range(2)]
    assert [one["is_new"] for one in made] == [True, False]
    assert made[0]["warning"] is None
    assert shop.job(made[0]["id"]).queue == "default"
    drain(shop)
    assert shop.job(made[0]["id"]).state == "completed"
    shown = no_code.get("/api/tasks/shop.resize").json()
    assert (shown["is_served"], shown["queue"]) == (True, "default")
    assert shown["parameters"] == [
        {"name": "image", "kind": "any", "is_required": True, "annotation": "int"}
    ]


def test_without_a_worker_only_the_code_tells(
    busy: Hammerflow, no_code: httpx.Client, admin: httpx.Client
) -> None:
    call = {"task": "shop.resize", "args": [4]}
    refused = no_code.post("/api/jobs", json=call)
    assert (refused.status_code, refused.json()["detail"][:14]) == (409, "no live worker")
    assert no_code.get("/api/tasks/shop.resize").json()["parameters"] is None
    assert no_code.get("/api/tasks/shop.none").status_code == 404
    assert "waits until one does" in admin.post("/api/jobs", json=call).json()["warning"]
    must = admin.post("/api/jobs", json={**call, "require_worker": True})
    assert must.status_code == 409
    _worker(busy, 7, "shop.resize")
    assert admin.post("/api/jobs", json={**call, "require_worker": True}).status_code == 201


def test_the_last_worker_s_word_counts(shop: Hammerflow, no_code: httpx.Client) -> None:
    _worker(shop, 7, "shop.resize")

    @shop.task(name="shop.unique", unique=UniqueKey(by=("args",)), queue="other")
    def unique(image: int) -> None: ...

    newer = TaskShape.of(shop.tasks["shop.album"]).to_text() or ""
    _worker(shop, 8, "shop.unique", "shop.resize", **{"shop.resize": newer})
    wrong = no_code.post("/api/jobs", json={"task": "shop.resize", "kwargs": {"image": 1}})
    assert wrong.json()["errors"][0] == {"argument": "count", "detail": "is missing"}
    keyed = no_code.post("/api/jobs", json={"task": "shop.unique", "args": [1]})
    assert keyed.status_code == 422
    assert "start this server with -A" in keyed.json()["detail"]


def test_a_worker_that_is_silent_tells_nothing(shop: Hammerflow) -> None:
    _worker(shop, 7, "shop.resize")
    assert shop.store.workers.shape("shop.resize", lease=60)[0]
    assert shop.store.workers.shape("shop.resize", lease=-1) == (False, None)


def test_a_drained_app_registers_its_shapes(shop: Hammerflow) -> None:
    found = []

    @shop.task(name="shop.ask")
    def ask() -> None:
        found.append(shop.store.workers.shape("shop.ask", lease=60))

    ask.delay()
    drain(shop)
    assert found == [(True, TaskShape.of(ask).to_text())]


def test_a_workflow_is_made_of_a_file(busy: Hammerflow, admin: httpx.Client) -> None:
    jobs: list[dict[str, Any]] = [
        {"name": "first", "task": "resize", "args": [1]},
        {"name": "second", "task": "shop.resize", "args": [2], "depends_on": ["first"]},
    ]
    made = admin.post("/api/workflows", json={"definition": {"name": "pair", "jobs": jobs}})
    assert made.status_code == 201, made.text
    assert (made.json()["name"], made.json()["nodes"]) == ("pair", 2)
    drain(busy)
    shown = admin.get(f"/api/workflows/{made.json()['id']}").json()
    assert shown["status"] == "completed"
    jobs[0]["task"] = "resise"
    wrong = admin.post("/api/workflows", json={"definition": {"name": "pair", "jobs": jobs}})
    assert wrong.status_code == 422
    assert "line" in wrong.json()["detail"]
    assert "definition" not in str(admin.get("/api/audit?limit=1").json()["items"][0]["details"])
