"""One run of one contender: servers, workers, a client, the faults, and what is left."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.proof.chaos.peers.catalogue import Contender
from tests.proof.chaos.peers.faults import Nemesis, schedule
from tests.proof.chaos.peers.figures import Book, figures
from tests.proof.chaos.peers.fleet import Fleet
from tests.support.servers import Postgres, Redis, Server

__all__ = ["MOST_SECONDS", "run"]

ROOT = Path(__file__).parents[4]
#: What is not done so long after the load is not waited for.
MOST_SECONDS = 120.0
#: A contender whose first jobs are not done after this has not been set up as it should be.
_START_SECONDS = 60.0
_PROBES = 8
#: The ledger must have stood still for so long with nothing unfinished.
_QUIET = 4.0


class DurableRedis(Redis):
    """Redis as those advise who keep jobs in it: an append-only file, synced each second."""

    def _command(self) -> list[str]:
        command = super()._command()
        command[command.index("--appendonly") + 1] = "yes"
        return [*command, "--appendfsync", "everysec"]


def run(
    contender: Contender,
    *,
    seed: int,
    seconds: float,
    rate: float,
    lease: float,
    interpreter: str,
    kills: bool = True,
    keep: Path | None = None,
) -> dict[str, Any]:
    """Its figures; RuntimeError, with what it has said, if it did not come up.

    Args:
        keep: a folder for ledger, logs and kills.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-peers-")))
        servers = [stack.enter_context(_server(kind)) for kind in contender.servers]
        environment = _environment(contender, servers, folder, lease)
        client = stack.enter_context(_client(contender, interpreter, environment, folder))
        hello = client.ask(None, _START_SECONDS, lambda: None)
        fleet = Fleet(hello["commands"], environment, folder)
        stack.callback(fleet.kill)
        book = Book(folder / "ledger")
        nemesis = Nemesis(fleet, servers)
        _warm_up(client, fleet, book)
        client.say(f"load {seed} {rate} {seconds}")
        began = time.monotonic()
        for fault in schedule(seed, seconds) if kills else []:
            while time.monotonic() < began + fault.at:
                fleet.keep()
                time.sleep(0.02)
            book.read()
            nemesis.do(fault, book.bodies)
        errors = client.ask(None, seconds + MOST_SECONDS, fleet.keep)
        healed = time.monotonic()
        unfinished = _settle(client, fleet, book, healed + MOST_SECONDS)
        if keep is not None:
            kept = shutil.copytree(folder, keep / f"{contender.name}-{seed}", dirs_exist_ok=True)
            (kept / "kills").write_text("".join(f"{kill}\n" for kill in nemesis.kills))
        return {
            "contender": contender.name,
            "title": contender.title,
            "version": hello["version"],
            "seed": seed,
            "seconds": round(healed - began, 1),
            "rate": rate,
            "lease": lease,
            "quiet_after": round(time.monotonic() - healed, 1),
            "restarts": fleet.restarts,
            "faults": nemesis.faults,
            "errors": errors,
            **figures(book, nemesis.kills, unfinished),
        }


def _warm_up(client: _Client, fleet: Fleet, book: Book) -> None:
    """Until some jobs are done: all is up."""
    fleet.keep()
    client.say(f"probe {_PROBES}")
    client.ask(None, _START_SECONDS, fleet.keep)
    until = time.monotonic() + _START_SECONDS
    while len({run.key for run in book.runs if run.ended is not None}) < _PROBES:
        if time.monotonic() > until:
            raise RuntimeError(f"no worker came up: {client.log()}")
        fleet.keep()
        time.sleep(0.05)
        book.read()


def _settle(client: _Client, fleet: Fleet, book: Book, until: float) -> set[str]:
    """Wait until nothing is unfinished and the ledger stands still; what is unfinished."""
    still = time.monotonic()
    while True:
        unfinished = set(client.ask("unfinished", MOST_SECONDS, fleet.keep))
        if book.read() or (unfinished and time.monotonic() < until):
            still = time.monotonic()
        if time.monotonic() - still > _QUIET or time.monotonic() > until + _QUIET:
            return unfinished
        pause = time.monotonic() + 0.5
        while time.monotonic() < pause:
            fleet.keep()
            time.sleep(0.05)


class _Client:
    """The client's process; its answers are read by a thread, so that nobody waits for it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def say(self, command: str) -> None:
        """A command whose answer is asked for later."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def ask(self, command: str | None, timeout: float, meanwhile: Callable[[], None]) -> Any:
        """The next answer."""
        if command is not None:
            self.say(command)
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            meanwhile()
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=0.02)
                if not answer:
                    break
                return json.loads(answer)
        raise RuntimeError(f"the client does not answer: {self.log()}")

    def log(self) -> str:
        """The last that client and workers have said."""
        said = []
        for name in ("client.log", "worker.log"):
            path = self._folder / name
            said.append(path.read_text(errors="replace")[-2000:] if path.exists() else "")
        return "\n".join(said)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")


@contextlib.contextmanager
def _client(
    contender: Contender, interpreter: str, environment: dict[str, str], folder: Path
) -> Iterator[_Client]:
    command = [interpreter if contender.package else sys.executable, "-m"]
    command += [
        "tests.proof.chaos.peers.client",
        f"tests.proof.chaos.peers.with_{contender.module}",
    ]
    with open(folder / "client.log", "wb") as log:
        process = subprocess.Popen(
            [*command, contender.package], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    with process:
        try:
            yield _Client(process, folder)
        finally:
            process.kill()


def _server(kind: str) -> Server:
    return {"postgres": Postgres, "redis": DurableRedis}[kind](durable=True)


def _environment(
    contender: Contender, servers: list[Server], folder: Path, lease: float
) -> dict[str, str]:
    urls = {}
    for server in servers:
        if isinstance(server, Postgres):
            urls["CHAOS_DATABASE_URL"] = server.create_database("chaos")
        else:
            urls["CHAOS_REDIS_URL"] = server.url()
    ours = {name: text for name, text in os.environ.items() if not name.startswith("HAMMERFLOW")}
    return {
        **ours,
        **urls,
        **contender.environment,
        "CHAOS_LEDGER": str(folder / "ledger"),
        "CHAOS_LEASE": str(lease),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
