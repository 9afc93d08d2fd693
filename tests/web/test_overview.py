"""The overview and the counts of the navigation: what they say, and how little they read."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hammerflow import Hammerflow
from hammerflow.admin.overview import overview_of
from hammerflow.admin.queues import EXPLAINED, figures_of, healths_of
from hammerflow.errors import StoreUnavailable
from hammerflow.ids import first_id_at, name_id, new_id
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.outcome import Retrying
from hammerflow.stores.database import Database
from hammerflow.stores.statistics import queue_stats
from hammerflow.web.access import Principal
from hammerflow.web.recent import Recent
from hammerflow.web.routes import overview
from hammerflow.web.warmth import Warmth
from tests.stores.kit import BAD, Desk, desk_at
from tests.support.waiting import until
from tests.web.conftest import TOKEN, api, served


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


def _late(desk: Desk, seconds: float, queue: str = "q") -> NewJob:
    """A job as if enqueued that long ago."""
    id_ = first_id_at(time.time() - seconds)[:6] + new_id()[6:]
    return desk.job(id=id_, queue=queue)


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each statement was run."""
    found: Counter[str] = Counter()
    for name in ("rows", "first", "column", "run"):
        real = getattr(Database, name)

        def counted(self: Database, block: str, real: Any = real, **values: Any) -> Any:
            found[block] += 1
            return real(self, block, **values)

        monkeypatch.setattr(Database, name, counted)
    return found


def test_late_queues_are_named_the_worst_first(desk: Desk) -> None:
    ages = {"mail": 250.0, "fresh": 5.0, "old": 2000.0, "rest": 500.0}
    desk.put(*(_late(desk, seconds, queue) for queue, seconds in ages.items()))
    desk.put(*(desk.job(queue=queue) for queue in ages))
    desk.store.queues.pause("rest", by="ann", reason="")
    info = {"is_open": False, "queues": ["mail"]}
    desk.store.workers.register(7, host="h", pid=1, info=info, tasks=[], queues=["mail"])
    found = overview_of(desk.store, lease=30.0).problems
    late = [one for one in found if one.code == "queue_late"]
    assert [(one.severity, one.subject) for one in late] == [
        ("critical", "old"), ("warning", "mail")
    ]  # fmt: skip
    assert re.fullmatch(r"is 33 min 2\d s behind, and unserved", late[0].says)
    assert re.fullmatch(r"is 4 min 1\d s behind, served by 1 of \d live workers?", late[1].says)
    assert found[0] == late[0]


def test_queues_that_are_late_for_want_of_any_worker_are_told_together(desk: Desk) -> None:
    desk.put(_late(desk, 250.0, "mail"), _late(desk, 2000.0, "old"))
    found = overview_of(desk.store, lease=30.0).problems
    assert [(one.code, one.severity) for one in found] == [
        ("no_worker", "critical"), ("queues_late", "warning")
    ]  # fmt: skip
    assert found[1].says.startswith("2 queues are behind, old for longest: 33 min 2")


def test_the_health_of_many_queues_explains_those_that_wait_for_longest(
    desk: Desk, queries: Counter[str]
) -> None:
    """Each of them takes some queries: of a thousand queues they would be thousands."""
    desk.put(*(desk.job(queue=f"q{n}") for n in range(EXPLAINED + 5)))
    older = desk.shift("created_at", 90)
    desk.sql(f"UPDATE {{jobs}} SET created_at = {older} WHERE queue_id <> {name_id('q0')}")
    desk.store.workers.register(7, host="h", pid=1, info={}, tasks=[], queues=[])
    found = healths_of(desk.store, figures_of(desk.store, lease=30.0), lease=30.0)
    assert Counter(one.status for one in found) == {"fail": EXPLAINED, "warn": 4, "ok": 1}
    assert found[0] == ("q0", "ok", "its jobs are run", "")
    assert queries["ready_page"] == EXPLAINED


def test_depths_are_counted_up_to_a_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_stats, "_LEAST", 1)
    numbers = {"a": 3, "b": 5, "c": 1, "d": 9, "e": 4}
    desk.put(*(desk.job(queue=name) for name, count in numbers.items() for _ in range(count)))
    found = desk.store.queue_stats.depths(bound=4)
    assert {one.name: one.ready for one in found} == {
        name: min(count, 4) for name, count in numbers.items()
    }
    assert all(("ready" in one.at_least) is (one.ready == 4) for one in found)


