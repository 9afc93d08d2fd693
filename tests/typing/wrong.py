"""Wrong calls: both checkers must refuse each line that is marked so, and no other. Never run."""

from __future__ import annotations

from collections.abc import Iterator

from hammerflow import Hammerflow, Result, Signature, chain, group

app = Hammerflow("shop")


@app.task
def add(x: int, y: int = 0) -> int:
    """A plain task."""
    return x + y


@app.task(queue="mail")
def send(to: str, *, subject: str) -> None:
    """A task with options and a keyword-only argument."""


@app.task
async def fetch(url: str) -> bytes:
    """An async task."""
    return url.encode()


def arguments() -> None:
    """The arguments are those of the function."""
    add.delay("2", 3)  # wrong: type
    add.delay(2, y="3")  # wrong: type of a keyword
    add.delay()  # wrong: too few
    add.delay(1, 2, 3)  # wrong: too many
    add.delay(1, z=2)  # wrong: unknown keyword
    send.delay("a@b.c")  # wrong: a keyword-only argument is missing
    send.delay("a@b.c", "hi")  # wrong: it is keyword-only
    fetch.delay(b"x")  # wrong: type, of an async task
    add("2")  # wrong: the plain function is checked as well


async def asynchronous() -> None:
    """The async twins are as strict."""
    await add.adelay("2")  # wrong: type
    await fetch.adelay()  # wrong: too few


def with_options() -> None:
    """So are calls with options, and the options themselves."""
    add.options(queue="fast").delay("2")  # wrong: type
    add.options(queue=5)  # wrong: type of an option
    add.options(queu="fast")  # wrong: no such option
    add.apply_async((2,), countdwn=5)  # wrong: no such option


@app.spawner  # wrong: a spawner yields signatures
def numbers() -> Iterator[int]:
    """It yields no signatures."""
    yield 1


def signatures() -> None:
    """si() takes all arguments; s() all but those that results fill."""
    add.si("2")  # wrong: type
    add.si()  # wrong: too few
    add.s("2")  # wrong: type
    add.s(1, "3")  # wrong: type
    add.s(1, 2, 3)  # wrong: too many
    add.s(z=1)  # wrong: unknown keyword
    send.s("a@b.c", subject=5)  # wrong: type of a keyword
    send.s("a@b.c")  # wrong: a keyword-only argument is missing
    fetch.si(b"x")  # wrong: type, of an async task
    add.options(queue="fast").si("2")  # wrong: type
    add.options(queue="fast").s(1, 2, 3)  # wrong: too many
    add.s(1) | add  # wrong: a task is not a signature
    chain(add.s(1), add)  # wrong: a task is not a signature
    group(add.s(1), 2)  # wrong: a number is not a signature


def canvas_results() -> None:
    """A canvas has the type of its last result."""
    one: Result[str] = app.enqueue(add.s(1))  # wrong: it is a Result[int]
    last: Result[int] = app.enqueue(add.s(1) | fetch.s("x"))  # wrong: it is a Result[bytes]
    two: Signature[str] = add.s(1)  # wrong: it is a Signature[int]
    many: list[str] = app.enqueue(group(add.s(1))).get()  # wrong: they are ints


def results() -> None:
    """A result is of the function's type."""
    text: str = add.delay(2).get()  # wrong: it is an int
    other: Result[str] = add.delay(2)  # wrong: it is a Result[int]
    late: int = fetch.delay("x").get()  # wrong: it is bytes


@app.task(max_attempt=3)  # wrong: no such option
def misspelt() -> None:
    """A task with a misspelt option."""
