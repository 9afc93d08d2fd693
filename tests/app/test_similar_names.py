"""Names and keys that a collation may take for one: each is one of its own on each database."""

from __future__ import annotations

from typing import Any

from hammerflow import Hammerflow, SpawnConfig, Workflow, current_job
from hammerflow.testing import drain

#: Case, a trailing and a leading blank, an accent, a ligature, width, two forms of one letter,
#: characters of four bytes, wildcards of LIKE, quotes, and names that differ in the last letter.
NAMES = [
    "order", "ORDER", "order ", " order", "e", "é", "e\u0301", "ss", "ß", "a", "\uff41", "🦀", "🦞",
    "%", "_", "'", "\\'", "1", "01", "k" * 254 + "a", "k" * 254 + "b", "🦀" * 255, "🦀" * 254,
]  # fmt: skip


def test_names_that_are_alike_are_different(app: Hammerflow) -> None:
    tasks = {name: app.task(name=name)(lambda: current_job().queue) for name in NAMES}
    splits = app.spawner(name="splits")(lambda: iter([]))
    flow = Workflow("alike")
    with app.transaction():
        for name in NAMES:
            flow.add(tasks[name].s().set(queue=name), name=name)
            splits.apply_async(spawn=SpawnConfig(handler=name, operation_id=name))
        jobs = {name: task.apply_async(queue=name) for name, task in tasks.items()}
        held = {n: t.apply_async(delay=99, unique_key=n).id for n, t in tasks.items()}
    flowing = app.enqueue(flow)

    assert len({*held.values()}) == len(NAMES)
    for name, task in tasks.items():
        assert task.apply_async(unique_key=name).id == held[name]
        assert {job.queue for job in app.jobs(queue=name)} == {name}
        assert {job.task for job in app.jobs(task=name)} == {name}
    app.store.queues.pause("order", by="order", reason="order ")
    assert app.store.queues.paused() == {"order"}
    drain(app, queues=["default", *NAMES[1:]])
    assert [name for name, job in jobs.items() if job.state == "ready"] == ["order"]
    app.store.queues.resume("order")
    drain(app)
    assert flowing.get(timeout=0) == {name: name for name in NAMES}
    assert [flowing.result(name).job().task for name in NAMES] == NAMES
    stats, _ = app.store.spawns.stats()
    assert sorted(one.handler for one in stats) == sorted(NAMES)


def test_queues_that_are_alike_are_counted_apart(app: Hammerflow) -> None:
    splits: Any = app.spawner(name="splits")(lambda: iter([]))
    for name in NAMES:
        splits.apply_async(queue=name)
    drain(app)

    stats, _ = app.store.spawns.stats()
    assert sorted(str(one.queue) for one in stats) == sorted(NAMES)
    assert {one.name for one in app.store.queues.list()} == {"default", *NAMES}