def test_what_is_wrong_is_said_of_one_job_and_of_several(desk: Desk) -> None:
    for number in ("1 job is", "2 jobs are"):
        desk.put(desk.job())
        first, *_ = overview_of(desk.store, lease=30.0).problems
        assert first.says == f"no worker is alive, and {number} ready"


def test_a_job_is_late_since_it_became_ready(desk: Desk) -> None:
    """Not since it was enqueued: a retry that has come due just now is not late."""
    desk.put(_late(desk, 900.0))
    (age,) = desk.store.queue_stats.ages()
    assert age.seconds > 890
    (job,) = desk.claim()
    desk.settle((job, Retrying(0, BAD)))
    (age,) = desk.store.queue_stats.ages()
    assert age.seconds < 60


def test_counts_are_shared_and_right_after_a_change(
    busy: Hammerflow, admin: httpx.Client, queries: Counter[str]
) -> None:
    before = admin.get("/api/counts").json()
    assert (before["live"]["ready"], before["failures"], before["workers"]) == (2, 1, 0)
    for _ in range(20):
        admin.get("/api/counts").raise_for_status()
    assert queries["state_counts"] <= 3, queries
    body = {"cron": "@daily", "task": "shop.resize", "name": "nightly", "args": [1]}
    admin.post("/api/schedules", json=body, headers={"x-hammerflow": "1"}).raise_for_status()
    assert admin.get("/api/counts").json()["schedules"] == before["schedules"] + 1


def test_an_overview_takes_six_queries(
    busy: Hammerflow, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of several, the set-up of connections included, by a process that knows no code."""
    monkeypatch.setattr(overview, "_AGE", 0.0)
    monkeypatch.setattr(overview, "_LONG_AGE", 0.0)
    app = Hammerflow("web", database=migrated_url)
    site = api(app, Principal("ann"))
    site.state.warm()
    ran = list[str]()
    with app.store.database.transaction() as tx:
        kind: Any = type(tx)
    for name in ("rows", "run", "many"):
        real = getattr(kind, name)

        def counted(self: Any, block: str, *given: Any, real: Any = real, **values: Any) -> Any:
            ran.append(block)
            return real(self, block, *given, **values)

        monkeypatch.setattr(kind, name, counted)
    with served(site) as url, httpx.Client(base_url=url, headers={"authorization": TOKEN}) as web:
        for _ in range(5):
            ran.clear()
            assert web.get("/api/overview").raise_for_status().json()["failures"]
            until("what is old was read again", lambda: "dead_failed" in ran)
            until("its thread has ended", lambda: not _threads("read last hour"))
            assert len(ran) <= 6, ran
    app.close()


def _threads(name: str) -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == name]


def test_the_first_reader_after_a_pause_does_not_wait() -> None:
    recent, asked, threads = Recent(), list[int](), set[threading.Thread]()
    answered = threading.Event()

    def read() -> int:
        threads.add(threading.current_thread())
        asked.append(1)
        if len(asked) == 2:
            assert answered.wait(20)
        return len(asked)

    def get(seconds: float = 0.0) -> int:
        return recent.get("ages", seconds, read, stale=60.0)

    assert get() == 1
    assert [get() for _ in range(5)] == [1] * 5  # while another thread reads
    answered.set()
    assert recent.get("ages", 0.0, lambda: 9) == 9  # waits for that thread
    until("the other thread has ended", lambda: not recent._behind)
    assert threads - {threading.current_thread()}
    recent.forget()
    assert get() == len(asked)


def test_what_cannot_be_read_again_is_read_by_who_asks_next() -> None:
    recent = Recent()
    assert recent.get("ages", 0.0, lambda: 1, stale=60.0) == 1

    def fail() -> int:
        raise StoreUnavailable("gone")

    assert recent.get("ages", 0.0, fail, stale=60.0) == 1
    until("the other thread has ended", lambda: not recent._behind)
    with pytest.raises(StoreUnavailable):
        recent.get("ages", 0.0, fail)


def test_a_server_has_read_the_first_page_before_it_is_asked(
    busy: Hammerflow, queries: Counter[str]
) -> None:
    site = api(busy, Principal("ann"))
    with Warmth(site.state.warm), served(site) as url:
        read = queries["queue_heads"], queries["dead_failed"]
        assert read == (1, 1)
        headers = {"authorization": TOKEN}
        found = httpx.get(f"{url}/api/overview", headers=headers).raise_for_status()
        assert found.json()["failures"]
        assert read == (queries["queue_heads"], queries["dead_failed"])
