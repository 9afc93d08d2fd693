"""Filters of events: by what jobs and workflows are, for readers and for sinks alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow, Workflow
from hammerflow.errors import ConfigError
from hammerflow.events.filter import EventFilter
from hammerflow.jobs.outcome import Completed, Operation, Spawned
from tests.sinks.test_delivery import deliver
from tests.stores.kit import Desk, failed

OK = Completed(None)


@pytest.fixture
def app(desk: Desk) -> Iterator[Hammerflow]:
    """An app over the desk's database, in which all events are logged."""
    desk.store.sinks.put("on", "none", {}, EventFilter.of(kinds=["*"]))
    desk.store.names.outbox.refresh()
    app = Hammerflow("shop", database=desk.url)
    yield app
    app.close()


def fill(desk: Desk) -> dict[bytes, str]:
    """Four jobs with a name each, that end differently."""
    slow, urgent, bad, plain = jobs = desk.run(
        desk.job(priority=1, headers='{"tenant": "acme", "n": 7}'), desk.job(priority=4),
        desk.job(priority=3, headers='{"tenant": "acme", "n": "8"}'), desk.job(priority=0),
    )  # fmt: skip
    desk.settle((slow, OK), (urgent, OK), (bad, failed()), (plain, OK))
    begin = desk.shift("finished_at", 90)
    for job in (slow, bad):
        desk.sql(f"UPDATE {{done}} SET started_at = {begin} WHERE job_id = {literal(desk, job.id)}")
    return dict(zip([job.id for job in jobs], ["slow", "urgent", "bad", "plain"], strict=True))


def literal(desk: Desk, id_: bytes) -> str:
    return f"'{id_.hex()}'" if desk.kind == "postgres" else f"x'{id_.hex()}'"


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"min_priority": "high"}, {"urgent", "bad"}),
    ({"min_priority": 1}, {"slow", "urgent", "bad"}),
    ({"min_priority": 0}, {"slow", "urgent", "bad", "plain"}),
    ({"min_duration": 60}, {"slow", "bad"}),
    ({"min_duration": "1m29s"}, {"slow", "bad"}),
    ({"min_duration": 91}, set()),
    ({"with_headers": {"tenant": "acme"}}, {"slow", "bad"}),
    ({"with_headers": {"tenant": "acme", "n": "7"}}, {"slow"}),
    ({"with_headers": {"n": "8"}}, {"bad"}),
    ({"with_headers": {"tenant": "other"}}, set()),
    ({"min_priority": "high", "with_headers": {"tenant": "acme"}, "min_duration": 60}, {"bad"}),
    ({"with_metadata": {"any": "thing"}}, set()),  # jobs have none
]


def test_a_reader_gets_what_passes_all_parts(desk: Desk, app: Hammerflow) -> None:
    names = fill(desk)
    while desk.store.events.relay():
        pass
    ids = {str(app.job(id_.hex()).id): name for id_, name in names.items()}
    for filters, expected in FILTERS:
        events = list(app.events(kinds=["job.completed", "job.failed"], **filters))
        assert {ids[event.subject] for event in events} == expected, filters
        assert len(events) == len(expected)
    started = list(app.events(kinds=["job.started"], min_duration=1))
    assert started == []  # what has not ended has no duration


def test_a_coroutine_reads_the_same(desk: Desk, app: Hammerflow) -> None:
    fill(desk)
    while desk.store.events.relay():
        pass

    async def read(**filters: Any) -> list[Any]:
        return [event async for event in app.aevents(**filters)]

    for filters in ({}, {"after": 3}, {"limit": 2}, {"with_headers": {"n": "7"}}):
        found = asyncio.run(read(**filters))
        assert found == list(app.events(**filters)) and found
    with pytest.raises(ConfigError, match=r"there is no kind of event 'job\.nothing'"):
        asyncio.run(read(kinds=["job.nothing"]))
    with pytest.raises(ConfigError, match=r"did you mean job\.failed\?"):
        asyncio.run(read(kinds=["job.faild"]))


def test_a_sink_gets_what_passes_all_parts(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    filters = EventFilter.of(
        kinds=["job.*"], min_priority="low", min_duration=60, headers={"tenant": "acme", "n": "8"}
    )
    desk.store.sinks.put("s", "file", {"path": str(path)}, filters)
    desk.store.names.outbox.refresh()
    names = fill(desk)
    deliver(desk)
    [line] = path.read_text("utf-8").splitlines()
    found = json.loads(line)
    assert (names[bytes.fromhex(found["subject"].replace("-", ""))], found["type"]) == (
        "bad", "hammerflow.job.failed.v1",
    )  # fmt: skip
    assert desk.store.sinks.get("s").position == desk.store.events.head()


def test_metadata_choose_workflows_and_spawners(desk: Desk, app: Hammerflow) -> None:
    @app.task(name="shop.add")
    def add(x: int) -> int:
        return x

    given = {"region": "eu", "size": 3}
    mine = Workflow("mine", metadata=given)
    mine.add(add.s(1), name="one")
    other = Workflow("other", metadata={"region": "us"})
    other.add(add.s(1), name="one")
    handle = app.enqueue(mine)
    app.enqueue(other)
    parents = desk.run(desk.job(), desk.job())
    for parent, text in zip(parents, ('{"region": "eu"}', None), strict=True):
        operation = Operation("handler", "op", text, 1, 0.0)
        spawn = Spawned([desk.child(parent, 0)], operation, 1, [], 0)
        desk.settle((parent, Completed(None, spawn)))
    while desk.store.events.relay():
        pass
    events = list(app.events(with_metadata={"region": "eu"}))
    assert [event.kind for event in events] == ["workflow.started", "spawn.completed"]
    assert events[0].subject == str(handle.id) and events[0].data["metadata"] == given
    [both] = app.events(with_metadata={"region": "eu", "size": "3"})
    assert both == events[0]
