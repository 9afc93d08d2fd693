"""First reads: what a page of the dashboard is told in its HTML, and who is told it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow
from hammerflow.web import first_reads
from hammerflow.web.access import Role
from tests.support.waiting import until

#: Of each page, how many reads it has besides those of its frame.
_PAGES = {
    "/": 3, "/jobs?state=failed": 1, "/jobs/{job_id}": 1, "/failures": 1, "/tasks": 2,
    "/tasks?hours=1": 2, "/queues": 2, "/queues/{queue}": 3, "/workers": 1,
    "/workflows?kind=batch&hours=1": 2, "/workflows/{workflow_id}": 1, "/spawns?queue=default": 3,
    "/spawns/{job_id}": 1, "/schedules?show=plan": 1, "/limits": 1, "/events": 1, "/sinks": 1,
    "/webhooks": 1, "/alerts": 3, "/archive": 3, "/settings": 1, "/audit": 1, "/reference": 0,
    "/no-such-page": 0, "/jobs/a/b": 0,
}  # fmt: skip
_FRAME = ["/api/session", "/api/counts"]
_NASTY = '</script><script>alert(1)</script><!--<script>&amp;"\u2028'


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(first_reads, "_PATIENCE", 20.0)


class _Blocks(HTMLParser):
    """The scripts of a page, as a browser takes it apart: (attributes, text)."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self.scripts: list[tuple[dict[str, Any], str]] = []
        self._is_script = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_script = tag == "script"
        if self._is_script:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        if self._is_script:
            attributes, text = self.scripts.pop()
            self.scripts.append((attributes, text + data))


def _told(page: httpx.Response) -> list[Any]:
    """What the block of a page says; nothing without one."""
    assert page.headers["cache-control"] == "no-store"
    assert page.text.endswith("</html>\n")
    scripts = _Blocks(page.text).scripts
    assert [("src" in one) for one, _ in scripts] == [True, False][: len(scripts)]
    for attributes, text in scripts[1:]:
        assert attributes == {"type": "application/json", "id": "first"}
        return list(json.loads(text))
    return []


def test_each_page_is_told_what_the_api_answers(
    admin: httpx.Client, places: Callable[[str], str]
) -> None:
    for template, number in _PAGES.items():
        path = places(template)
        told = _told(admin.get(path))
        expected = number if path != "/jobs/a/b" else 0
        assert [one[0] for one in told[:2]] == _FRAME, path
        assert len(told) == 2 + expected, (path, [one[0] for one in told])
        for where, query, tag, data in told:
            answer = admin.get(where, params=query)
            assert answer.status_code == 200, answer.text
            assert data.keys() == answer.json().keys()
            if where in ("/api/session", "/api/limits"):  # nothing in them is a time
                assert (tag, data) == (answer.headers["etag"], answer.json())
    until("what was old is read again", lambda: not _readers())


def _readers() -> list[threading.Thread]:
    """Threads that read behind an answer, with a connection that closes with the app only then."""
    return [one for one in threading.enumerate() if one.name.startswith("read ")]


def test_a_page_tells_nobody_more_than_the_api(
    busy: Hammerflow, as_role: Callable[..., httpx.Client]
) -> None:
    nobody, reader = as_role(None), as_role(Role.READ)
    assert nobody.get("/jobs").status_code == 200
    for path in ("/", "/jobs", "/settings"):
        assert "first" not in nobody.get(path).text
    assert [one[0] for one in _told(reader.get("/settings"))] == _FRAME
    assert [one[0] for one in _told(reader.get("/audit"))] == _FRAME
    (failures,) = (one[3] for one in _told(reader.get("/failures")) if one[0] == "/api/failures")
    assert (
        failures["items"][0]["message"] == reader.get("/api/failures").json()["items"][0]["message"]
    )
    assert "4 digits" not in json.dumps(failures)


def test_names_cannot_end_the_block(busy: Hammerflow, admin: httpx.Client) -> None:
    busy.store.names.register(queues=[_NASTY])
    page = admin.get("/queues")
    named = [one[3]["items"] for one in _told(page) if one[0] == "/api/queues"]
    assert _NASTY in [queue["name"] for queue in named[0]]
    assert "<!--" not in page.text
    assert page.text.count("</script>") == 2


def test_a_page_does_not_wait_for_what_is_slow(
    busy: Hammerflow, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes whole, and asks for the rest itself."""
    monkeypatch.setattr(first_reads, "_PATIENCE", 0.0)
    assert len(_told(admin.get("/alerts"))) < 5
    assert admin.head("/alerts").status_code == 200


def test_what_cannot_be_read_is_left_to_the_page(busy: Hammerflow, admin: httpx.Client) -> None:
    told = _told(admin.get("/jobs?state=none"))
    assert [one[0] for one in told] == _FRAME
    assert admin.get("/api/jobs?state=none").status_code == 422
    missing = _told(admin.get("/workflows/01234567-89ab-7def-8123-456789abcdef"))
    assert [one[0] for one in missing] == _FRAME


def test_queues_by_how_long_they_wait(busy: Hammerflow, admin: httpx.Client) -> None:
    busy.store.names.register(queues=["empty"])
    busy.task(name="shop.late", queue="zebra")(len).delay("x")
    found = admin.get("/api/queues?sort=oldest").json()["items"]
    assert [one["name"] for one in found] == ["default", "zebra", "empty"]
    first = admin.get("/api/queues?sort=oldest&limit=1").json()["items"]
    assert [one["name"] for one in first] == ["default"]
