"""The command line in this process, and an app whose jobs stand where a test wants them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hammerflow
from hammerflow import Hammerflow
from hammerflow.cli import main
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Completed, Operation, Outcome, Spawned

WORKER = 7
APPS = ("shop", "own", "site_app")  # modules that a test's project may have
HAMMERFLOW = (sys.executable, "-m", "hammerflow")

SHOP = '''
"""The app of the tests of the command line."""
import enum
import hammerflow
from hammerflow import Hammerflow

class Colour(enum.Enum):
    RED = 1

app = Hammerflow("shop")
app.codec.register(Colour)

@app.task
def add(x: int, y: int) -> int:
    return x + y

@app.task
def paint(colour) -> str:
    return str(colour)

@app.task
def resize(image: int) -> int:
    return image

@app.task
def total(results: list[int]) -> int:
    return sum(results)

@app.spawner(then=total.s())
def album(count: int):
    for image in range(count):
        yield resize.s(image)
'''


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


def environment() -> dict[str, str]:
    """That of a process in which this hammerflow can be imported, from whatever folder."""
    place = str(Path(hammerflow.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": place}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a project with an app in ``shop.py``."""
    place = tmp_path / "project"
    place.mkdir()
    (place / "shop.py").write_text(SHOP)
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return place


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run ``hammerflow ...`` in the project's folder."""

    def run(*args: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        caught = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        assert "Traceback" not in caught.err
        return Ended(code, caught.out, caught.err)

    yield run
    for name in APPS:
        sys.modules.pop(name, None)


@pytest.fixture
def shop(folder: Path, migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hammerflow]:
    """The app on each database, which the command line finds in the environment."""
    yield from _shop(folder, migrated_url, monkeypatch)


@pytest.fixture
def embedded_shop(
    folder: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hammerflow]:
    """The app on SQLite."""
    yield from _shop(folder, sqlite_url, monkeypatch)


def _shop(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hammerflow]:
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", url)
    names: dict[str, Any] = {"__name__": "shop"}
    exec(compile(SHOP, "shop.py", "exec"), names)
    app: Hammerflow = names["app"]
    app.store.workers.register(
        WORKER, host="here", pid=1, info={}, tasks=list(app.tasks), queues=["default"]
    )
    yield app
    app.close()


def claim(app: Hammerflow, *tasks: str) -> list[Claimed]:
    """Take the ready jobs of these tasks (all tasks when none is named), as a burst worker does,
    which reads the limits again each time."""
    ids = [name_id(name) for name in tasks or app.tasks]
    return app.store.jobs.claim(WORKER, queue="default", task_ids=ids, limit=1000, thorough=True)


def settle(app: Hammerflow, claimed: Sequence[Claimed], outcome: Outcome) -> None:
    """End these jobs."""
    assert not app.store.jobs.settle(WORKER, [(job, outcome) for job in claimed]).stale


def spawn_album(app: Hammerflow, count: int) -> str:
    """A spawner that has completed, with its children ready and its fan-in waiting; its id."""
    from hammerflow.canvas.spawn import SpawnConfig
    from hammerflow.enqueue.job_factory import Parent

    root = app.tasks["shop.album"].delay(count)
    (claimed,) = claim(app, "shop.album")
    parent = Parent(claimed, "default", SpawnConfig(), {})
    then = app.tasks["shop.album"].defaults.then
    assert then is not None
    fan_in = app.new_job(then, parent=parent, spawn_index=count, feeds=1)._replace(pending=count)
    resize = app.tasks["shop.resize"]
    children = [
        app.new_job(resize.s(i), parent=parent, spawn_index=i, dependent_id=fan_in.id)
        for i in range(count)
    ]
    spawned = Spawned(
        [*children, fan_in], Operation("shop.album", None, None, count, 0.0), count, [], 0
    )
    settle(app, [claimed], Completed(None, spawned))
    return str(root.id)
