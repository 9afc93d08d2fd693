"""Wrong calls: both checkers must refuse each line that is marked so, and no other. Never run."""

from __future__ import annotations

from hammerflow import Hammerflow, Result

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


def results() -> None:
    """A result is of the function's type."""
    text: str = add.delay(2).get()  # wrong: it is an int
    other: Result[str] = add.delay(2)  # wrong: it is a Result[int]
    late: int = fetch.delay("x").get()  # wrong: it is bytes


@app.task(max_attempt=3)  # wrong: no such option
def misspelt() -> None:
    """A task with a misspelt option."""
