"""No wrong value reaches a raw error: all public calls, whole on SQLite, and on each server with
the values that only a server may refuse; the whole there by the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.calls import World, sites, try_all
from tests.fuzz.values import FOR_SERVERS, NASTY


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(f"sqlite:///{tmp_path}/fuzz.db")
    yield world
    world.close()


def test_each_wrong_value_is_accepted_or_refused_by_a_sentence(
    world: World, record_property: Any
) -> None:
    tried, raw = try_all(world, labels=NASTY)

    record_property("calls", tried)
    assert tried > 60_000
    assert raw == []


def _try_on_a_server(url: str) -> None:
    world = World(url)
    tried, raw = try_all(world, labels=FOR_SERVERS)
    world.close()

    assert tried > 13_000
    assert raw == []


def test_postgres_meets_what_only_a_server_refuses(postgres_url: str) -> None:
    _try_on_a_server(postgres_url)


def test_mariadb_meets_what_only_a_server_refuses(mariadb_url: str) -> None:
    _try_on_a_server(mariadb_url)


def test_the_fuzz_reaches_every_option(world: World) -> None:
    names = {site.name for site in sites(world)}

    for name in (
        "Hammerflow(lease)", "app.task(retry_on)", "app.spawner(max_depth)", "task.options(eta)",
        "task.apply_async(args)", "signature.set(timeout)", "SpawnConfig(metadata)",
        "Workflow(retry)", "workflow.add(after)", "app.batch(on_failure)", "app.jobs(before)",
        "app.stats.tasks(last)",
        "result.get(timeout)", "group_result.cancel(reason)", "workflow_result.retry(node)",
        "current_job().progress(note)", "constant(jitter)", "chord(header)",
    ):  # fmt: skip
        assert name in names
