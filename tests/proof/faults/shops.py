"""Shops: a shop on a migrated database, and customers who enqueue whatever happens to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from uuid import UUID

from hammerflow import Hammerflow, Result, StoreUnavailable
from tests.acceptance.kit import Shop
from tests.support.waiting import until

__all__ = ["Customers", "Load", "loading", "percentile", "shop_on"]

_ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def shop_on(url: str, folder: Path, *, redis: str | None = None) -> Iterator[Shop]:
    """A shop on a fresh database; its workers end with it."""
    with contextlib.closing(Hammerflow("shop", database=url)) as app:
        app.migrate()
    shop = Shop(url, folder, redis=redis)
    try:
        yield shop
    finally:
        shop.close()


class Customers:
    """A thread that enqueues, one job after the other, and what it was told.

    Attributes:
        acknowledged: what came back.
        refused: what was refused; each may be there all the same.
        sent: the monotonic time at which an acknowledged job's enqueue began, by id in hex.
    """

    def __init__(self, shop: Shop, *, pause: float = 0.005) -> None:
        self._shop = shop
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: list[Result[Any]] = []
        self.refused: list[StoreUnavailable] = []
        self.sent: dict[str, float] = {}
        self._trouble: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def stop(self) -> None:
        """The last call is over when this returns."""
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "an enqueue hangs"
        assert self._trouble is None, f"an enqueue raised {self._trouble!r}"

    def wait_for(self, more: int, timeout: float = 30.0) -> None:
        """Until so many more jobs are acknowledged."""
        wanted = len(self.acknowledged) + more
        until(f"{more} jobs more", lambda: len(self.acknowledged) >= wanted, timeout)

    def wait_for_trouble(self, timeout: float = 30.0) -> None:
        """Until one more enqueue was refused."""
        known = len(self.refused)
        until("a refusal", lambda: len(self.refused) > known, timeout)

    def delays(self) -> list[float]:
        """Seconds from each acknowledged enqueue to the beginning of its body, sorted."""
        began: dict[str, float] = {}
        for run in self._shop.ledger.runs():
            began.setdefault(run.job, run.began)
        return sorted(began[job] - at for job, at in self.sent.items() if job in began)

    def _run(self) -> None:
        try:
            while not self._over.wait(self._pause):
                at = time.monotonic()
                try:
                    result = self._shop.send("note", len(self.acknowledged))
                except StoreUnavailable as error:
                    self.refused.append(error)
                else:
                    self.sent[result.id.hex] = at
                    self.acknowledged.append(result)
        except BaseException as error:  # noqa: BLE001 - told by stop(), in the scenario's thread
            self._trouble = error


def percentile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


class Load:
    """A process that enqueues (tests.proof.faults.load), and what it has noted."""

    def __init__(self, url: str, acknowledged: Path) -> None:
        self._acknowledged = acknowledged
        self._refused = acknowledged.with_suffix(".refused")
        command = [sys.executable, "-m", "tests.proof.faults.load", url, str(acknowledged)]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self.process = subprocess.Popen(command, cwd=_ROOT, env=environment)

    @property
    def calls(self) -> int:
        """Enqueues that were acknowledged."""
        return _lines(self._acknowledged)

    @property
    def refusals(self) -> int:
        """Enqueues that ended in StoreUnavailable."""
        return _lines(self._refused)

    @property
    def promised(self) -> list[Any]:
        """The acknowledged jobs."""
        words = self._acknowledged.read_text().split()
        return [SimpleNamespace(id=UUID(hex=word)) for word in words]

    @property
    def unknown(self) -> int:
        """Jobs that nobody was told of, with those of a call that the end of the process cut."""
        refused = self._refused.read_text().split() if self.refusals else []
        return 20 + sum(map(int, refused))

    def wait_for(self, more: int) -> None:
        """Until so many more enqueues are acknowledged."""
        wanted = self.calls + more
        until(f"{more} enqueues more", lambda: self._alive() and self.calls >= wanted, 30)

    def wait_for_trouble(self, more: int) -> None:
        """Until so many more enqueues are refused."""
        wanted = self.refusals + more
        until(f"{more} refusals more", lambda: self._alive() and self.refusals >= wanted, 30)

    def end(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait()

    def _alive(self) -> bool:
        assert self.process.poll() is None, "an enqueue raised something else"
        return True


@contextlib.contextmanager
def loading(url: str, acknowledged: Path) -> Iterator[Load]:
    """Load on a database until the end of the block."""
    load = Load(url, acknowledged)
    try:
        yield load
    finally:
        load.end()


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
