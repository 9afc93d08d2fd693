"""Tokens and the audit, over real HTTP on the three databases."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from hammerflow import Hammerflow
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from hammerflow.web.tokens import TokenCheck, TokenLogin
from tests.web.conftest import served


@pytest.fixture
def url(busy: Hammerflow) -> Iterator[str]:
    """A server that knows tokens only."""

    async def nobody(request: Request) -> Principal | None:
        return None

    login = TokenLogin(TokenCheck(busy.store.access), nobody)
    with served(create_application(busy, authorize=login.authorize, title="shop")) as address:
        yield address


def _token(app: Hammerflow, role: Role, **options: Any) -> tuple[str, httpx.Headers]:
    values = {"sees_values": False, "expires_in": None, "by": "test", **options}
    id_, token = app.store.access.create("ci", role, **values)
    return str(uuid.UUID(bytes=id_)), httpx.Headers({"authorization": f"Bearer {token}"})


def test_a_token_gives_its_role_until_it_is_revoked(url: str, busy: Hammerflow) -> None:
    _, admin = _token(busy, Role.ADMIN)
    made = httpx.post(
        f"{url}/api/tokens", json={"name": "grafana", "role": "read"}, headers=admin
    ).json()
    reader = {"authorization": f"Bearer {made['token']}"}
    assert httpx.get(f"{url}/api/jobs", headers=reader).status_code == 200
    refused = httpx.post(f"{url}/api/queues/default/pause", json={}, headers=reader)
    assert refused.status_code == 403
    assert httpx.get(f"{url}/api/tokens", headers=reader).status_code == 403
    listed = httpx.get(f"{url}/api/tokens", headers=admin).json()["items"][1]
    assert (listed["name"], listed["role"], listed["created_by"]) == ("grafana", "read", "token ci")
    assert listed["used_at"] is not None
    assert made["token"] not in str(listed)
    httpx.delete(f"{url}/api/tokens/{made['id']}", headers=admin).raise_for_status()
    assert httpx.get(f"{url}/api/jobs", headers=reader).status_code == 401


def test_nobody_gives_others_a_sight_that_they_have_not(url: str, busy: Hammerflow) -> None:
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/tokens", {"name": "x", "sees_values": True}),
        ("PUT", "/api/webhooks/x", {"url": "https://x.example", "include": ["args"]}),
        ("PUT", "/api/sinks/y", {"kind": "none", "config": {"include": ["result"]}}),
    ]
    for sees_values, statuses in ((False, [403, 403, 403]), (True, [201, 200, 200])):
        _, admin = _token(busy, Role.ADMIN, sees_values=sees_values)
        found = [
            httpx.request(method, f"{url}{path}", json=body, headers=admin).status_code
            for method, path, body in asked
        ]
        assert found == statuses


def test_nobody_calls_a_task_of_hammerflow_s_own(url: str, busy: Hammerflow) -> None:
    """An operator could else have a delivery sign a body of their choice."""
    _, operator = _token(busy, Role.OPERATE)
    call = {"task": "hammerflow.deliver", "args": ["hook", 1, 1, "m", {}, "x"]}
    bodies: dict[str, dict[str, Any]] = {
        "jobs": call, "batches": {"calls": [call]},
        "schedules": {**call, "name": "x", "every": "5s"},
        "workflows": {"definition": {"name": "x", "jobs": [{"name": "a", **call}]}},
    }  # fmt: skip
    for noun, body in bodies.items():
        answer = httpx.post(f"{url}/api/{noun}", json=body, headers=operator)
        assert answer.status_code in (404, 422), noun
        assert "hammerflow.deliver" in answer.json()["detail"], noun
    sent = busy.enqueue(busy.signature(call["task"], call["args"]))
    edit = httpx.patch(f"{url}/api/jobs/{sent.id}", json={"args": []}, headers=operator)
    assert edit.status_code == 404


def test_an_expired_token_is_none(url: str, busy: Hammerflow) -> None:
    _, expired = _token(busy, Role.ADMIN, expires_in=-1.0)
    assert httpx.get(f"{url}/api/jobs", headers=expired).status_code == 401


def test_guesses_are_slowed(url: str) -> None:
    for number in range(10):
        guess = {"authorization": f"Bearer hf_{number}"}
        assert httpx.get(f"{url}/api/jobs", headers=guess).status_code == 401
    assert httpx.get(f"{url}/api/jobs", headers=guess).status_code == 429


def test_every_change_is_in_the_audit(url: str, busy: Hammerflow) -> None:
    _, admin = _token(busy, Role.ADMIN)
    job = httpx.get(f"{url}/api/jobs?state=scheduled", headers=admin).json()["items"][0]["id"]
    httpx.post(f"{url}/api/jobs/{job}/cancel", json={"reason": "typo"}, headers=admin)
    httpx.post(f"{url}/api/queues/mial/pause", json={"reason": "x"}, headers=admin)
    call = {"task": "shop.resize", "args": [4111]}
    httpx.post(f"{url}/api/jobs", json=call, headers=admin)
    entries = httpx.get(f"{url}/api/audit", headers=admin).json()["items"]
    told = [(one["who"], one["action"], one["target"], one["details"]) for one in entries]
    assert told[1:] == [
        ("token ci", "pauseQueue", "mial", {"reason": "x"}),
        ("token ci", "cancelJob", job, {"reason": "typo", "tree": False}),
    ]
    assert told[0][:2] == ("token ci", "enqueueJob")
    assert not re.search(r"\b4111\b", str(entries))
    outcomes = [one["outcome"] for one in entries]
    assert outcomes[2] == "done"
    assert outcomes[1] == "404 there is no queue 'mial': see GET /api/queues"
    assert {one["address"] for one in entries} == {"127.0.0.1"}
    page = httpx.get(f"{url}/api/audit?limit=2", headers=admin).json()
    rest = httpx.get(f"{url}/api/audit?before={page['next']}", headers=admin).json()
    assert [*page["items"], *rest["items"]] == entries


def test_old_entries_are_pruned(busy: Hammerflow) -> None:
    access = busy.store.access
    access.begin("ann", "", "pauseQueue", "mail", {})
    now = busy.store.clock()
    assert access.prune(now) == 0
    assert access.prune(now + 366 * 86_400) == 1
