"""An app on a fresh database of each kind, and tasks to compose."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import Hammerflow, Signature, current_job


@pytest.fixture
def app(migrated_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("shop", database=migrated_url)
    yield app
    app.close()


@pytest.fixture
def note(app: Hammerflow) -> Any:
    """A task, next to a table of the user's own."""

    @app.task
    def note(x: int) -> int:
        return x

    with app.transaction() as tx:
        tx.execute("CREATE TABLE marker (x INTEGER)")
    return note


@pytest.fixture
def seen() -> list[Any]:
    """What bodies have noted."""
    return []


@pytest.fixture
def t(app: Hammerflow, seen: list[Any]) -> SimpleNamespace:
    """Tasks to compose."""

    @app.task
    def add(x: int, y: int = 0) -> int:
        return x + y

    @app.task
    def mul(x: int, y: int) -> int:
        return x * y

    @app.task
    def total(numbers: list[int], extra: int = 0) -> int:
        return sum(numbers) + extra

    @app.task
    def echo(*args: Any, **kwargs: Any) -> list[Any]:
        return [list(args), kwargs]

    @app.task
    def note(value: Any = None) -> Any:
        seen.append(value)
        return value

    @app.task
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    @app.task(max_attempts=1)
    def fail(*args: Any) -> None:
        raise ValueError(f"no: {args}")

    @app.task
    def by_id(job_id: str) -> None:
        seen.append(job_id)

    @app.task
    def by_request(request: Any, error: Any, traceback: str) -> None:
        seen.append((request.id, request.task, str(error), traceback))

    return SimpleNamespace(
        add=add, mul=mul, total=total, echo=echo, note=note, double=double, fail=fail,
        by_id=by_id, by_request=by_request,
    )  # fmt: skip


@pytest.fixture
def w(app: Hammerflow, seen: list[Any]) -> SimpleNamespace:
    """Tasks that note that they ran."""
    broken = {"on"}

    @app.task
    def step(name: str = "step", value: Any = None) -> Any:
        seen.append(name)
        return value if value is not None else name

    @app.task
    def gather() -> dict[str, Any]:
        inputs = current_job().inputs
        return {n: v if isinstance(v, str | dict | None) else [*v] for n, v in inputs.items()}

    @app.task(max_attempts=1)
    def flaky(name: str = "flaky") -> str:
        seen.append(name)
        if broken:
            raise ValueError(f"{name} is broken")
        return name

    @app.spawner
    def many(n: int) -> Iterator[Signature]:
        for i in range(n):
            yield step.s(f"child {i}")

    @app.task
    def total(numbers: list[Any]) -> list[Any]:
        return numbers

    return SimpleNamespace(
        step=step, gather=gather, flaky=flaky, many=many, total=total, mend=broken.clear
    )
