"""Right calls, and the types that come of them. Checked by mypy and pyright; never run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, assert_type

from hammerflow import (
    Hammerflow,
    Job,
    JobState,
    Priority,
    Result,
    Retry,
    Signature,
    Snooze,
    current_job,
    exponential,
)

app = Hammerflow("shop", database="sqlite:///shop.db")


@app.task
def add(x: int, y: int = 0) -> int:
    """A plain task."""
    return x + y


@app.task(queue="mail", max_attempts=5, timeout=timedelta(seconds=9), backoff=exponential(1))
def send(to: str, *, subject: str) -> None:
    """A task with options."""
    if not to:
        raise Retry(after=30)
    if current_job().attempt > 3:
        raise Snooze(60)


@app.task
async def fetch(url: str) -> bytes:
    """An async task gives what it is awaited to."""
    return url.encode()


@app.task(priority=Priority.HIGH)
async def fetch_length(url: str) -> int:
    """The same with options."""
    return len(url)


@app.spawner
def publish(album: str) -> Iterator[Signature]:
    """A spawner."""
    for size in ("small", "large"):
        yield send.s(album, subject=size)


@app.spawner(max_spawn_count=500, then=add.s())
def publish_all(albums: list[str]) -> Iterator[Signature]:
    """A spawner with options."""
    for album in albums:
        yield publish.s(album)


def plain_calls() -> None:
    """A task is still its function, with checked arguments."""
    add(2, 3)
    send("a@b.c", subject="hi")


def delayed() -> None:
    """delay takes the function's arguments and gives a Result of what it returns."""
    result = add.delay(2, y=3)
    assert_type(result, Result[int])
    assert_type(result.get(timeout=5), int)
    assert_type(result.id, uuid.UUID)
    assert_type(result.state, JobState)
    assert_type(result.job(), Job)
    assert_type(result.children(), list[Result[Any]])
    assert_type(add.delay(2).get(timeout=timedelta(seconds=5)), int)
    assert_type(send.delay("a@b.c", subject="hi"), Result[None])


def delayed_coroutines() -> None:
    """A Result of an async task holds the awaited type."""
    assert_type(fetch.delay("x"), Result[bytes])
    assert_type(fetch.delay("x").get(), bytes)
    assert_type(fetch_length.delay("x").get(), int)


async def asynchronous() -> None:
    """The async twins."""
    assert_type(await add.adelay(2, 3), Result[int])
    assert_type(await (await add.adelay(2, 3)).aget(timeout=5), int)
    await fetch("x")


def with_options() -> None:
    """options() keeps the types of the arguments."""
    fast = add.options(queue="fast", priority=Priority.CRITICAL, delay=timedelta(seconds=3))
    assert_type(fast.delay(2, 3), Result[int])
    assert_type(add.apply_async(args=(2, 3), countdown=10, priority=Priority.HIGH), Result[int])
    assert_type(add.apply_async((2,), {"y": 3}, queue="q", unique_key="k"), Result[int])


def signatures() -> None:
    """Calls as data."""
    assert_type(add.s(2, 3), Signature[int])
    assert_type(add.si(2, 3), Signature[int])
    assert_type(publish.delay("album").children(), list[Result[Any]])
    app.enqueue_many(add.s(n, n) for n in range(10))
    assert_type(app.enqueue(add.s(2, 3)), Result[int])
    assert_type(app.job(add.delay(1).id), Job)


async def plain_functions() -> None:
    """A task is still its function."""
    assert_type(add(2, 3), int)
    assert_type(await fetch("x"), bytes)


def transactions() -> None:
    """Enqueueing beside the user's own writes."""
    with app.transaction():
        add.delay(2, 3)
    with app.using(object()):
        add.delay(2, 3)


async def transactions_of_coroutines() -> None:
    """The same in a coroutine."""
    async with app.transaction() as tx:
        assert_type(await add.adelay(2, 3), Result[int])
        await tx.execute("SELECT 1")
        assert_type(await app.aenqueue(add.s(2, 3)), Result[int])
    async with app.using(object()):
        assert_type((await app.aenqueue_many([add.s(2, 3)]))[0], Result[int])
