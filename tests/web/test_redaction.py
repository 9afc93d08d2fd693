"""What nobody is shown: values by their names and types, at any depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow
from hammerflow.admin.redaction import Redaction
from hammerflow.options.patterns import HIDDEN_NAMES
from hammerflow.options.variables import HIDDEN
from hammerflow.testing import drain
from hammerflow.web.access import Principal, Role
from tests.web.conftest import TOKEN, api, served

NEEDLE = "hunter2"


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
