"""Probes of a worker over HTTP, and what it tells systemd, with real workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow.worker.supervisor.service_manager import ServiceManager
from tests.acceptance.kit import Shop, Worker
from tests.support.proxy import Proxy
from tests.support.waiting import until

_HEALTH = ("--health", "127.0.0.1:0")


class Probe:
    """Asks the health server of a worker."""

    def __init__(self, worker: Worker) -> None:
        worker.wait_for_log("health at ")
        (self.address,) = re.findall(r"health at http://(\S+)/livez", worker.log)

    def __call__(self, name: str, timeout: float = 10.0) -> tuple[int, list[str]]:
        """The status, and why it is no 200."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/{name}", timeout=timeout) as got:
                return got.status, json.load(got)["why"]
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["why"]

    def says(self, words: str) -> Callable[[], bool]:
        """Whether the worker is not ready, for this reason."""

        def is_said() -> bool:
            status, why = self("readyz")
            return status == 503 and any(words in one for one in why)

        return is_said


class Manager:
    """What systemd hears."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.heard: list[str] = []

    def read(self, seconds: float = 0.0) -> list[str]:
        """All first lines up to now, or that come within some seconds."""
        ends_at = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(0.001, ends_at - time.monotonic()))
            try:
                self.heard.append(self._socket.recv(4096).decode().splitlines()[0])
            except TimeoutError:
                return self.heard

    def without_life(self) -> list[str]:
        """What it heard but for signs of life, and of a start that goes on."""
        return [one for one in self.read() if not one.startswith(("WATCHDOG", "EXTEND"))]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    yield manager
    manager.close()


def test_probes_and_systemd_follow_the_life_of_a_worker(
    sqlite_shop: Shop, manager: Manager
) -> None:
    shop = sqlite_shop
    worker = shop.worker(*_HEALTH, children=1)
    probe = Probe(worker)
    until("it is ready", lambda: probe("readyz") == (200, []))
    assert (probe("livez"), manager.without_life()) == ((200, []), ["READY=1"])
    worker.signal(signal.SIGHUP)
    until("reloaded", lambda: manager.without_life() == ["READY=1", "RELOADING=1", "READY=1"])

    slow = [socket.create_connection(probe.address.split(":")) for _ in range(30)]
    running = shop.send("hold", "gate")
    shop.wait_for_run(running)
    assert probe("readyz", timeout=2.0) == (200, [])
    for client in slow:
        client.close()

    os.kill(worker.pid, signal.SIGSTOP)
    manager.read()
    heard = len(manager.heard)
    with pytest.raises(TimeoutError):
        probe("livez", timeout=1.0)
    assert len(manager.read(0.5)) == heard, "no sign of life"
    os.kill(worker.pid, signal.SIGCONT)
    until("a sign of life", lambda: manager.read()[heard:].count("WATCHDOG=1") > 1)
    assert probe("livez") == (200, [])

    worker.signal(signal.SIGTERM)
    until("it drains", probe.says("drains"))
    assert probe("livez") == (200, [])
    assert manager.without_life()[3:] == ["STOPPING=1"]
    shop.open("gate")
    assert worker.process.wait(20) == 0
    shop.check([running], most_attempts=1)


def test_a_worker_is_not_ready_while_its_database_is_away(
    migrated_database: Callable[[str], str], tmp_path: Path
) -> None:
    url = migrated_database("postgres")
    with Proxy(url) as proxy:
        shop = Shop(url, tmp_path, through=proxy.url)
        with shop.worker(*_HEALTH, children=1) as worker:
            probe = Probe(worker)
            until("it is ready", lambda: probe("readyz") == (200, []))
            proxy.silence()
            until("it is not ready", probe.says("the database has answered no claim for"))
            assert probe("livez") == (200, [])
            proxy.speak()
            proxy.drop_all()  # one that was opened meanwhile may wait for its first answer
            until("it is ready again", lambda: probe("readyz") == (200, []))
        shop.close()


def test_a_worker_is_not_ready_without_a_fork_server(sqlite_shop: Shop, tmp_path: Path) -> None:
    code = tmp_path / "fresh.py"
    code.write_text(_APP)
    with sqlite_shop.worker(
        *_HEALTH, app="fresh:app", folder=tmp_path, children=1, error="SyntaxError"
    ) as worker:
        probe = Probe(worker)
        until("it is ready", lambda: probe("readyz") == (200, []))
        code.write_text("broken(")
        (fork_server,) = worker.fork_servers()
        os.kill(fork_server, signal.SIGKILL)
        until("it is not ready", probe.says("the fork server is gone"))
        worker.wait_for_log("cannot be loaded")
        assert probe("livez") == (200, [])
        code.write_text(_APP)
        until("it is ready again", lambda: probe("readyz") == (200, []))


_APP = "from hammerflow import Hammerflow\napp = Hammerflow('shop')\n@app.task\ndef say(): pass\n"


@pytest.mark.parametrize(
    ("given", "watchdog"),
    [
        ({}, None), ({"WATCHDOG_USEC": "8000000"}, 4.0), ({"WATCHDOG_USEC": "x"}, None),
        ({"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}, 4.0),
    ],
)  # fmt: skip
def test_the_variables_of_systemd_are_taken(given: dict[str, str], watchdog: Any) -> None:
    environ = {**given, "NOTIFY_SOCKET": "/nowhere/at/all"}
    manager = ServiceManager(environ)
    manager.ready()
    manager.turn(0.0)
    assert (manager.watchdog, environ) == (watchdog, {})


def test_an_abstract_socket_is_told() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0hammerflow-{os.getpid()}")
        heard.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": f"@hammerflow-{os.getpid()}"}).stopping()
        assert heard.recv(100) == b"STOPPING=1\nSTATUS=draining"
