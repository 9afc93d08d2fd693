"""The relay process of a worker: it delivers while there are sinks, and ends with the worker."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import threading
from contextlib import closing
from pathlib import Path

import pytest

from hammerflow.notifiers import RELAYS
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.supervisor.relay_process import RelayProcess
from tests.acceptance.kit import Shop
from tests.support.waiting import until

APP = """
from hammerflow import Hammerflow

app = Hammerflow("shop")
app.sink("audit", "file", path={path!r}, kinds=["job.completed"], tasks=["audited.*"])

@app.task
def add(x, y):
    return x + y
"""


def relays_of(pid: int) -> list[int]:
    """The relay processes that a worker has started, from any of its threads."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for text in lists for child in text.split()]
    return [
        child
        for child in children
        if "hammerflow.worker.relay" in Path(f"/proc/{child}/cmdline").read_text()
    ]


def test_the_code_declares_a_sink_and_its_relay_is_replaced(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    path = shop.folder / "events.jsonl"
    (shop.folder / "audited.py").write_text(textwrap.dedent(APP).format(path=str(path)))

    def delivered() -> dict[str, str]:
        """Tasks by event: the one under way when a relay is killed comes twice."""
        lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return {event["id"]: event["data"]["task"] for event in events}

    with shop.worker(app="audited:app", path=shop.folder) as worker:
        until("it is declared", lambda: bool(shop.client.store.sinks.list()))
        assert shop.client.store.sinks.get("audit").app == "shop"
        shop.client.store.names.outbox.refresh()
        rung = threading.Event()
        bell = shop.client.notifier
        with closing(bell.listen(queues=[RELAYS], on_work=rung.set, on_control=lambda: None)):
            rung.clear()  # a subscription calls back, too
            shop.client.signature("audited.add", [1, 2]).delay()
            until("it is delivered", lambda: [*delivered().values()] == ["audited.add"])
            assert rung.wait(10), "relays of other workers are told, too"
        [relay] = relays_of(worker.pid)
        os.kill(relay, signal.SIGKILL)
        shop.client.signature("audited.add", [3, 4]).delay()
        # The hold of the dead one, 15 s, is not waited for.
        until("another one delivers", lambda: len(delivered()) == 2, timeout=14)
        [relay] = relays_of(worker.pid)
    until("it ends with the worker", lambda: not Path(f"/proc/{relay}").exists())


READER = """
import os, sys
sys.stdin.readline()
with open({path!r}, "wb") as file:
    file.write(os.read(0, 1))
os.set_inheritable(0, True)
os.execvp("sleep", ["sleep", "60"])
"""


def test_a_wake_reaches_the_process_and_never_blocks(
    sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sqlite_shop.folder / "wakes"
    code = READER.format(path=str(path))
    monkeypatch.setattr("hammerflow.worker.supervisor.relay_process._CODE", code)
    relay = RelayProcess(
        sqlite_shop.client.store, settings=sqlite_shop.client.settings,
        options=WorkerOptions(app="x"), definitions={},
    )  # fmt: skip
    relay.wake()  # there is none yet
    relay._start()
    process = relay._process
    assert process is not None

    def is_woken() -> bool:
        relay.wake()
        return path.exists() and path.read_bytes() == b"."

    until("a wake arrives", is_woken)
    for _ in range(70_000):  # more than a pipe holds, and nobody reads
        relay.wake()
    process.kill()
    process.wait()
    relay.wake()
    relay.stop()
    relay.wake()
