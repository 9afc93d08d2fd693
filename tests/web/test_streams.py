"""Server-sent events: exact over breaks, bounded, and one poller for all clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.log_lines import KeptLine, LineBuffer
from hammerflow.jobs.outcome import Completed, Released
from hammerflow.stores.rows import JobLogRow
from hammerflow.web import held_messages, streams
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from tests.web.conftest import served


@pytest.fixture
def migrated_url(sqlite_url: str) -> str:
    """One database is enough here: what differs between them is tested below the web."""
    app = Hammerflow("shop", database=sqlite_url)
    app.migrate()
    app.close()
    return sqlite_url


@pytest.fixture
def logged(busy: Hammerflow) -> Hammerflow:
    """The shop with a log of events."""
    busy.store.sinks.put("log", "none", {}, EventFilter.of(kinds=["*"]), by="test")
    return busy


def _write(app: Hammerflow, count: int) -> None:
    """As many events of the kind queue.paused or queue.resumed."""
    for number in range(count):
        (app.resume if number % 2 else app.pause)(queue="default")
    app.store.events.relay()


def _messages(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    message: dict[str, Any] = {}
    for line in answer.iter_lines():
        if not line:
            if "data" in message:
                yield message
            message = {}
            continue
        name, _, value = line.partition(": ")
        message[name] = json.loads(value) if name == "data" else value


def _take(client: httpx.Client, count: int, *, after: int | None = None, **query: Any) -> Any:
    """The next messages of a stream of its own, without those that only move it on."""
    headers = {} if after is None else {"last-event-id": str(after)}
    found: list[dict[str, Any]] = []
    with client.stream("GET", "/api/events/stream", params=query, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        for message in _messages(answer):
            if message["event"] != "position":
                found.append(message)
            if len(found) == count:
                return found
    return found


def test_a_stream_goes_on_exactly_where_it_broke_off(
    logged: Hammerflow, admin: httpx.Client
) -> None:
    _write(logged, 7)
    head = logged.store.events.head()
    first = _take(admin, 3, after=0)
    rest = _take(admin, head - 3, after=int(first[-1]["id"]))
    assert [int(one["id"]) for one in [*first, *rest]] == [*range(1, head + 1)]
    page = admin.get("/api/events?after=0&limit=500").json()["items"]
    assert [one["data"] for one in [*first, *rest]] == page


def test_what_comes_while_a_client_reads_reaches_it(
    logged: Hammerflow, admin: httpx.Client
) -> None:
    _write(logged, 2)
    writer = threading.Timer(0.2, _write, (logged, 4))
    writer.start()
    found = _take(admin, 6, after=0, kinds="queue.*")
    writer.join()
    assert [one["event"] for one in found] == 3 * ["queue.paused", "queue.resumed"]
    ids = [int(one["id"]) for one in found]
    assert ids == sorted(set(ids))


def test_a_wrong_position_is_refused(logged: Hammerflow, admin: httpx.Client) -> None:
    wrong = admin.get("/api/events/stream", headers={"last-event-id": "x"})
    assert wrong.status_code == 422


def test_a_slow_client_is_cut_off_and_resumes(
    logged: Hammerflow, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_messages, "_HELD", 5)
    writer = threading.Timer(0.2, _write, (logged, 40))
    writer.start()
    found = _take(admin, 99, after=0)
    writer.join()
    got = [int(one["id"]) for one in found]
    assert len(got) < 40
    monkeypatch.setattr(held_messages, "_HELD", 1_000)
    head = logged.store.events.head()
    got += [int(one["id"]) for one in _take(admin, head - got[-1], after=got[-1])]
    assert got == [*range(1, head + 1)]


def test_nothing_follows_the_gap_of_a_slow_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_messages, "_HELD", 2)

    async def run() -> list[bytes]:
        stream = held_messages.Stream()
        for message in (b"1", b"2", b"3"):
            stream.put(message)
        messages = stream.messages()
        first = await anext(messages)
        stream.put(b"4")  # there is room, but 3 was left out
        return [first, *[message async for message in messages]]

    assert [one[:1] for one in asyncio.run(run())] == [b"1", b"2", b":"]


def test_changes_are_hinted_at_without_a_log(busy: Hammerflow, admin: httpx.Client) -> None:
    with admin.stream("GET", "/api/changes/stream") as answer:
        hints = (one["data"] for one in _messages(answer))
        assert next(hints)["topics"] == ["all"]
        busy.pause(queue="default")
        changed = next(hints)
        assert changed["topics"] == ["pauses"]
        assert changed["pauses"]["paused"] == 1


def test_pages_are_told_that_the_database_is_gone_and_back(
    busy: Hammerflow, admin: httpx.Client, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(streams, "HINT", 0.02)
    file = Path(busy.settings.database.removeprefix("sqlite:///"))
    away = file.with_name("away")
    with admin.stream("GET", "/api/changes/stream") as answer:
        hints = (one["data"]["topics"] for one in _messages(answer))
        assert next(hints) == ["all"]
        file.rename(away)
        assert next(hints) == ["all"]
        for _ in range(9):
            assert admin.get("/api/queues").status_code == 503
        away.rename(file)
        assert next(hints) == ["all"]
    assert sum("streams wait" in one.message for one in caplog.records) == 1


def test_a_revoked_client_is_shown_out(
    logged: Hammerflow, as_role: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_CHECKED", 0.0)
    client = as_role(Role.READ)

    async def refuse(*args: Any) -> bool:
        return False

    monkeypatch.setattr(streams._StreamResponse, "_is_allowed", refuse)
    _write(logged, 3)
    assert _take(client, 99, after=0) == []


def test_a_stream_ends_with_the_sight_of_values(
    logged: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_CHECKED", 0.0)
    sights = iter([True])

    async def authorize(request: Request) -> Principal:
        return Principal("ann", Role.READ, next(sights, False))

    _write(logged, 3)
    app = create_application(logged, authorize=authorize, title="shop")
    with served(app) as url, httpx.Client(base_url=url) as client:
        assert _take(client, 99, after=0) == []


def test_streams_leave_room_for_others(logged: Hammerflow) -> None:
    async def authorize(request: Request) -> Principal:
        return Principal("ann")

    app = create_application(logged, authorize=authorize, title="shop", most_streams=1)
    with (
        served(app) as url, httpx.Client(base_url=url, timeout=30) as client,
        client.stream("GET", "/api/changes/stream") as first,
    ):  # fmt: skip
        lines = first.iter_lines()  # let go of, it would close the stream
        assert next(lines)
        assert client.get("/api/events/stream").status_code == 503
        assert client.get("/api/session").status_code == 200


def test_one_person_cannot_hold_all_streams(sqlite_url: str) -> None:
    shop = Hammerflow("shop", database=sqlite_url, streams_per_user=2)
    shop.migrate()

    async def authorize(request: Request) -> Principal:
        return Principal(request.headers["x-name"])

    def opened(name: str, path: str = "/api/changes/stream") -> httpx.Response:
        request = client.build_request("GET", path, headers={"x-name": name})
        return stack.enter_context(contextlib.closing(client.send(request, stream=True)))

    app = create_application(shop, authorize=authorize, title="shop")
    with (
        contextlib.closing(shop), served(app) as url,
        httpx.Client(base_url=url, timeout=30) as client, contextlib.ExitStack() as stack,
    ):  # fmt: skip
        first, _ = opened("ann"), opened("ann", "/api/events/stream")
        refused = opened("ann")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "15")
        assert b"ann has 2 streams open already" in refused.read()
        assert opened("bob").status_code == 200
        assert client.get("/api/session", headers={"x-name": "ann"}).status_code == 200
        first.close()
        until = time.monotonic() + 20
        while opened("ann").status_code != 200:  # the server soon learns that the client has left
            assert time.monotonic() < until


def test_many_clients_cost_one_poller(logged: Hammerflow, admin: httpx.Client) -> None:
    """A small share of ``python -m tests.web.many_streams``."""
    reads = 0
    read = logged.store.events.read

    def counting(*args: Any, **values: Any) -> Any:
        nonlocal reads
        reads += 1
        return read(*args, **values)

    logged.store.events.read = counting  # type: ignore[method-assign]
    address = (str(admin.base_url.host), admin.base_url.port or 0)
    request = (
        "GET /api/events/stream HTTP/1.1\r\nhost: x\r\n"
        f"authorization: {admin.headers['authorization']}\r\n\r\n"
    ).encode()
    clients = [socket.create_connection(address, timeout=20) for _ in range(50)]
    try:
        for client in clients:
            client.sendall(request)
        for client in clients:
            while b"retry" not in client.recv(4096):
                pass
        reads, began = 0, time.monotonic()
        _write(logged, 2)
        for client in clients:
            text = b""
            while b"queue.resumed" not in text:
                text += client.recv(4096)
        assert reads <= 4 * ((time.monotonic() - began) / streams.POLL + 2)
    finally:
        for client in clients:
            client.close()


def test_the_poller_ends_with_the_last_client(logged: Hammerflow) -> None:
    async def run() -> None:
        import anyio

        from hammerflow.admin.redaction import Redaction
        from hammerflow.admin.shown_texts import ShownTexts

        hub = streams.EventHub(logged.store, anyio.CapacityLimiter(1), 1, 1)
        texts = ShownTexts(Redaction([]), sees_values=True)
        messages = hub._events(streams.EventsWanted(EventFilter.of(kinds=["*"]), None, texts))
        await anext(messages)
        assert len(hub._tasks) == 1
        await messages.aclose()  # type: ignore[attr-defined]
        assert not hub._tasks

    asyncio.run(run())


class _Body:
    """A running job whose worker keeps what it logs."""

    def __init__(self, app: Hammerflow) -> None:
        self._jobs, self._logs = app.store.jobs, app.store.job_logs
        self.result = app.tasks["shop.resize"].apply_async((1,), queue="logs")
        self._numbers = iter(range(1_000))
        self.claim()

    def claim(self) -> None:
        (self._job,) = self._jobs.claim(
            1, queue="logs", task_ids=[name_id("shop.resize")], limit=1, thorough=True
        )
        self._buffer = LineBuffer(100)

    def _log(self, count: int) -> JobLogRow:
        for _, number in zip(range(count), self._numbers, strict=False):
            self._buffer.add(KeptLine.of(1.7e9, 20, "shop", f"token='abc' {number}"))
        job: Claimed = self._job
        return JobLogRow.of(job.id, job.lease, job.attempt, self._buffer)

    def says(self, count: int) -> None:
        assert self._logs.write_running(1, [self._log(count)], patience=5) == {self._job.id}

    def ends(self, outcome: Completed | Released, count: int) -> None:
        self._jobs.settle(1, [(self._job, outcome)], logs=[self._log(count)])

    @property
    def path(self) -> str:
        return f"/api/jobs/{self.result.id}/logs/stream"


def _numbers(messages: list[dict[str, Any]]) -> list[int]:
    lines = [line["message"] for one in messages for line in one["data"]["lines"]]
    assert not any("abc" in line for line in lines)
    return [int(line.split()[-1]) for line in lines]


def test_a_log_comes_line_by_line_and_goes_on_where_it_broke_off(
    busy: Hammerflow, admin: httpx.Client
) -> None:
    body = _Body(busy)
    body.says(3)
    with admin.stream("GET", body.path) as answer:
        messages = _messages(answer)
        found = [next(messages)]
        body.says(2)
        found.append(next(messages))
    assert found[0]["event"] == "lines" and found[0]["data"]["attempt"] == 1
    body.says(4)  # while nobody listens
    body.ends(Released(), 1)
    body.claim()
    with admin.stream("GET", body.path, headers={"last-event-id": found[-1]["id"]}) as answer:
        messages = _messages(answer)
        found.append(next(messages))
        body.says(2)
        found.append(next(messages))
        body.ends(Completed(b"M\x01"), 3)
        *rest, end = messages
    assert _numbers([*found, *rest]) == [*range(15)]
    assert (end["event"], end["data"]) == ("end", {"state": "completed"})
    again = admin.get(body.path, headers={"last-event-id": rest[-1]["id"]})
    assert "event: lines" not in again.text and "event: end" in again.text
    whole = [*_messages(admin.get(body.path))]
    assert _numbers(whole[:-1]) == [*range(15)] and whole[-1] == end


def test_a_log_that_nobody_may_read_is_not_streamed(
    busy: Hammerflow, as_role: Callable[..., httpx.Client], admin: httpx.Client
) -> None:
    body = _Body(busy)
    refused = as_role(Role.ADMIN).get(body.path)
    assert refused.status_code == 403 and "may not see" in refused.json()["detail"]
    assert admin.get("/api/jobs/01930000/logs/stream").status_code == 404
    for wrong in ("x", "1", "1-2-3", "99999999999-1"):
        answer = admin.get(body.path, headers={"last-event-id": wrong})
        assert answer.status_code == 422, wrong


def test_all_who_follow_logs_cost_one_statement_a_round(
    busy: Hammerflow, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerflow.web.log_streams.POLL", 0.05)
    bodies = [_Body(busy) for _ in range(3)]
    logs, asked, read = busy.store.job_logs, [], []
    ends, get = logs.ends, logs.get
    rounds = threading.Semaphore(0)

    def counted(ids: Any) -> Any:
        found = ends(ids)
        asked.append(len(ids))
        rounds.release()
        return found

    monkeypatch.setattr(logs, "ends", counted)
    monkeypatch.setattr(logs, "get", lambda *a, **v: (read.append(a), get(*a, **v))[1])
    with contextlib.ExitStack() as opened:
        held = []  # let go of, they would close the streams
        for body in bodies * 4:
            held.append(opened.enter_context(admin.stream("GET", body.path)).iter_raw())
            assert next(held[-1])
        while asked.count(1) < len(held):  # each stream reads for itself at first
            assert rounds.acquire(timeout=20)
        asked.clear()
        while len(asked) < 3:
            assert rounds.acquire(timeout=20)
        asked.clear(), read.clear()
        bodies[0].says(1)
        while len(asked) < 4 or not read:
            assert rounds.acquire(timeout=20)
        assert {*asked} == {3} and len(read) == 1
