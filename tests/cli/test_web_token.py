"""``hammerflow web token``: a token is printed once, listed without itself, and revoked."""

from __future__ import annotations

import json

from hammerflow import Hammerflow
from hammerflow.stores.access import token_hash
from tests.cli.conftest import Run


def test_a_token_is_made_listed_and_revoked(shop: Hammerflow, run: Run) -> None:
    made = run("web", "token", "create", "grafana", "--role", "operate", "--expires-in", "7d")
    token = made.out.strip()
    assert token.startswith("hf_")
    found = shop.store.access.find(token_hash(token))
    assert found is not None
    assert (found.name, found.role, found.sees_values) == ("grafana", 2, False)
    listed = run("web", "token", "list")
    assert token not in listed.out
    assert "grafana" in listed.out
    [plain] = json.loads(run("--json", "web", "token", "list").out)
    assert (plain["role"], plain["used_at"] is not None) == ("operate", True)
    assert run("web", "token", "revoke", plain["id"]).code == 0
    assert shop.store.access.find(token_hash(token)) is None
    again = run("--json", "web", "token", "revoke", plain["id"])
    assert json.loads(again.out)["revoked"] is False
    assert run("web", "token", "revoke", "ffff").code == 1


def test_a_token_may_hold_for_good(shop: Hammerflow, run: Run) -> None:
    run("web", "token", "create", "ci", "--sees-values", "--no-expiry")
    [row] = shop.store.access.tokens()
    assert (row.expires_at, row.sees_values, row.role) == (None, True, 1)
