"""StreamNemesis: kills and freezes workers, relays and brokers, and mends them in time."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hammerflow.errors import HammerflowError
from hammerflow.stores.events.sinks import HOLD
from hammerflow.stores.events.webhooks import WEBHOOK_QUEUE, Webhooks
from tests.acceptance.kit import LEASE, Shop, Worker
from tests.proof.streams.endpoints import Endpoint

__all__ = ["Relay", "StreamNemesis"]

_ROOT = Path(__file__).parents[3]
#: The share of faults of relays that hit one which is connected to an endpoint.
_AIMED = 0.7
#: No statement here waits for a lock for more than a second.
_PATIENCE = {
    "sqlite": "PRAGMA busy_timeout = 1000",
    "postgres": "SET lock_timeout = '1s'",
    "mysql": "SET innodb_lock_wait_timeout = 1",
}
_APP = "tests.acceptance.shop:app"


class Relay:
    """``hammerflow relay`` as a process."""

    def __init__(self, shop: Shop, number: int) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith("HAMMERFLOW")}
        env |= {
            "HAMMERFLOW_DATABASE_URL": shop.url, "PYTHONPATH": str(_ROOT),
            "SHOP_FOLDER": str(shop.folder), "HAMMERFLOW_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        }  # fmt: skip
        with open(shop.folder / f"relay-{number}.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hammerflow", "-A", _APP, "relay"], cwd=_ROOT, env=env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


class StreamNemesis:
    """Breaks one thing after another, from the thread that calls :meth:`run`.

    Args:
        pause: the mean of the seconds between two faults.

    Attributes:
        faults: how often each was done.
    """

    def __init__(
        self, shop: Shop, endpoints: Sequence[Endpoint], *, seed: int, pause: float,
        workers: int, relays: int,
    ) -> None:  # fmt: skip
        self._shop = shop
        self._endpoints = endpoints
        self._dice = random.Random(seed)
        self._pause = pause
        self._due: dict[str, tuple[float, Callable[[], Any]]] = {}  # what is broken: when to mend
        self._changing: threading.Thread | None = None
        self.faults: Counter[str] = Counter()
        self.workers = [self._worker() for _ in range(workers)]
        self.relays = [Relay(shop, number) for number in range(relays)]
        for worker in self.workers:
            worker.wait_for_log("worker started", timeout=60)

    def run(self, seconds: float) -> None:
        """Break things for some seconds, then mend all of them."""
        until = time.monotonic() + seconds
        next_at = time.monotonic()
        verbs = [
            (self._break_endpoint, 6), (self._kill_relay, 2), (self._freeze_relay, 1),
            (self._kill_worker, 1), (self._kill_child, 1), (self._freeze_worker, 0.5),
            (self._end_holds, 0.5), (self.end_pauses, 2), (self._disable_webhook, 1),
        ]  # fmt: skip
        while (now := time.monotonic()) < until:
            self._mend(now)
            self._revive()
            if now >= next_at:
                [verb] = self._dice.choices([v for v, _ in verbs], [w for _, w in verbs])
                done = verb()
                if done is not None:
                    self.faults[done] += 1
                next_at = now + self._dice.expovariate(1 / self._pause)
            time.sleep(0.02)
        self._mend(float("inf"))
        self._revive()
        self._end_holds()

    def end_pauses(self) -> str | None:
        """As if the time had come of deliveries to the webhook that wait for their next attempt,
        of which each has ten: not while it is broken. What it has disabled by its answer is
        enabled, as a person would do."""
        if "webhook" in self._due:
            return None
        self._change_webhook(self._enable)
        self._meddle(
            "UPDATE {webhooks} SET rest_until = NULL",
            f"UPDATE {{scheduled}} SET run_at = {self._shop.desk.shift('run_at', 86_400)} "
            f"WHERE queue_id = (SELECT id FROM {{queues}} WHERE name = '{WEBHOOK_QUEUE}')",
        )
        return None

    def stop_workers(self) -> None:
        """End the workers in order; the relays go on."""
        for worker in self.workers:
            worker.stop(60)

    def close(self) -> None:
        """End the relays."""
        for relay in self.relays:
            relay.kill()

    # -- steps

    def _worker(self) -> Worker:
        allowed = "127.0.0.0/8"
        return self._shop.worker(wait=False, poison_limit=1000, webhook_allow_networks=allowed)

    def _mend(self, now: float) -> None:
        for what in [what for what, (at, _) in self._due.items() if at <= now]:
            self._due.pop(what)[1]()

    def _revive(self) -> None:
        for number, worker in enumerate(self.workers):
            if worker.process.poll() is not None:
                self.workers[number] = self._worker()
        for number, relay in enumerate(self.relays):
            if relay.process.poll() is not None:
                self.relays[number] = Relay(self._shop, number)

    def _break_endpoint(self) -> str | None:
        endpoint = self._dice.choice(self._endpoints)
        if endpoint.name in self._due:
            return None
        fault = self._dice.choice(endpoint.faults())
        fault.begin(self._dice)
        ends = time.monotonic() + self._dice.uniform(0.1, 1.0) * fault.seconds
        self._due[endpoint.name] = ends, fault.end
        return fault.name

    def _disable_webhook(self) -> str | None:
        """As a person does."""
        names = {endpoint.name for endpoint in self._endpoints}
        if "webhook" in self._due or "webhook" not in names:
            return None
        self._change_webhook(partial(self._webhooks.disable, "webhook", "chaos", by="nemesis"))
        ends = time.monotonic() + self._dice.uniform(0.1, 3.0)
        self._due["webhook"] = ends, lambda: self._change_webhook(self._enable)
        return "webhook disabled"

    @property
    def _webhooks(self) -> Webhooks:
        return self._shop.client.store.webhooks

    def _enable(self) -> None:
        if self._webhooks.get("webhook").state == "disabled":
            self._webhooks.enable("webhook", by="nemesis")

    def _change_webhook(self, change: Callable[[], None]) -> None:
        """In a thread, one change after another: a frozen process may hold a lock, and this thread
        is to wake it."""
        before = self._changing

        def work() -> None:
            if before is not None:
                before.join()
            with contextlib.suppress(HammerflowError):  # the database is busy; the next one comes
                change()

        self._changing = threading.Thread(target=work, daemon=True)
        self._changing.start()

    def _relay(self) -> int | None:
        """The pid of a relay that runs, of a worker or alone; most often of one that sends."""
        found = [relay.pid for relay in self.relays]
        for worker in self._awake():
            found += [pid for pid in worker.fork_servers() if _is_relay(pid)]
        awake = [pid for pid in found if f"relay {pid}" not in self._due]
        ports = self._dice.choice(self._endpoints).ports
        sending = [pid for pid in awake if _peers(pid) & ports]
        if sending and self._dice.random() < _AIMED:
            awake = sending
        return self._dice.choice(awake) if awake else None

    def _kill_relay(self) -> str | None:
        pid = self._relay()
        return "relay killed" if pid is not None and _send(pid, signal.SIGKILL) else None

    def _freeze_relay(self) -> str | None:
        """For longer than it holds its sinks; one at a time, as others are to take them over."""
        if any(what.startswith("relay") for what in self._due):
            return None
        pid = self._relay()
        if pid is None or not _send(pid, signal.SIGSTOP):
            return None
        ends = time.monotonic() + HOLD + self._dice.uniform(1.0, 3.0)
        self._due[f"relay {pid}"] = ends, lambda: _send(pid, signal.SIGCONT)
        return "relay frozen"

    def _end_holds(self) -> str | None:
        """As if the time of all holds were over: others take over what living ones are sending."""
        done = self._meddle("UPDATE {sinks} SET until = 0", "UPDATE {relay} SET until = 0")
        return "holds ended" if done else None

    def _meddle(self, *statements: str) -> bool:
        """Run SQL; False if a frozen process held a lock, which this thread is to wake."""
        desk = self._shop.desk
        try:
            for statement in (_PATIENCE[desk.kind], *statements):
                desk.sql(statement)
        except Exception:  # noqa: BLE001 - of three drivers
            desk.hang_up()
            return False
        return True

    def _awake(self) -> list[Worker]:
        return [worker for worker in self.workers if f"worker {worker.pid}" not in self._due]

    def _kill_worker(self) -> str | None:
        awake = self._awake()
        if not awake:
            return None
        self._dice.choice(awake).kill()
        return "worker killed"

    def _kill_child(self) -> str | None:
        awake = self._awake()
        children = sorted(self._dice.choice(awake).children()) if awake else []
        if not children or not _send(self._dice.choice(children), signal.SIGKILL):
            return None
        return "child killed"

    def _freeze_worker(self) -> str | None:
        """All processes of one, for longer than its lease. Not on SQLite, where it could stand
        still within the only transaction."""
        awake = self._awake()
        if len(awake) < len(self.workers) or self._shop.desk.kind == "sqlite":
            return None
        worker = self._dice.choice(awake)
        worker.freeze()
        self._due[f"worker {worker.pid}"] = time.monotonic() + LEASE * 2, worker.thaw
        return "worker frozen"


def _is_relay(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"relay" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _peers(pid: int) -> set[int]:
    """The ports of this machine to which a process is connected by TCP."""
    links = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.add(os.readlink(entry))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(line[2].rpartition(":")[2], 16) for line in lines if f"socket:[{line[9]}]" in links}


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
