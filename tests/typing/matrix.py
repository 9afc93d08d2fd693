"""Forms of tasks and canvases, and the types that come of them in both checkers. Never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, NoReturn, TypeVar, assert_type

from hammerflow import (
    GroupResult,
    Hammerflow,
    Result,
    Signature,
    SpawnContext,
    Workflow,
    WorkflowResult,
    chain,
    chord,
    group,
)
from hammerflow.canvas.chain import Chain, Chord, Group

T = TypeVar("T")
app = Hammerflow("shop")


@app.task
def add(x: int, y: int = 0) -> int:
    """A plain task."""
    return x + y


@app.task(queue="text")
def text(x: int, *, width: int = 5) -> str:
    """A task with options."""
    return f"{x:{width}}"


@app.task
async def fetch(url: str) -> bytes:
    """An async task."""
    return url.encode()


@app.task(queue="x")
async def anything(value: Any) -> dict[str, Any]:
    """An async task of anything."""
    return {"value": value}


@app.task
def total(numbers: list[int]) -> float:
    """What follows a group."""
    return sum(numbers)


@app.task
def echo(*args: Any, **kwargs: Any) -> list[Any]:
    """It takes anything."""
    return [args, kwargs]


@app.task
def same(x: T) -> T:
    """A generic task."""
    return x


@app.task(queue="x")
def first(items: list[T]) -> T:
    """A generic task with options."""
    return items[0]


@app.task
async def later(x: T) -> T:
    """A generic async task."""
    return x


@app.task
def fails() -> NoReturn:
    """It never returns."""
    raise ValueError


@app.task
def untold(x: int) -> Any:
    """It returns anything."""
    return x


@app.task
def by_request(request: Any, error: Any, traceback: str) -> None:
    """An errback."""


@app.spawner
def generator(album: str) -> Iterator[Signature]:
    """A generator."""
    yield add.s(1)


@app.spawner(max_spawn_count=5)
def counted(album: str) -> Generator[Signature[int], None, int]:
    """A generator with a result."""
    yield add.s(1)
    return 1


@app.spawner
async def async_generator(album: str) -> AsyncIterator[Signature]:
    """An async generator."""
    yield add.s(1)


@app.spawner(then=total.s())
def listed(album: str) -> list[Signature[int]]:
    """A list."""
    return [add.s(1)]


@app.spawner
async def async_listed(album: str) -> list[Signature]:
    """A list, later."""
    return [add.s(1)]


@app.spawner(queue="x")
def mixed(album: str) -> list[Signature | Workflow] | None:
    """Different children, or none."""
    return None


@app.spawn_handler("h")
def handler(context: SpawnContext) -> Iterator[Signature]:
    """A handler."""
    yield add.s(1)


class Shop:
    """A task in a class is a static method."""

    @app.task
    @staticmethod
    def inside(x: int) -> int:
        """The task."""
        return x


def generics() -> None:
    """A generic task is a plain one."""
    same.delay(1)
    same.delay(x="x")
    first.delay(["a"])
    assert_type(later.delay(1), Result[int])
    assert_type(later.delay(["a"]), Result[list[str]])
    fails.delay()
    untold.delay(1)
    assert_type(anything.delay(1), Result[dict[str, Any]])
    assert_type(echo.delay(1, b=2), Result[list[Any]])
    assert_type(Shop.inside.delay(1), Result[int])
    assert_type(Shop().inside.delay(1), Result[int])


def spawners() -> None:
    """A spawner's result is what its generator returns."""
    assert_type(generator.delay("a"), Result[Any])
    assert_type(counted.delay("a"), Result[int])
    assert_type(async_generator.delay("a"), Result[None])
    assert_type(listed.delay("a"), Result[None])
    assert_type(async_listed.delay("a"), Result[None])
    assert_type(mixed.delay(album="a"), Result[None])
    assert_type(counted.s("a"), Signature[int])
    list(generator("a"))


