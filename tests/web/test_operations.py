"""Operations on all jobs of a filter, and requests that are sent twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow, Workflow
from hammerflow.stores import answers as answers_module
from hammerflow.stores.access import Access
from hammerflow.testing import drain
from hammerflow.web.access import Role


def _ended(client: httpx.Client, id_: str) -> dict[str, Any]:
    ends_at = time.monotonic() + 20
    while True:
        found: dict[str, Any] = client.get(f"/api/operations/{id_}").json()
        if found["state"] != "running" or time.monotonic() > ends_at:
            return found
        time.sleep(0.02)


def _declined(app: Hammerflow, count: int) -> None:
    for _ in range(count):
        app.tasks["shop.charge"].delay("4111")
    drain(app)


def test_a_group_of_failures_runs_again_and_is_undone(
    busy: Hammerflow, admin: httpx.Client
) -> None:
    _declined(busy, 3)
    group = admin.get("/api/failures").json()["items"][0]
    body = {"action": "retry", "group": group["key"]}
    dry = admin.post("/api/operations", json={**body, "dry_run": True}).json()
    assert (dry["id"], dry["total"], dry["state"]) == (None, 4, "counted")
    _declined(busy, 1)  # after the count: not meant
    begun = admin.post("/api/operations", json={**body, "before": dry["before"]})
    assert begun.status_code == 202, begun.text
    ended = _ended(admin, begun.json()["id"])
    assert (ended["state"], ended["done"], ended["failed"]) == ("done", 4, 0)
    ready = admin.get("/api/jobs?state=ready&task=shop.charge").json()["items"]
    assert len(ready) == 4
    undone = admin.post(f"/api/operations/{ended['id']}/undo").json()
    assert undone == {"undone": 4, "started": 0}
    assert len(admin.get("/api/jobs?state=failed").json()["items"]) == 5
    assert admin.get("/api/operations").json()["items"][0]["state"] == "undone"


def test_matching_jobs_are_cancelled_and_removed(busy: Hammerflow, admin: httpx.Client) -> None:
    ids = [str(busy.tasks["shop.resize"].delay(n).id) for n in range(5)]
    some = admin.post("/api/operations", json={"action": "cancel", "ids": ids[:2]}).json()
    assert _ended(admin, some["id"])["done"] == 2
    rest = {"action": "cancel", "task": "shop.resize", "state": "ready", "reason": "typo"}
    _ended(admin, admin.post("/api/operations", json=rest).json()["id"])
    assert admin.get("/api/jobs?state=ready&task=shop.resize").json()["items"] == []
    assert admin.get(f"/api/jobs/{ids[4]}").json()["reason"] == "typo"
    purge: dict[str, Any] = {"action": "purge", "state": "cancelled"}
    dry = admin.post("/api/operations", json={**purge, "dry_run": True}).json()
    assert dry["total"] >= 5
    assert _ended(admin, admin.post("/api/operations", json=purge).json()["id"])["done"] >= 5
    assert admin.get("/api/jobs?state=cancelled").json()["items"] == []


def test_an_unclear_operation_is_refused(busy: Hammerflow, admin: httpx.Client) -> None:
    bodies: list[dict[str, Any]] = [
        {"action": "retry"},
        {"action": "retry", "state": "running"},
        {"action": "cancel", "task": "a", "ids": ["0193abcd-0000-7000-8000-000000000001"]},
        {"action": "purge", "error": "ValueError"},
        {"action": "purge", "state": "failed", "whole": True},
        {"action": "delete", "task": "a"},
    ]
    for body in bodies:
        assert admin.post("/api/operations", json=body).status_code == 422, body


def test_an_ended_job_is_deleted_unless_something_needs_it(
    busy: Hammerflow, admin: httpx.Client, as_role: Callable[..., httpx.Client]
) -> None:
    resize = busy.tasks["shop.resize"]
    alone, other = resize.delay(20), resize.delay(21)
    late = Workflow("late").add(resize.s(24).depends_on(other), name="early")
    late.add(resize.s(25).set(delay=3600).depends_on(other), name="late")
    begun = busy.enqueue(late)
    drain(busy)
    live = resize.apply_async((23,), countdown=3600)
    flows = admin.get("/api/workflows?kind=workflow").json()["items"]
    (flow,) = (one["id"] for one in flows if one["name"] == "nightly")
    nodes = [node["id"] for node in admin.get(f"/api/workflows/{flow}").json()["nodes"]]
    album = admin.get("/api/jobs?task=shop.album&state=completed").json()["items"][0]["id"]
    child = admin.get(f"/api/jobs/{album}/children").json()["items"][0]["id"]

    def kept(job_id: object) -> str:
        answer = admin.delete(f"/api/jobs/{job_id}")
        assert answer.status_code == 409, answer.text
        return str(answer.json()["detail"]).partition(" cannot be deleted: ")[2]

    assert as_role(Role.OPERATE).delete(f"/api/jobs/{alone.id}").status_code == 403
    assert admin.delete(f"/api/jobs/{alone.id}").json() == {"deleted": 1}
    assert admin.delete(f"/api/jobs/{alone.id}").status_code == 404
    assert kept(live.id) == "it has not ended, so cancel it first"
    assert kept(other.id).endswith("depends on it and has not completed")
    half = next(
        node["id"] for node in admin.get(f"/api/workflows/{begun.id}").json()["nodes"]
        if node["name"] == "early"
    )  # fmt: skip
    assert kept(f"{half}?whole=true") == "another job of its workflow or spawn tree has not ended"
    for part in (half, nodes[0], child, album):
        assert kept(part) == "it only goes together with all of its workflow or spawn tree"
    assert admin.delete(f"/api/jobs/{nodes[0]}?whole=true").json() == {"deleted": len(nodes)}
    assert admin.get(f"/api/workflows/{flow}").status_code == 404
    ids = [child, album, str(other.id), str(live.id)]
    body = {"action": "purge", "ids": ids, "whole": True}
    assert admin.post("/api/operations", json={**body, "dry_run": True}).json()["total"] == 3
    ended = _ended(admin, admin.post("/api/operations", json=body).json()["id"])
    assert (ended["total"], ended["done"], ended["failed"]) == (3, 3, 1)
    assert [admin.get(f"/api/jobs/{id_}").status_code for id_ in ids] == [404, 404, 200, 200]
    told = [one for one in busy.store.access.page(limit=50)[0] if one.action == "deleteJob"]
    assert (told[-1].target, told[-1].outcome) == (str(alone.id), "done")


def test_a_purge_needs_an_admin(busy: Hammerflow, as_role: Callable[..., httpx.Client]) -> None:
    client = as_role(Role.OPERATE)
    purge = client.post("/api/operations", json={"action": "purge", "state": "failed"})
    assert purge.status_code == 403
    secret = {"action": "cancel", "argument": "4111"}
    assert client.post("/api/operations", json=secret).status_code == 403


def test_a_request_that_is_sent_again_is_not_done_again(
    busy: Hammerflow, admin: httpx.Client
) -> None:
    call, key = {"task": "shop.resize", "args": [77]}, {"idempotency-key": "order-77"}
    first, again = (admin.post("/api/jobs", json=call, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    other = admin.post("/api/jobs", json={**call, "args": [78]}, headers=key)
    assert other.status_code == 422
    assert admin.post("/api/jobs", json=call).json()["id"] != first.json()["id"]
    elsewhere = admin.post("/api/queues/default/pause", json={}, headers=key)
    assert elsewhere.status_code == 200


def test_a_refused_request_may_be_sent_again(busy: Hammerflow, admin: httpx.Client) -> None:
    call, key = {"task": "shop.later", "args": [1]}, {"idempotency-key": "1"}
    assert admin.post("/api/jobs", json=call, headers=key).status_code == 404
    busy.task(name="shop.later")(lambda image: image)
    assert admin.post("/api/jobs", json=call, headers=key).status_code == 201


def test_an_answer_with_a_secret_is_not_kept(busy: Hammerflow, admin: httpx.Client) -> None:
    key = {"idempotency-key": "1"}
    assert admin.post("/api/tokens", json={"name": "ci"}, headers=key).status_code == 422


def test_a_request_under_way_is_told_until_it_is_lost(
    busy: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = busy.store.answers
    assert answers.begin("h", "body") is None
    kept = answers.begin("h", "body")
    assert (kept and kept.status) is None
    assert kept is not None
    monkeypatch.setattr(answers_module, "_LOST", -1.0)
    assert answers.begin("h", "body") is None


def test_kept_answers_are_pruned(busy: Hammerflow) -> None:
    access: Access = busy.store.access
    busy.store.answers.begin("h", "body")
    busy.store.answers.end("h", 201, "{}")
    access.prune(busy.store.clock())
    kept = busy.store.answers.begin("h", "body")
    assert (kept and kept.status) == 201
