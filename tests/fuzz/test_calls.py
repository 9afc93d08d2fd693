"""No wrong value reaches a raw error: all public calls, on SQLite; the rest by the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import JobState
from tests.fuzz.calls import World, sites, try_all


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(f"sqlite:///{tmp_path}/fuzz.db")
    yield world
    world.close()


def test_each_wrong_value_is_accepted_or_refused_by_a_sentence(
    world: World, record_property: Any
) -> None:
    tried, raw = try_all(world)

    record_property("calls", tried)
    assert tried > 30_000
    assert raw == []
    for state in JobState:  # what was accepted harms no list
        world.app.jobs(state=state, limit=10_000)
    assert world.app.workflows(limit=10_000)


def test_the_fuzz_reaches_every_option(world: World) -> None:
    names = {site.name for site in sites(world)}

    for name in (
        "Hammerflow(lease)", "app.task(retry_on)", "app.spawner(max_depth)", "task.options(eta)",
        "task.apply_async(args)", "signature.set(timeout)", "SpawnConfig(metadata)",
        "Workflow(retry)", "workflow.add(after)", "app.batch(on_failure)", "app.jobs(before)",
        "result.get(timeout)", "group_result.cancel(reason)", "workflow_result.retry(node)",
        "current_job().progress(note)", "constant(jitter)", "chord(header)",
    ):  # fmt: skip
        assert name in names
