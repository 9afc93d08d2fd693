"""What nobody is shown: values by their names and types, at any depth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow, Workflow
from hammerflow.admin.redaction import Redaction
from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.events.filter import EventFilter
from hammerflow.options.patterns import HIDDEN_NAMES
from hammerflow.options.variables import HIDDEN
from hammerflow.stores.events.webhooks import WebhookAttempt
from hammerflow.testing import drain
from hammerflow.web.access import Principal, Role
from hammerflow.web.routes import ROUTES
from tests.web.conftest import TOKEN, api, served

NEEDLE = "hunter2"


@pytest.fixture
def migrated_url(migrated_database: Callable[[str], str]) -> str:
    """What is shown does not depend on the database."""
    return migrated_database("sqlite")


@dataclass
class Card:
    """A class whose objects are hidden."""

    number: str


@pytest.mark.parametrize(
    "value",
    [
        {"password": NEEDLE},
        {"db": [{"Auth": {"api-key": NEEDLE}}]},
        {"$dict": [["refresh_token", NEEDLE], [1, {"SECRET_1": [NEEDLE]}]]},
        {"$object": ["Login", {"user": "ann", "Password": NEEDLE}]},
        [[{"$object": ["Card", {"number": NEEDLE}]}]],
        {"$tuple": [{"cvv": NEEDLE}]},
    ],
)
def test_what_is_hidden_is_found_at_any_depth(value: Any) -> None:
    shown = Redaction([*HIDDEN_NAMES, "type:Card"]).value(value)
    assert NEEDLE not in str(shown)
    assert HIDDEN in str(shown)


def test_what_is_not_hidden_stays_as_it_is() -> None:
    value = {"max_tokens": 5, "passes": [1, {"name": "ann", "card": {"type": "visa"}}]}
    assert Redaction(HIDDEN_NAMES).value(value) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2, user=ann", "password=********, user=ann"),
        ("{'password': ['hunter2', ('hunter2',)], 'b': 1}", "{'password': ********, 'b': 1}"),
        ("no shop.Card(number=')hunter2', x=(1, 2))", "no shop.Card(********)"),
        ("Authorization: Bearer hunter2\nnext", "Authorization: Bearer ********\nnext"),
        ("token: 'hunter2 and more' is wrong", "token: ******** is wrong"),
        ("order.password = f('hunter2') + 1", "order.password = ******** + 1"),
        ("postgres://ann:hunter2@db/shop", "postgres://ann:********@db/shop"),
        ("postgres://ann:hun@ter2@db/shop", "postgres://ann:********@db/shop"),
        ("secret='hunter2", "secret=********"),
        ("api_key=(hunter2", "api_key=********"),
        (
            "max_tokens=5, passes: 3, KeyError: 'token'",
            "max_tokens=5, passes: 3, KeyError: 'token'",
        ),
    ],
)
def test_values_that_a_text_names_are_hidden(text: str, shown: str) -> None:
    assert Redaction([*HIDDEN_NAMES, "type:Card"]).text(text) == shown


@pytest.mark.parametrize("text", ["a", "password=(", "password='", "x  ", "a=", "Card((", '"'])
def test_a_long_text_is_read_once(text: str) -> None:
    began = time.process_time()
    Redaction([*HIDDEN_NAMES, "type:Card"]).text(text * 20_000)
    assert time.process_time() - began < 2


def test_a_traceback_of_blanks_is_read_once() -> None:
    texts = ShownTexts(Redaction(HIDDEN_NAMES), sees_values=False)
    began = time.process_time()
    assert "   " not in texts.traceback("ValueError: x\n" + " " * 60_000 + "|")
    assert time.process_time() - began < 1


def _fail(card: str, *, password: str) -> None:
    try:
        raise KeyError(card)
    except KeyError as error:
        raise ValueError(f"no '{card}' of {card}@example.com\n  {card}, {password=}") from error


def test_who_sees_no_values_sees_them_in_no_text(
    places: Callable[[str], str], busy: Hammerflow, as_role: Callable[..., httpx.Client],
) -> None:  # fmt: skip
    """Errors, tracebacks, events and answers, by any route."""
    card, password = "4111 smith", NEEDLE
    pay = busy.task(name="shop.pay", max_attempts=1)(_fail)
    busy.store.sinks.put("all", "none", {}, EventFilter.of(kinds=["*"]), by="test")
    busy.store.names.outbox.refresh()

    @busy.spawner(name="shop.payments")
    def payments() -> Any:
        yield pay.s(card, password=password)

    payments.delay()
    busy.batch([pay.s(card, password=password)], name="cards").enqueue()
    drain(busy)
    busy.store.events.relay()
    made = WebhookAttempt(500, 1, None, "", f"{card}, password: {password}")
    template = places  # makes the endpoint
    template("/api/jobs")
    busy.store.webhooks.note("hook", "msg_1", 1, 1, made)
    reader, admin = as_role(Role.ADMIN), as_role(Role.ADMIN, sees_values=True)
    failed = admin.get("/api/jobs?task=shop.pay").json()["items"]
    shown = admin.get(f"/api/jobs/{failed[0]['id']}")
    assert card in shown.json()["errors"][0]["traceback"]
    batch = admin.get("/api/batches").json()["items"][0]["id"]
    tree = admin.get("/api/jobs?task=shop.payments").json()["items"][0]["id"]
    paths = [f"/api/jobs/{job['id']}{tail}" for job in failed for tail in ("", "/explain")]
    paths += [f"/api/batches/{batch}", f"/api/batches/{batch}/calls"]
    paths += [f"/api/jobs/{tree}/spawn-tree?format={form}" for form in ("json", "text", "dot")]
    paths += ["/api/events?limit=500"]
    known = (route for route in ROUTES if not (route.is_change or route.is_stream))
    paths += [template(route.path) for route in known if "archived" not in route.path]
    seen = 0
    for path in paths:
        hidden, full = reader.get(path), admin.get(path)
        assert hidden.status_code == full.status_code == 200, path
        assert "smith" not in hidden.text, path
        assert password not in hidden.text + full.text, path
        seen += card in full.text
    assert seen > 10
    with reader.stream("GET", "/api/events/stream?after=0&kinds=job.failed") as stream:
        told = next(line for line in stream.iter_lines() if line.startswith("data: {"))
    assert "ValueError" in told
    assert "smith" not in told
    errors = reader.get(paths[0]).json()["errors"][0]
    assert errors["message"] == "no * of * *"
    assert 'raise ValueError(f"no' in errors["traceback"]
    assert errors["traceback"].count("KeyError: *") == 1


def test_calls_and_failed_spawners_are_shown_without_values(
    busy: Hammerflow, as_role: Callable[..., httpx.Client]
) -> None:
    card = "4111 smith"
    pay = busy.task(name="shop.pay", max_attempts=1)(_fail)

    @busy.spawner(name="shop.payments", max_attempts=1)
    def payments(number: str) -> Any:
        yield pay.s(number, password=NEEDLE)
        raise ValueError(f"no {number!r}")

    payments.delay(card)
    drain(busy)
    when = busy.schedules.definition("pay", "0 2 * * *", pay.s(card, password=NEEDLE), {})
    busy.store.schedules.create("pay", when, by="test")
    reader, admin = as_role(Role.ADMIN), as_role(Role.ADMIN, sees_values=True)
    paths = ["/api/spawn/operations", "/api/schedules", "/api/schedules/pay"]
    for path in paths:
        hidden, full = reader.get(path), admin.get(path)
        assert "smith" in full.text, path
        assert "smith" not in hidden.text, path
        assert NEEDLE not in hidden.text + full.text, path
    assert reader.get("/api/schedules/pay").json()["call"] == "shop.pay(...)"


def test_no_search_finds_what_is_not_shown(
    busy: Hammerflow, as_role: Callable[..., httpx.Client]
) -> None:
    busy.task(name="shop.pay", max_attempts=1)(_fail).delay("4111 smith", password=NEEDLE)
    drain(busy)
    reader, admin = as_role(Role.ADMIN), as_role(Role.ADMIN, sees_values=True)

    def found(client: httpx.Client, error: str) -> tuple[int, int]:
        body = {"action": "retry", "error": error, "dry_run": True}
        listed = client.get("/api/jobs", params={"error": error}).json()["items"]
        return len(listed), client.post("/api/operations", json=body).json()["total"]

    assert found(admin, "smith") == (1, 1)
    assert found(reader, "smith") == (0, 0)
    assert found(admin, NEEDLE) == found(reader, NEEDLE) == (0, 0)
    assert found(reader, "no * of *") == (1, 1)
    assert found(reader, "ValueError") == (2, 2)
    body = {"action": "retry", "error": "'4111 smith'"}
    admin.post("/api/operations", json=body)
    assert "smith" not in reader.get("/api/operations").text


def test_answers_of_receivers_are_for_those_who_see_values(
    busy: Hammerflow, as_role: Callable[..., httpx.Client]
) -> None:
    store = busy.store
    options = {"url": f"https://hooks.example/x?token={NEEDLE}", "headers": {"x": "1"}}
    store.sinks.put("audit", "http", options, EventFilter.of(kinds=["*"]), by="test")
    hook = {"url": f"https://hooks.example/x?token={NEEDLE}"}
    store.sinks.put("hook", "webhook", hook, EventFilter.of(kinds=["*"]), by="test")
    store.alerts.put("target", "ops", "alertmanager", hook, by="test")
    hold = store.sinks.take("audit", 1)
    assert hold is not None
    store.sinks.fail(hold, "HTTP 500: smith has no card")
    reader, admin = as_role(Role.ADMIN), as_role(Role.ADMIN, sees_values=True)
    for path in ("/api/sinks", "/api/sinks/audit", "/api/webhooks", "/api/webhooks/hook",
                 "/api/alert-targets"):  # fmt: skip
        hidden, full = reader.get(path), admin.get(path)
        assert "hooks.example" in hidden.text, path
        assert NEEDLE not in hidden.text + full.text, path
        assert "smith" not in hidden.text, path
    assert admin.get("/api/sinks/audit").json()["error"] == "HTTP 500: smith has no card"
    assert reader.get("/api/sinks/audit").json()["error"] == "HTTP 500"

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"smith has no card"})

    with served(refuse) as url:
        store.sinks.put("down", "http", {"url": url}, EventFilter.of(kinds=["*"]), by="test")
        store.alerts.put("target", "down", "alertmanager", {"url": url}, by="test")
        for path in ("/api/sinks/down/test", "/api/alert-targets/down/test"):
            hidden, full = reader.post(path), admin.post(path)
            assert (hidden.status_code, full.status_code) == (409, 409), full.text
            assert "smith" in full.json()["detail"]
            assert "HTTP 500" in hidden.json()["detail"]
            assert "smith" not in hidden.json()["detail"]


def test_headers_and_metadata_are_redacted_in_every_list(
    busy: Hammerflow, admin: httpx.Client
) -> None:
    resize = busy.tasks["shop.resize"]
    call = resize.s(1).set(headers={"api_token": NEEDLE})

    @busy.spawner(name="shop.ones")
    def ones() -> Any:
        yield call

    top = ones.delay()
    batch = busy.batch([call], name="ones").enqueue()
    flow = Workflow("flow", metadata={"api_token": NEEDLE})
    flow.add(call, name="one")
    made = busy.enqueue(flow)
    drain(busy)
    paths = [f"/api/jobs/{top.id}/{end}" for end in ("children", "lineage", "spawn-tree")]
    paths += [f"/api/batches/{batch.id}/calls", "/api/workflows", f"/api/workflows/{made.id}"]
    for path in paths:
        assert NEEDLE not in admin.get(path).text, path
    assert HIDDEN in admin.get(paths[0]).text


def test_no_answer_holds_a_hidden_value(sqlite_url: str) -> None:
    app = Hammerflow("shop", database=sqlite_url, redact=["*pin*", "type:Card"])

    app.migrate()

    @app.task(name="shop.pay")
    def pay(user: str, pin: str, card: Card, *, options: Any = None) -> Any:
        return {"user": user, "new_pin": pin, "card": card}

    try:
        call = pay.s("ann", NEEDLE, Card(NEEDLE), options={"deep": [{"PIN": NEEDLE}]})
        job = app.enqueue(call.set(headers={"pin": NEEDLE, "lang": "de"}))
        drain(app)
        headers = {"authorization": TOKEN}
        with served(api(app, Principal("ann", Role.ADMIN, sees_values=True))) as url:
            shown = httpx.get(f"{url}/api/jobs/{job.id}", headers=headers)
            listed = httpx.get(f"{url}/api/jobs", headers=headers)
        assert NEEDLE not in shown.text, shown.text
        assert NEEDLE not in listed.text
        assert shown.json()["call"].startswith(f"('ann', '{HIDDEN}', '{HIDDEN}', options=")
        assert shown.json()["headers"] == {"pin": HIDDEN, "lang": "de"}
        assert shown.json()["result"]["user"] == "ann"
    finally:
        app.close()
