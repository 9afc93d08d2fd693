"""Limits of one body: memory and CPU time, enforced while it runs, at the cost of nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow, JobFailed, Result
from hammerflow.errors import ConfigError, MemoryLimitExceeded
from hammerflow.worker.run_options import refuse_elsewhere
from tests.acceptance.kit import Shop, Worker
from tests.support.waiting import until

_WAYS = ("one allocation", "many", "in C", "shared", "subprocess", "fork", "swallowed")


def _send(shop: Shop, task: str, *args: Any, **options: Any) -> Result[Any]:
    return shop.client.enqueue(
        shop.client.signature(f"tests.worker.greedy.{task}", args, **options)
    )


def _greedy(shop: Shop, children: int = 2, *arguments: str) -> Worker:
    return shop.worker(*arguments, children=children, app="tests.worker.greedy:app")


def _error(result: Result[Any]) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        result.get(timeout=30)
    return caught.value


def test_what_takes_more_memory_than_its_limit_fails_alone(sqlite_shop: Shop) -> None:
    mark, gate = sqlite_shop.folder / "mark", sqlite_shop.folder / "gate"
    with _greedy(sqlite_shop) as worker:
        beside = _send(sqlite_shop, "neighbour", str(mark), str(gate))
        until("it runs", mark.exists)
        greedy = {way: _send(sqlite_shop, "takes", way) for way in _WAYS}
        next_ = _send(sqlite_shop, "state")

        for way, result in greedy.items():
            error = _error(result)
            assert error.error_type == "MemoryLimitExceeded", (way, error)
            assert "more than the 96 MiB of its memory_limit" in error.message
            assert sqlite_shop.kinds(result) == ["failed"]
        *limits, _, mebibytes = next_.get(timeout=30)
        assert limits == [[-1, -1]] * 3 and mebibytes == 128

        gate.touch()
        assert beside.get(timeout=30) == "unharmed"
        assert len(worker.children()) == 6  # two of each kind: the app has async tasks, too
        assert "child died" not in worker.log
    sqlite_shop.check(most_attempts=1)


def test_jobs_within_their_limits_share_a_child(sqlite_shop: Shop) -> None:
    with _greedy(sqlite_shop, 1) as worker:
        first, *_ = [_send(sqlite_shop, "state") for _ in range(2)]
        within = [_send(sqlite_shop, "takes", way, 48) for way in ("many", "in C") * 2]
        raised = _send(sqlite_shop, "takes", "one allocation", memory_limit="400MB")
        last = _send(sqlite_shop, "state")

        for result in within:
            assert result.get(timeout=30).startswith("held ")
        raised.cancel()  # it sleeps with 192 MiB, within the limit of its call
        assert last.get(timeout=30)[3] == first.get(timeout=30)[3]
        assert "killing child" not in worker.log


def test_limits_are_errors_of_the_body(sqlite_shop: Shop, tmp_path: Path) -> None:
    with _greedy(sqlite_shop):
        asleep, caught = (_send(sqlite_shop, "burns", way) for way in ("asleep", "caught"))
        retried = _send(sqlite_shop, "takes_once", str(tmp_path / "mark"))
        given_up = _send(sqlite_shop, "takes_and_gives_up")
        too_much = _send(sqlite_shop, "asks", 1 << 50)
        over = {way: _send(sqlite_shop, "burns", way) for way in ("python", "in C", "subprocess")}

        assert asleep.get(timeout=30) == "done"
        assert caught.get(timeout=30) == "cleaned up"
        assert retried.get(timeout=30) == "modest"
        assert [e.type for e in sqlite_shop.job(retried).errors] == ["MemoryLimitExceeded"]
        assert _error(given_up).error_type == "MemoryLimitExceeded"
        assert sqlite_shop.job(given_up).attempt == 1
        error = _error(too_much)  # the host does not have it
        assert error.error_type == "MemoryLimitExceeded" and "MemoryError" in error.traceback
        for way, result in over.items():
            assert _error(result).error_type == "CpuLimitExceeded", way
        assert "burns" in _error(over["python"]).traceback


def test_an_async_body_with_a_limit_fails_alone(sqlite_shop: Shop) -> None:
    marks = {name: str(sqlite_shop.folder / name) for name in ("shared", "alone", "gate")}
    with _greedy(sqlite_shop) as worker:
        shared = _send(sqlite_shop, "async_neighbour", marks["shared"], marks["gate"])
        alone = _send(sqlite_shop, "waits_alone", marks["alone"], marks["gate"])
        until("both run", lambda: Path(marks["shared"]).exists() and Path(marks["alone"]).exists())
        greedy = {way: _send(sqlite_shop, "takes_alone", way) for way in ("many", "subprocess")}
        modest = [_send(sqlite_shop, "takes_alone", way, 8) for way in ("shared", "in C")]

        for way, result in greedy.items():
            assert _error(result).error_type == "MemoryLimitExceeded", way
            assert sqlite_shop.kinds(result) == ["failed"]
        assert [result.get(timeout=30) for result in modest] == [[], []]
        Path(marks["gate"]).touch()
        assert [one.get(timeout=30) for one in (shared, alone)] == ["unharmed"] * 2
        until("two children of each kind", lambda: len(worker.children()) == 6)
        assert "child died" not in worker.log
        over = {way: _send(sqlite_shop, "burns_alone", way) for way in ("python", "thread", "task")}
        caught, asleep = (_send(sqlite_shop, "burns_alone", way) for way in ("caught", "asleep"))
        for way, result in over.items():
            assert _error(result).error_type == "CpuLimitExceeded", way
        assert "burns_alone" in _error(over["python"]).traceback
        assert (caught.get(timeout=30), asleep.get(timeout=30)) == ("cleaned up", "done")
    sqlite_shop.check(most_attempts=1)


def test_a_call_of_an_async_function_without_limits_takes_none(sqlite_shop: Shop) -> None:
    app = Hammerflow("greedy", database=sqlite_shop.url)

    @app.task(name="shared")
    async def shared() -> None: ...

    @app.task(name="alone", memory_limit="1GB")
    async def alone() -> None: ...

    for option in ({"memory_limit": "2GB"}, {"cpu_limit": 3}):
        (name,) = option
        with pytest.raises(ConfigError, match=f"shared: {name} can be given to a call of an async"):
            shared.options(**option).delay()
        assert alone.options(**option).delay()
    app.close()


def test_limits_need_linux() -> None:
    refuse_elsewhere(["memory_limit"], "shop.add", "linux")
    refuse_elsewhere([], "shop.add", "darwin")
    with pytest.raises(ConfigError, match=r"cpu_limit of shop.add cannot be enforced on darwin"):
        refuse_elsewhere(["cpu_limit"], "shop.add", "darwin")


@pytest.mark.parametrize("size", [512, 0, -1, True, 1.5e9, "512", "512 XB", "MB", "1e9MB", ""])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    app = Hammerflow("greedy", database="sqlite:///none.db")
    with pytest.raises(ConfigError, match='memory_limit must be a size such as "512MB"'):
        app.task(name="one", memory_limit=size)(lambda: None)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [("512MB", 512 * 10**6), ("1.5GiB", 3 << 29), ("2048 kB", 2_048_000), (1 << 30, 1 << 30)],
)
def test_a_size_is_kept_in_bytes(size: Any, wanted: int) -> None:
    app = Hammerflow("greedy", database="sqlite:///none.db")
    assert app.task(name="one", memory_limit=size)(lambda: None).defaults.memory_limit == wanted
    assert isinstance(MemoryLimitExceeded(), MemoryError)