def signatures() -> None:
    """Results come before the arguments of s()."""
    assert_type(add.s(1, 2), Signature[int])
    assert_type(add.s(1), Signature[int])
    assert_type(add.s(y=2), Signature[int])
    assert_type(add.s(), Signature[int])
    assert_type(text.s(width=3), Signature[str])
    assert_type(fetch.s("x"), Signature[bytes])
    assert_type(fetch.si("x"), Signature[bytes])
    assert_type(by_request.s(), Signature[None])
    assert_type(echo.s(1, 2, 3, k=4), Signature[list[Any]])
    assert_type(add.options(queue="fast").s(1), Signature[int])
    assert_type(add.options(queue="fast").si(1, y=2), Signature[int])
    assert_type(add.s(1).set(queue="x"), Signature[int])
    assert_type(add.s(1).depends_on(add.s(2)), Signature[int])
    assert_type(add.s(1).on_error(by_request.s()), Signature[int])
    assert_type(add.s(1).link(text.s()), Signature[str])
    assert_type(text.map([1, 2]), Signature[list[str]])
    assert_type(add.starmap([(1, 2)]), Signature[list[int]])
    assert_type(add.chunks([(1, 2)], 10), Group[list[int]])
    bare: Signature = add.s(1)
    several: list[Signature] = [add.s(1), fetch.s("x"), bare]
    app.enqueue_many(several)


def canvases() -> None:
    """A canvas has the type of its last result."""
    assert_type(add.s(1) | text.s(), Chain[str])
    assert_type(add.s(1) | text.s() | echo.s(), Chain[list[Any]])
    assert_type(chain(add.s(1), text.s()), Chain[str])
    assert_type(chain(add.s(1), text.s(), fetch.s("x")), Chain[bytes])
    assert_type(chain(add.s(1)), Signature[int])
    assert_type(group(add.s(1), add.s(2)), Group[int])
    assert_type(group(add.s(i) for i in range(3)), Group[int])
    assert_type(group([fetch.s("x")]), Group[bytes])
    assert_type(group(add.s(1)) | total.s(), Chain[float])
    assert_type(chord([add.s(1), add.s(2)], total.s()), Chord[float])
    assert_type(chord(group(add.s(1)), total.s()), Chord[float])
    chord(add.s(i) for i in range(3))(total.s())


def enqueued() -> None:
    """What is enqueued gives a handle of its type."""
    assert_type(app.enqueue(add.s(1)), Result[int])
    assert_type(app.enqueue(add.s(1)).get(), int)
    assert_type(app.enqueue(add.s(1) | text.s()), Result[str])
    assert_type(app.enqueue(chord([add.s(1)], total.s())), Result[float])
    assert_type(app.enqueue(group(add.s(1), add.s(2))), GroupResult[int])
    assert_type(app.enqueue(group(add.s(1))).get(), list[int])
    assert_type(app.enqueue_many(add.s(i) for i in range(3))[0], Result[int])
    assert_type(app.enqueue(app.signature("shop.add", [1])), Result[Any])
    assert_type(app.enqueue(Workflow("flow")), WorkflowResult)
    assert_type(app.batch([add.s(1)]).name, str)


async def calls() -> None:
    """Calls are those of the functions."""
    assert_type(add(1), int)
    assert_type(await fetch("x"), bytes)
    plain: Callable[[int, int], int] = add
    plain(1, 2)
    later_plain: Callable[[str], Awaitable[bytes]] = fetch
    await later_plain("x")
    coroutine: Coroutine[Any, Any, bytes] = fetch("x")
    await coroutine
    assert_type(await app.aenqueue(add.s(1)), Result[int])
    assert_type(await app.aenqueue(group(add.s(1))), GroupResult[int])
    assert_type((await app.aenqueue_many([add.s(1)]))[0], Result[int])
    assert_type(await (await add.adelay(1)).aget(), int)
