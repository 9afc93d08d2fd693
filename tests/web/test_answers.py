"""What the routes answer: the same as the commands, over real HTTP."""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow
from hammerflow.web.access import Role
from hammerflow.web.routes import ROUTES

GUIDE = Path(__file__).with_name("spawn_manager.mjs")


def _jobs(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/jobs", params=query).json()["items"]
    return found


def test_every_view_of_a_busy_shop_can_be_read(
    admin: httpx.Client, places: Callable[[str], str]
) -> None:
    for route in ROUTES:
        if not (route.is_change or route.is_stream or "archived_id" in route.path):
            path = places(route.path)
            answer = admin.get(path)
            assert answer.status_code == 200, (route.name, answer.text)
            again = admin.get(path, headers={"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304 or again.json() != answer.json(), route.name


def test_pages_of_jobs_join_without_a_gap(busy: Hammerflow, admin: httpx.Client) -> None:
    whole = [job["id"] for job in _jobs(admin, limit=500)]
    found, before = [], None
    while True:
        page = admin.get(
            "/api/jobs", params={"limit": 2, **({"before": before} if before else {})}
        ).json()
        found += [job["id"] for job in page["items"]]
        before = page["next"]
        if before is None:
            break
    assert found == whole
    assert len(found) == len(busy.jobs(limit=100))


def test_a_job_says_why_it_does_not_run(busy: Hammerflow, admin: httpx.Client) -> None:
    job = _jobs(admin, state="scheduled")[0]
    shown = admin.get(f"/api/jobs/{job['id'][:30]}").json()
    assert shown["obstacles"][0]["code"] == "due_later"
    assert shown["call"] == "(8)"


def test_arguments_are_hidden_from_who_may_not_see_them(
    busy: Hammerflow, as_role: Callable[..., httpx.Client]
) -> None:
    client = as_role(Role.ADMIN)
    failed = client.get("/api/jobs", params={"state": "failed"}).json()["items"][0]["id"]
    shown = client.get(f"/api/jobs/{failed}").json()
    assert shown["values_hidden"]
    assert (shown["call"], shown["args"], shown["result_text"]) == (None, None, None)
    assert not re.search(r"\b4111\b", json.dumps(shown))  # ids may have these digits, too
    refused = client.get("/api/jobs", params={"argument": "4111"})
    assert refused.status_code == 403
    assert as_role(Role.READ, sees_values=True).get(f"/api/jobs/{failed}").json()["args"] == [
        "4111"
    ]


def test_a_call_is_checked_and_enqueued_once(busy: Hammerflow, admin: httpx.Client) -> None:
    call = {"task": "shop.resize", "args": [12345678901234567890123], "delay": 60}
    key = "0193abcd-0000-7000-8000-000000000001"
    answers = [admin.post("/api/jobs", json={**call, "job_id": key}).json() for _ in range(2)]
    assert [(one["id"], one["is_new"]) for one in answers] == [(key, True), (key, False)]
    assert admin.get(f"/api/jobs/{key}").json()["call"] == "(12345678901234567890123)"
    wrong = admin.post("/api/jobs", json={"task": "shop.resize", "args": [1, 2]})
    assert wrong.status_code == 422
    assert "takes 1 positional argument but 2 were given" in wrong.json()["detail"]
    unknown = admin.post("/api/jobs", json={"task": "shop.resise"})
    assert unknown.status_code == 404
    assert "shop.resize" in unknown.json()["detail"]


def test_jobs_are_cancelled_and_run_again(busy: Hammerflow, admin: httpx.Client) -> None:
    job = _jobs(admin, state="scheduled")[0]["id"]
    assert admin.post(f"/api/jobs/{job}/cancel", json={"reason": "typo"}).json() == {
        "id": job, "state": "cancelled",
    }  # fmt: skip
    assert admin.get(f"/api/jobs/{job}").json()["reason"] == "typo"
    assert admin.post(f"/api/jobs/{job}/retry").json() == {"id": job, "state": "ready"}
    again = admin.post(f"/api/jobs/{job}/retry")
    assert (again.status_code, again.json()["title"]) == (409, "Conflict")


def test_an_answer_is_not_repeated_for_a_namesake_who_sees_less(
    busy: Hammerflow, as_role: Callable[..., httpx.Client]
) -> None:
    headers = {"idempotency-key": "k"}
    for sees_values in (True, False):
        client = as_role(Role.OPERATE, sees_values=sees_values)
        for is_again in (False, True):
            answer = client.post("/api/queues/default/resume", headers=headers)
            assert ("idempotent-replayed" in answer.headers) is is_again


def test_a_pause_names_who_and_why(busy: Hammerflow, admin: httpx.Client) -> None:
    admin.post("/api/queues/default/pause", json={"reason": "upgrade"})
    queue = admin.get("/api/queues/default").json()
    assert (queue["paused_by"], queue["reason"]) == ("ann", "upgrade")
    health = admin.get("/api/queue-health").json()["items"][0]
    assert health["status"] == "fail"
    assert admin.get("/api/queue-health?queue=default").json()["items"] == [health]
    assert admin.get("/api/queue-health?queue=nope").json()["items"] == []
    admin.post("/api/queues/default/resume")
    assert admin.get("/api/queues/default").json()["paused_at"] is None
    assert admin.post("/api/queues/nope/pause", json={}).status_code == 404


def test_a_tree_is_drawn_in_each_form(busy: Hammerflow, admin: httpx.Client) -> None:
    album = _jobs(admin, task="shop.album", state="completed")[0]["id"]
    forms = {
        form: admin.get(f"/api/jobs/{album}/spawn-tree", params={"format": form})
        for form in ("json", "text", "mermaid", "dot")
    }
    assert len(forms["json"].json()["children"]) == 3
    assert forms["text"].headers["content-type"].startswith("text/plain")
    assert forms["mermaid"].text.startswith("flowchart")
    assert forms["dot"].text.startswith("digraph")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_guide_s_client_works_as_it_is_written(
    busy: Hammerflow, admin: httpx.Client, tmp_path: Path
) -> None:
    """The JavaScript example of the spawn guide; only the token is added to its requests."""
    album = _jobs(admin, task="shop.album", state="completed")[0]["id"]
    given = [str(admin.base_url).rstrip("/"), album, admin.headers["authorization"]]
    ran = subprocess.run(["node", str(GUIDE), *given], capture_output=True, text=True, check=True)
    tree, stats, operations = map(json.loads, ran.stdout.splitlines())
    assert [child["task"] for child in tree["children"]] == 3 * ["shop.resize"]
    assert stats["children"] == 3
    assert operations["items"][0]["parent_id"] == album


def test_a_page_names_the_modules_that_it_needs(admin: httpx.Client) -> None:
    pages = {"/": "overview", "/jobs": "jobs", "/jobs/01a2": "job", "/queues/a/b": "queue"}
    for path, module in pages.items():
        named = re.findall(r'rel="modulepreload" href="([^"]+)"', admin.get(path).text)
        assert any(name.endswith(f"/pages/{module}.js") for name in named)
        for name in named:
            source = admin.get(name).text
            for other in re.findall(r'^(?:import|export) [^"]*"(\.[^"]+)";', source, re.MULTILINE):
                assert posixpath.normpath(posixpath.join(posixpath.dirname(name), other)) in named
