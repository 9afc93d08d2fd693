"""Names of queues and tasks: what a process has written can vanish, and its jobs are served."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

import pytest

from hammerflow.ids import name_id, new_id, unnamed
from hammerflow.jobs.job import JobState
from hammerflow.stores.names import BELIEVED
from tests.stores.kit import Desk, spawned
from tests.stores.workflow_kit import Sketch

TABLES = ("jobs", "ready", "done", "errors", "queues", "tasks", "workers", "worker_tasks")


def empty(desk: Desk) -> None:
    """What somebody does who wants to start from nothing, or restores an old backup."""
    for table in TABLES:
        desk.sql(f"DELETE FROM {{{table}}}")


def later(desk: Desk) -> None:
    """Let the names be older than a process believes in them."""
    desk.store.names.until -= BELIEVED


def by_one(desk: Desk) -> None:
    desk.store.jobs.insert_one(desk.job(queue="mail", task="t"))


def by_many(desk: Desk) -> None:
    desk.put(desk.job(queue="mail", task="t"))


def in_a_transaction(desk: Desk) -> None:
    with desk.store.transaction() as tx:
        desk.store.jobs.insert([desk.job(queue="mail", task="t")], tx)


def by_a_spawner(desk: Desk) -> None:
    (parent,) = desk.run(desk.job(queue="other"))
    desk.settle((parent, spawned(desk.child(parent, 0, queue="mail", task="t"))))


def in_a_workflow(desk: Desk) -> None:
    sketch = Sketch()
    sketch.job(queue="mail")
    sketch.put(desk)


def on_a_connection_of_the_caller(desk: Desk) -> None:
    with contextlib.closing(desk.store.database.open_connection()) as connection:
        connection.cursor().execute("BEGIN")
        jobs = [desk.job(queue="mail", task="t")]
        desk.store.jobs.insert(jobs, desk.store.foreign(connection))
        connection.cursor().execute("COMMIT")


WAYS = pytest.mark.parametrize(
    "put",
    [
        by_one, by_many, in_a_transaction, by_a_spawner, in_a_workflow,
        on_a_connection_of_the_caller,
    ],
)  # fmt: skip


@WAYS
@pytest.mark.parametrize("is_believed", [True, False], ids=["at once", "later"])
def test_jobs_are_served_after_their_names_were_deleted(
    desk: Desk, put: Callable[[Desk], None], is_believed: bool
) -> None:
    put(desk)
    empty(desk)
    if not is_believed:
        later(desk)

    put(desk)

    with contextlib.closing(desk.another()) as other:
        claimed = [
            job
            for queue in other.queues.names()
            for job in desk.claim(queue=queue, tasks=["t"], store=other)
        ]
        assert len(claimed) == 1
        (seen,) = other.jobs.get_many([claimed[0].id])
        assert seen.queue in (("mail",) if not is_believed else ("mail", unnamed(name_id("mail"))))
        assert seen.task in ("t", unnamed(name_id("t")))


def test_a_process_writes_again_what_it_has_written(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.put(desk.job(queue="mail"), desk.job(queue="films"))
    empty(desk)
    later(desk)

    with caplog.at_level(logging.WARNING):
        desk.put(desk.job(queue="mail"))
        later(desk)
        desk.put(desk.job(queue="mail"))

    assert desk.store.queues.names() == {"mail", "films"}
    assert [r.getMessage()[:34] for r in caplog.records] == ["the names of 2 queues and 1 tasks "]


def test_a_process_that_knows_the_name_of_an_unnamed_queue_writes_it(desk: Desk) -> None:
    desk.put(desk.job(queue="mail"), desk.job(queue="films"))
    desk.sql("DELETE FROM {queues}")
    with contextlib.closing(desk.another()) as other:
        assert other.queues.unnamed() == {unnamed(name_id("mail")), unnamed(name_id("films"))}
        assert other.queues.names() == other.queues.unnamed()

    assert desk.store.queues.unnamed() == {"mail", "films"}

    with contextlib.closing(desk.another()) as other:
        assert other.queues.unnamed() == set()
        assert other.queues.names() == {"mail", "films"}


def test_names_are_looked_up_once_while_they_are_believed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put(desk.job())
    asked: list[str] = []
    rows = desk.store.database.rows
    monkeypatch.setattr(
        desk.store.database, "rows", lambda name, **v: (asked.append(name), rows(name, **v))[1]
    )
    for _ in range(3):
        desk.put(desk.job())
        desk.store.jobs.insert_one(desk.job())
    later(desk)
    for _ in range(3):
        desk.store.jobs.insert_one(desk.job())
        desk.put(desk.job())
    assert asked == ["names_present"]


def test_counts_of_a_workflow_leave_out_jobs_whose_state_was_deleted(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    workflow_id = new_id()
    desk.put(desk.job(workflow_id=workflow_id), lost := desk.job(workflow_id=workflow_id))
    desk.sql(f"DELETE FROM {{ready}} WHERE job_id = {desk.id(lost.id)}")
    assert desk.store.workflows.counts(workflow_id) == {JobState.READY: 1}
    assert "1 job is in no state table in workflow" in caplog.text
