"""Calls by the API, with the app's code and by what workers have registered alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow, UniqueKey
from hammerflow.cli.session import SessionBackend
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.tasks.shape import TaskShape
from hammerflow.tasks.stand_in import stand_in
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

    @shop.task(name="shop.unique", unique=UniqueKey(by=lambda image: image), queue="other")
    def unique(image: int) -> None: ...

    newer = TaskShape.of(shop.tasks["shop.album"]).to_text() or ""
    _worker(shop, 8, "shop.unique", "shop.resize", **{"shop.resize": newer})
    wrong = no_code.post("/api/jobs", json={"task": "shop.resize", "kwargs": {"image": 1}})
    assert wrong.json()["errors"][0] == {"argument": "count", "detail": "is missing"}
    keyed = no_code.post("/api/jobs", json={"task": "shop.unique", "args": [1]})
    assert keyed.status_code == 422
    assert keyed.json()["detail"] == (
        "only the code of shop.unique computes the keys of its calls: start this server with -A "
        "and the app that has it"
    )


def _pay(customer: int, card: str = "none", *, tags: Any = (), **more: Any) -> None: ...


#: What keys a task has; calls come with the same ones, whoever writes them.
KEYS: list[dict[str, Any]] = [
    {},
    {"unique": UniqueKey()},
    {"unique": UniqueKey(by=("customer", "card"), within=60, for_states="until_started")},
    {"unique": UniqueKey(by="customer", on_conflict="debounce", within=9, max_wait=5)},
    {"unique": UniqueKey(by="card", on_conflict="throttle", within=60)},
    {"rate_limit": "9/m burst 3"},
    {"rate_limit": "9/m", "limit_key": "customer"},
    {"max_concurrency": 2, "limit_key": "{customer}-{card}", "fair_by": "customer"},
    {"fair_by": "{customer:04d}"},
    {"serializer": "json", "unique": UniqueKey(), "queue": "mail", "priority": 4, "expires": 60},
]
CALLS: list[tuple[list[Any], dict[str, Any]]] = [
    ([7], {}), ([], {"customer": 7}), ([7, "c"], {}), ([7], {"card": "none", "tags": [1]}),
    ([7], {"tags": (), "extra": {"b": 1, "a": [2]}}),
]  # fmt: skip


@pytest.mark.parametrize("options", KEYS, ids=lambda options: "-".join(options) or "plain")
def test_a_worker_tells_how_the_keys_of_calls_are_made(
    shop: Hammerflow, options: dict[str, Any]
) -> None:
    pay = shop.task(name="shop.pay", **options)(_pay)
    shape = TaskShape.from_text(TaskShape.of(pay).to_text() or "")
    code, none = JobFactory(shop.tasks, shop.codec), {"id": b"", "eta": None}
    for args, given in CALLS:
        kwargs = {"tags": (), **given}
        task = stand_in("shop.pay", shape, args, kwargs, shop)
        told = JobFactory({"shop.pay": task}, shop.codec)
        signature = shop.signature("shop.pay", args, kwargs)
        rows = [each.from_signature(signature)._replace(**none) for each in (code, told)]
        assert rows[0] == rows[1]


def test_a_default_that_is_not_told_must_be_given(shop: Hammerflow, no_code: httpx.Client) -> None:
    @shop.task(name="shop.pay", unique=UniqueKey(by="tags"))
    def pay(customer: int, tags: Any = frozenset(), more: Any = frozenset()) -> None: ...

    _worker(shop, 7, "shop.pay")
    refused = no_code.post("/api/jobs", json={"task": "shop.pay", "args": [1]})
    assert refused.status_code == 422
    assert "the argument tags, whose default only its code knows" in refused.json()["detail"]
    call = {"task": "shop.pay", "args": [1, "a"]}
    assert no_code.post("/api/jobs", json=call).status_code == 201
    assert no_code.post("/api/jobs", json=call).status_code == 409


@pytest.mark.parametrize("options", [
    {"unique": UniqueKey(by=lambda image: image)},
    {"rate_limit": "9/m", "limit_key": lambda image: image},
    {"fair_by": lambda image: image},
    {"unique": UniqueKey(), "check_arguments": False},
])  # fmt: skip
def test_a_key_that_only_code_computes_is_not_told(
    shop: Hammerflow, options: dict[str, Any]
) -> None:
    @shop.task(name="shop.keyed", **options)
    def keyed(image: int) -> None: ...

    assert TaskShape.of(keyed).keys is None


def test_names_behind_a_decorator_make_no_keys(shop: Hammerflow) -> None:
    @shop.task(name="shop.keyed", unique=UniqueKey())
    @functools.wraps(_pay)
    def keyed(*args: Any, **kwargs: Any) -> None: ...

    assert TaskShape.of(keyed).keys is None


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
