"""Reads: lists, pages and the view say what the tables hold."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow.canvas.signature import Signature
from hammerflow.errors import HammerflowError
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import JobState, Priority
from hammerflow.jobs.limit import key_id
from hammerflow.jobs.outcome import Cancelled, Completed, Parked
from hammerflow.stores.pages import job_pages
from tests.stores.kit import GONE, Desk, desk_at, failed, spawned
from tests.stores.workflow_kit import Sketch


@pytest.fixture
def zoo(desk: Desk) -> dict[str, list[bytes]]:
    """Jobs in every state; ids by state."""
    (parent,) = desk.run(desk.job())
    kid, then = desk.family(parent, 1)
    desk.settle((parent, spawned(kid, then)))
    desk.settle((desk.claim()[0], failed()))
    jobs = desk.run(*(desk.job(task=f"t{n % 2}") for n in range(10)))
    desk.settle(
        *((job, Completed(b"M")) for job in jobs[:3]),
        *((job, failed()) for job in jobs[3:5]),
        (jobs[5], Cancelled("no")),
        (jobs[6], Parked("poison", GONE)),
    )
    rest = [desk.job(), desk.job(queue="other"), desk.job(delay=60.0), desk.job(pending=1)]
    desk.put(*rest)
    ids = [job.id for job in jobs]
    return {
        "completed": [parent.id, *ids[:3]],
        "failed": [kid.id, *ids[3:5]],
        "cancelled": ids[5:6],
        "skipped": [then.id],
        "parked": ids[6:7],
        "running": ids[7:],
        "ready": [rest[0].id, rest[1].id],
        "scheduled": [rest[2].id],
        "waiting": [rest[3].id],
    }


@pytest.mark.parametrize("state", [state.value for state in JobState])
def test_jobs_of_a_state_are_listed_newest_first(
    desk: Desk, zoo: dict[str, list[bytes]], state: str
) -> None:
    jobs = desk.store.jobs.list(state=JobState(state))
    assert [job.id.bytes for job in jobs] == sorted(zoo[state], reverse=True)
    assert {job.state for job in jobs} == {state}


def test_the_view_says_the_same_as_the_tables(desk: Desk, zoo: dict[str, list[bytes]]) -> None:
    for state, ids in zoo.items():
        assert desk.states(ids) == [state] * len(ids)  # Desk.state compares with the view
    rows = desk.sql("SELECT state, count(*) FROM {job_states} GROUP BY state")
    assert dict(rows) == {s: len(ids) for s, ids in zoo.items()}
    desk.check()


def test_all_jobs_are_listed_in_pages(desk: Desk, zoo: dict[str, list[bytes]]) -> None:
    every = sorted((job_id for ids in zoo.values() for job_id in ids), reverse=True)
    found: list[bytes] = []
    while page := desk.store.jobs.list(limit=5, before=found[-1] if found else None):
        assert len(page) <= 5
        found += [job.id.bytes for job in page]
    assert found == every


def test_lists_are_filtered_by_queue_task_and_state(
    desk: Desk, zoo: dict[str, list[bytes]]
) -> None:
    jobs = desk.store.jobs
    assert [job.id.bytes for job in jobs.list(queue="other")] == [zoo["ready"][1]]
    assert {job.task for job in jobs.list(task="t1")} == {"t1"} and len(jobs.list(task="t1")) == 5
    both = jobs.list(task="t1", state=JobState.COMPLETED, queue="q")
    assert [job.id.bytes for job in both] == [zoo["completed"][2]]
    assert jobs.list(queue="unheard of") == [] == jobs.list(task="none", state=JobState.READY)
    assert len(jobs.list(state=JobState.RUNNING, limit=2)) == 2


def test_a_page_reads_a_bounded_number_of_rows(
    desk: Desk, zoo: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is short then, and says where the next one begins; a list goes on to its end."""
    monkeypatch.setattr(job_pages, "_SCANNED", 3)
    monkeypatch.setattr(job_pages, "_QUEUES", 1)  # the others are sorted
    everything = sorted((id_ for ids in zoo.values() for id_ in ids), reverse=True)
    chosen: dict[str, Any] = {"state": None, "queue": "other", "task": None, "limit": 2}
    page, mark = desk.store.jobs.ids_page(**chosen, before=zoo["ready"][1])
    assert (page, mark) == ([], everything[everything.index(zoo["ready"][1]) + 3])
    assert [job.id.bytes for job in desk.store.jobs.list(queue="other")] == [zoo["ready"][1]]
    for state, ids in zoo.items():
        found = desk.store.jobs.list(state=JobState(state), limit=2)
        assert [job.id.bytes for job in found] == sorted(ids, reverse=True)[:2]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_ready_jobs_of_all_queues_are_listed_newest_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Whatever their queues, priorities and lanes: an old job may be the first one of its place."""
    monkeypatch.setattr(job_pages, "_QUEUES", 2)  # those of a task are sorted
    jobs = []
    for n in range(24):
        lane = {"limit_id": key_id(name_id("t"), str(n)), "limit_key": str(n)} if n % 4 == 3 else {}
        jobs.append(desk.job(f"t{n % 2}", f"q{n % 5}", n * 7 % 5, **lane))
    desk.put(*jobs)
    for task in (None, "t1"):
        wanted = sorted((job.id for job in jobs if task in (None, job.task)), reverse=True)
        found: list[bytes] = []
        place: dict[str, Any] = {"state": JobState.READY, "task": task, "limit": limit}
        while page := desk.store.jobs.list(**place, before=found[-1] if found else None):
            found += [job.id.bytes for job in page]
        assert found == wanted


def test_a_job_is_read_whole(desk: Desk) -> None:
    root, parent = new_id(), new_id()
    job = desk.job(
        task="täsk", queue="qüeue", priority=4, parent_id=parent, root_id=root, depth=2,
        spawn_index=3, headers='{"a": [1, "ü"]}', options='{"timeout": 5}', unique_key="schlüssel",
    )  # fmt: skip
    desk.put(job)
    seen = desk.store.jobs.get(job.id)
    assert seen is not None
    assert (seen.id, seen.parent_id, seen.root_id) == tuple(
        uuid.UUID(bytes=value) for value in (job.id, parent, root)
    )
    assert (seen.task, seen.queue, seen.priority) == ("täsk", "qüeue", Priority.CRITICAL)
    assert (seen.depth, seen.spawn_index, seen.unique_key) == (2, 3, "schlüssel")
    assert (seen.headers, seen.options) == ({"a": [1, "ü"]}, {"timeout": 5})
    assert (seen.run_at, seen.started_at, seen.finished_at, seen.errors) == (None, None, None, ())
    assert seen.created_at.utcoffset() is not None


def test_what_is_not_there_is_none(desk: Desk) -> None:
    job_id, jobs = new_id(), desk.store.jobs
    assert jobs.get(job_id) is None and jobs.get_many([job_id]) == [] == jobs.get_many([])
    assert jobs.result(job_id) is None and jobs.last_error(job_id) is None
    assert jobs.args(job_id) is None and jobs.spawn(job_id) is None and not jobs.exists(job_id)
    assert jobs.children(job_id) == [] and list(jobs.children_states(job_id)) == []


def test_ids_are_found_by_their_range(desk: Desk) -> None:
    prefix = bytes.fromhex("f0e1d2")
    bounds = prefix.ljust(16, b"\0"), prefix.ljust(16, b"\xff")
    inside = [bounds[0], prefix + b"\x7f" * 13, prefix + b"\x80" * 13, bounds[1]]
    outside = [bytes.fromhex("f0e1d1").ljust(16, b"\xff"), bytes.fromhex("f0e1d3").ljust(16, b"\0")]
    desk.put(*(desk.job(id=id_) for id_ in [*inside, *outside]))
    jobs = desk.store.jobs
    assert jobs.ids_between(*bounds, 10) == inside
    assert jobs.ids_between(*bounds, 2) == inside[:2]
    assert jobs.ids_between(inside[1], inside[1], 2) == [inside[1]]
    assert jobs.ids_between(b"\xff" * 16, b"\xff" * 16, 2) == []


def test_ids_of_workflows_are_found_by_their_range(desk: Desk) -> None:
    sketches = [Sketch() for _ in range(3)]
    for sketch in sketches:
        sketch.plan.new_job(Signature("t", options={"queue": "q"}), sketch.top, "node")
        sketch.put(desk)
    ids = sorted(sketch.id for sketch in sketches)
    find = desk.store.workflows.ids_between
    assert find(ids[0], ids[2], 10) == ids and find(ids[0], ids[2], 2) == ids[:2]
    assert find(ids[1], ids[1], 2) == [ids[1]] and find(bytes(16), bytes(16), 2) == []


def test_jobs_come_in_the_order_that_was_asked_for(desk: Desk) -> None:
    ids = desk.put(*(desk.job() for _ in range(5)))
    asked = [ids[3], ids[0], new_id(), ids[4]]
    assert [job.id.bytes for job in desk.store.jobs.get_many(asked)] == [ids[3], ids[0], ids[4]]


def test_children_come_in_pages_and_are_counted_by_state(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    kids = [desk.child(parent, n, task="a" if n % 3 else "b") for n in range(30)]
    desk.settle((parent, spawned(*kids)))
    jobs = desk.store.jobs
    first = jobs.children(parent.id, limit=20)
    rest = jobs.children(parent.id, after=first[-1].spawn_index or 0, limit=20)
    assert [job.id.bytes for job in [*first, *rest]] == [kid.id for kid in kids]
    assert sorted(tuple(row) for row in jobs.children_states(parent.id)) == [
        ("ready", "a", 20),
        ("ready", "b", 10),
    ]


def test_a_job_that_stands_nowhere_is_reported(desk: Desk) -> None:
    desk.put(job := desk.job())
    desk.sql("DELETE FROM {ready}")
    with pytest.raises(HammerflowError, match="none of the state tables.* maintenance check --fix"):
        desk.store.jobs.get(job.id)


def test_numbers_of_names_are_stable(desk: Desk) -> None:
    desk.put(desk.job(queue="mail"))
    assert desk.sql("SELECT id FROM {queues}")[0][0] == name_id("mail") == 1111610686714061988


def test_nodes_that_look_alike_are_different(desk: Desk) -> None:
    names = ["Load", "load ", "load", "löad", "loäd"]
    w = Sketch()
    steps = [w.plan.new_job(Signature("t", options={"queue": "q"}), w.top, name) for name in names]
    w.put(desk)
    found = [desk.store.workflows.named(w.id, name) for name in names]
    assert found == [step.id for step in steps]


def test_lists_of_any_length_are_few_statements_on_sqlite(
    migrated_database: Callable[[str], str],
) -> None:
    """Each is prepared and kept by each connection: for 500 lengths that was some 20 MB."""
    with desk_at(migrated_database("sqlite")) as desk:
        ids = desk.put(*(desk.job() for _ in range(300)))
        own: Any = desk.store.database.dialect.connect()
        for n in range(301):
            found = {row[0] for row in own.rows("jobs_existing", ids=ids[:n])}
            assert found == set(ids[:n])
        assert len(own._texts) < 20
        own.connection.close()
