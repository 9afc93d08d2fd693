"""Open many streams on one server and see that each gets each event: run it as a module.

python -m tests.web.many_streams [STREAMS] [EVENTS]
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from hammerflow.web import streams
from hammerflow.web.access import Principal, Role
from tests.web.conftest import TOKEN, api, served

_IDS = re.compile(rb"^id: (\d+)$", re.MULTILINE)


async def _follow(address: tuple[str, int], wanted: int, opened: asyncio.Event) -> int:
    """Read until the last event has come; how many of them came, each once and in order."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(
        "GET /api/events/stream?kinds=queue.* HTTP/1.1\r\nhost: x\r\n"
        f"authorization: {TOKEN}\r\n\r\n".encode()
    )
    await reader.readuntil(b"retry")
    opened.set()
    found: list[int] = []
    while len(found) < wanted:
        line = await reader.readline()
        if match := _IDS.match(line.strip()):
            found.append(int(match[1]))
    writer.close()
    return wanted if found == sorted(set(found)) else -1


async def _run(address: tuple[str, int], app: Hammerflow, count: int, events: int) -> None:
    began = time.monotonic()
    opened = [asyncio.Event() for _ in range(count)]
    tasks = [asyncio.create_task(_follow(address, events, one)) for one in opened]
    await asyncio.gather(*(one.wait() for one in opened))
    _say(f"{count} streams open within {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    await asyncio.to_thread(_write, app, events)
    got = await asyncio.wait_for(asyncio.gather(*tasks), 120)
    took = time.monotonic() - began
    assert got == count * [events], "a stream has missed or repeated an event"
    _say(f"each got {events} events in order within {took:.1f} s of the first")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _write(app: Hammerflow, count: int) -> None:
    for number in range(count):
        (app.resume if number % 2 else app.pause)(queue="default")


def main(count: int, events: int) -> None:
    """Serve an API over SQLite from a thread, and open the streams."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (16_384, 16_384))
    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        database = f"sqlite:///{folder}/jobs.db"
        app = Hammerflow("shop", database=database, streams_per_user=count)
        opened.callback(app.close)
        app.migrate()
        app.store.sinks.put("log", "none", {}, EventFilter.of(kinds=["*"]), by="test")
        reads = 0
        read = app.store.events.read

        def counting(*args: object, **values: object) -> object:
            nonlocal reads
            reads += 1
            return read(*args, **values)  # type: ignore[arg-type]

        app.store.events.read = counting  # type: ignore[assignment,method-assign]
        url = opened.enter_context(served(api(app, Principal("ann", Role.READ))))
        host, _, port = url.removeprefix("http://").partition(":")
        began = time.monotonic()
        asyncio.run(_run((host, int(port)), app, count, events))
        polls = (time.monotonic() - began) / streams.POLL
        _say(f"the log was read {reads} times ({polls:.0f} rounds of one poller)")


if __name__ == "__main__":
    main(*(int(text) for text in [*sys.argv[1:], "1000", "20"][:2]))
