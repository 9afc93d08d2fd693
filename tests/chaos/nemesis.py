"""Nemesis: kills, stops and cuts whatever a system of workers, a database and Redis is made of."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.acceptance.kit import LEASE, Shop, Worker
from tests.chaos.record import Kill
from tests.servers import Redis, Server

__all__ = ["Nemesis"]


class Nemesis:
    """A thread that picks a fault, waits, and picks the next.

    Args:
        pause: the mean of the seconds between two faults.

    Attributes:
        faults: how often each was done.
        kills: those of processes that run bodies, and of the database.
    """

    def __init__(
        self,
        shop: Shop,
        *,
        seed: int,
        workers: int,
        pause: float,
        server: Server | None,
        redis: Redis | None,
    ) -> None:
        self._shop = shop
        self._choices = random.Random(seed)
        self._pause = pause
        self._server = server
        self._redis = redis
        self._stop = threading.Event()
        self._idle = threading.Event()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)
        self.workers: list[Worker] = [shop.worker() for _ in range(workers)]
        self.faults: Counter[str] = Counter()
        self.kills: list[Kill] = []
        self.troubles: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def heal(self) -> None:
        """Stop, and see to it that all that was broken runs again."""
        self._stop.set()
        self._idle.wait()
        self._shop.desk._raw = None
        for worker in self.workers:
            worker.thaw()
        for worker in self.workers:
            if worker.process.poll() is not None:
                self._replace(worker)

    def leave(self) -> None:
        """End the thread: servers that it has started end with it."""
        self._left.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._break_things()
        finally:
            self._idle.set()
        self._left.wait()

    def _break_things(self) -> None:
        faults: list[tuple[Callable[[], str | None], int]] = [
            (self._kill_child, 10),
            (self._kill_supervisor, 3),
            (self._stop_child, 2),
            (self._freeze_worker, 1),
        ]
        if self._server is not None:
            faults += [(self._cut_connections, 5), (self._kill_database, 1)]
        if self._redis is not None:
            faults += [(self._kill_redis, 1), (self._flush_redis, 2), (self._stop_redis, 1)]
        verbs, weights = zip(*faults, strict=True)
        while not self._stop.wait(self._choices.expovariate(1 / self._pause)):
            verb = self._choices.choices(verbs, weights)[0]
            done = verb()
            if done is not None:
                self.faults[done] += 1

    # -- faults -----------------------------------------------------------------------------------

    def _kill_child(self) -> str | None:
        children = sorted(self._choices.choice(self.workers).children())
        if not children:
            return None
        pid = self._choices.choice(children)
        if not _signal(pid, signal.SIGKILL):
            return None
        self.kills.append(Kill("child", time.monotonic(), frozenset({pid})))
        return "child killed"

    def _kill_supervisor(self) -> str:
        worker = self._choices.choice(self.workers)
        pids = frozenset(worker.children())
        worker.kill()
        self.kills.append(Kill("supervisor", time.monotonic(), pids))
        self._replace(worker)
        return "supervisor killed"

    def _stop_child(self) -> str | None:
        children = sorted(self._choices.choice(self.workers).children())
        if not children:
            return None
        pid = self._choices.choice(children)
        if not _signal(pid, signal.SIGSTOP):
            return None
        self._stop.wait(self._choices.uniform(0.1, 1.0))
        _signal(pid, signal.SIGCONT)
        return "child stopped"

    def _freeze_worker(self) -> str:
        """Beyond its lease: it wakes up as a zombie."""
        worker = self._choices.choice(self.workers)
        worker.freeze()
        self._stop.wait(LEASE * 2)
        worker.thaw()
        return "zombie woken"

    def _cut_connections(self) -> str | None:
        """All connections of all clients and workers."""
        with contextlib.suppress(Exception):  # the database may be down by another fault
            if self._shop.desk.kind == "postgres":
                self._shop.desk.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            else:
                mine = self._shop.desk.sql("SELECT connection_id()")[0][0]
                rows = self._shop.desk.sql(
                    "SELECT id FROM information_schema.processlist WHERE user = 'hammerflow'"
                )
                for (number,) in rows:
                    if number != mine:
                        with contextlib.suppress(Exception):  # it has gone by itself
                            self._shop.desk.sql(f"KILL {number}")
            return "connections cut"
        return None

    def _kill_database(self) -> str:
        assert self._server is not None
        self._server.kill()
        self._stop.wait(self._choices.uniform(0.0, 3.0))
        self._server.start()
        self.kills.append(Kill("database", time.monotonic()))
        self._shop.desk._raw = None  # its connection died with the server
        return "database killed"

    def _kill_redis(self) -> str:
        assert self._redis is not None
        self._redis.kill()
        self._stop.wait(self._choices.uniform(0.0, 2.0))
        self._redis.start()
        return "Redis killed"

    def _flush_redis(self) -> str | None:
        assert self._redis is not None
        with contextlib.suppress(Exception):  # it may be down by another fault
            self._redis.flush()
            return "Redis flushed"
        return None

    def _stop_redis(self) -> str:
        assert self._redis is not None
        self._redis.pause()
        self._stop.wait(self._choices.uniform(0.2, 1.5))
        self._redis.resume()
        return "Redis stopped"

    # -- inside -----------------------------------------------------------------------------------

    def _replace(self, worker: Worker) -> None:
        self.troubles += worker.complaints()
        deadline = time.monotonic() + 60
        while True:
            try:
                self.workers[self.workers.index(worker)] = self._shop.worker()
                return
            except AssertionError:  # the database was not back yet
                if time.monotonic() > deadline:
                    raise


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
