"""Nemesis: kills, freezes and cuts what a system of workers, a database and Redis is made of."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hammerflow.testing.failpoints import POINTS
from tests.acceptance.kit import LEASE, Shop, Worker
from tests.proof.chaos.borders import PLAIN, BorderFaults, Fault, send
from tests.proof.chaos.record import Kill
from tests.support.proxy import Proxy
from tests.support.servers import PROCESSES, Redis, Server
from tests.support.waiting import until

__all__ = ["Nemesis"]

#: A point that nobody has come to after so many seconds is disarmed.
_AIM = 1.5
#: Seconds between two looks at what is to be mended.
_TICK = 0.01
#: How much more likely a fault is that is wanted often.
_OFTEN = 5
_APP = "tests.proof.chaos.bodies:app"
#: Seconds by which the clocks of workers may be wrong, where a server has one of its own.
_OFFSETS = (0, 0, 3600, -3600)
_WRONG_CLOCK = """
import time
def _wrong(clock, by):
    return lambda: clock() + by
time.time = _wrong(time.time, {0})
time.time_ns = _wrong(time.time_ns, {0} * 10**9)
"""
#: A worker frozen between these has an open transaction: on SQLite, the only one there can be.
_OPEN = ("before-commit", "commit")


class Nemesis:
    """A thread that picks a fault, waits, and picks the next; what it broke is mended meanwhile.

    Args:
        pause: the mean of the seconds between two faults.
        often: faults to be done five times as often, named as their methods (``kill_database``).
        wire: what clients and workers reach the database through; ``bell_wire``: Redis.

    Attributes:
        faults: how often each was done.
        kills: those of processes that run bodies, and of the database.
        troubles: tracebacks in the logs of workers that are gone.
    """

    def __init__(
        self,
        shop: Shop,
        *,
        seed: int,
        workers: int,
        pause: float,
        often: Sequence[str] = (),
        server: Server | None = None,
        wire: Proxy | None = None,
        redis: Redis | None = None,
        bell_wire: Proxy | None = None,
    ) -> None:
        self._shop = shop
        self._choices = random.Random(seed)
        self._pause = pause
        self._often = {f"_{name}" for name in often}
        self._server = server
        self._wire = wire
        self._redis = redis
        self._bell_wire = bell_wire
        self._points = shop.folder / "points"
        self._points.mkdir()
        self._stop = threading.Event()
        self._idle = threading.Event()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)
        self._due: list[tuple[float, Callable[[], Any]]] = []  # what mends something, and when
        self._broken: set[str] = set()  # what is to be mended
        self._borders = BorderFaults(
            shop, self._choices, server, mend_later=self._mend_later,
            is_broken=self._broken.__contains__, pick=self._awake,
        )  # fmt: skip
        self.workers: list[Worker] = [self._new_worker() for _ in range(workers)]
        for worker in self.workers:
            worker.wait_for_log("worker started", timeout=60)
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
        until("all workers have started", self._all_started, 60)

    def leave(self) -> None:
        """End the thread: servers that it has started end with it."""
        self._left.set()
        self._thread.join()

    def phases(self) -> dict[str, int]:
        """How many processes were killed or frozen at each point."""
        found = Counter(line.split()[0] for line in self._hits())
        return {point: found[point] for point in POINTS}

    # -- the thread

    def _run(self) -> None:
        try:
            self._break_things()
        finally:
            for _, mend in self._due:
                mend()
            self._due.clear()
            self._idle.set()
        self._left.wait()

    def _break_things(self) -> None:
        faults: list[tuple[Fault, float]] = [
            (self._kill_at_a_point, 12),
            (self._freeze_at_a_point, 5),
            (self._kill_child, 3),
            (self._kill_supervisor, 1),
            (self._stop_child, 2),
            *self._borders.faults(),
        ]
        if self._server is not None and self._wire is not None:
            faults += [
                (self._cut_connections, 2), (self._cut_commit, 4), (self._cut_wire, 2),
                (self._slow_wire, 1), (self._mute_wire, 0.5), (self._kill_database, 1.5),
            ]  # fmt: skip
        if self._redis is not None:
            faults += [(self._kill_redis, 1), (self._flush_redis, 1), (self._stop_redis, 1)]
        if self._bell_wire is not None:
            faults += [(self._cut_bell, 2), (self._mute_bell, 1), (self._slow_bell, 1)]
        verbs = [verb for verb, _ in faults]
        weights = [_OFTEN * w if v.__name__ in self._often else w for v, w in faults]
        next_at = time.monotonic()
        while not self._stop.wait(_TICK):
            self._mend()
            self._revive()
            if time.monotonic() < next_at:
                continue
            done = self._choices.choices(verbs, weights)[0]()
            if done is not None:
                self.faults[done] += 1
            next_at = time.monotonic() + self._choices.expovariate(1 / self._pause)

    def _mend(self) -> None:
        due = [entry for entry in self._due if entry[0] <= time.monotonic()]
        for entry in due:
            self._due.remove(entry)
            entry[1]()

    def _mend_later(self, what: str, seconds: float, mend: Callable[[], Any]) -> None:
        """Until then ``what`` is broken, and not broken a second time."""

        def work() -> None:
            mend()
            self._broken.discard(what)

        self._broken.add(what)
        self._due.append((time.monotonic() + seconds, work))

    # -- processes

    def _new_worker(self) -> Worker:
        offset = 0 if self._server is None else self._choices.choice(_OFFSETS)
        folder = self._shop.folder / f"clock {offset}"
        if not folder.exists():
            folder.mkdir()
            (folder / "sitecustomize.py").write_text(_WRONG_CLOCK.format(offset))
        return self._shop.worker(
            wait=False, failpoints=self._points, poison_limit=1000, has_log_reader=True,
            app=_APP, path=folder,
        )  # fmt: skip

    def _revive(self) -> bool:
        """Replace workers that have ended; whether none had to be."""
        ended = [n for n, worker in enumerate(self.workers) if worker.process.poll() is not None]
        for number in ended:
            self.troubles += self.workers[number].complaints()
            self.workers[number] = self._new_worker()
        return not ended

    def _all_started(self) -> bool:
        return self._revive() and all("worker started" in w.log for w in self.workers)

    def _awake(self) -> Worker | None:
        awake = [worker for worker in self.workers if worker.pid not in self._frozen()]
        return self._choices.choice(awake) if awake else None

    def _frozen(self) -> set[int]:
        return {int(what) for what in self._broken if what.isdigit()}

    def _kill_at_a_point(self) -> str | None:
        point = self._choices.choice(POINTS)
        children = {worker.pid: frozenset(worker.children()) for worker in self.workers}
        hit = self._aim(point, "kill")
        if hit is None:
            return None
        pid, at = hit
        for worker in self.workers:
            if worker.pid == pid:  # the hit is told before it is done
                worker.process.wait(10)
        victim = "supervisor" if pid in children else "child"
        self.kills.append(Kill(victim, at, children.get(pid, frozenset({pid}))))
        return f"{victim} killed"

    def _freeze_at_a_point(self) -> str | None:
        """Beyond its lease: it wakes up as a zombie."""
        if len(self._frozen()) >= len(self.workers) // 2:
            return None
        alone = self._shop.desk.kind == "sqlite"
        points = [point for point in POINTS if not (alone and point in _OPEN)]
        hit = self._aim(self._choices.choice(points), "freeze")
        if hit is None:
            return None
        session = os.getsid(hit[0])
        worker = next(worker for worker in self.workers if worker.pid == session)

        # The hit is told before: stopped on the way, it would stop the others once it is woken.
        until("it has stopped itself", lambda: _state(hit[0]) in ("T", "Z", None))

        def stands_still() -> bool:  # a process may just be born
            worker.freeze()
            return worker.states() == {"T"}

        until("it stands still", stands_still)
        self._mend_later(str(session), LEASE * 2, worker.thaw)
        return "zombie woken"

    def _aim(self, point: str, action: str) -> tuple[int, float] | None:
        """The pid of the process that has come to the point, and when it did."""
        before = len(self._hits())
        armed = self._points / point
        (self._points / "next").write_text(action)
        os.rename(self._points / "next", armed)
        deadline = time.monotonic() + _AIM
        while len(hits := self._hits()) == before:
            if time.monotonic() > deadline:  # it may just be taken, and armed again
                with contextlib.suppress(FileNotFoundError):
                    armed.unlink()
                    return None
            if time.monotonic() > deadline + _AIM:
                return None  # whoever took it was killed by another fault
            time.sleep(0.002)
        _, pid, at = hits[-1].split()
        return int(pid), float(at)

    def _hits(self) -> list[str]:
        path: Path = self._points / "hits"
        return path.read_text().splitlines() if path.exists() else []

    def _kill_child(self) -> str | None:
        pid = self._some_child()
        if pid is None or not send(pid, signal.SIGKILL):
            return None
        self.kills.append(Kill("child", time.monotonic(), frozenset({pid})))
        return "child killed"

    def _kill_supervisor(self) -> str | None:
        worker = self._awake()
        if worker is None:
            return None
        pids = frozenset(worker.children())
        worker.kill()
        self.kills.append(Kill("supervisor", time.monotonic(), pids))
        return "supervisor killed"

    def _stop_child(self) -> str | None:
        pid = self._some_child()
        if pid is None or not send(pid, signal.SIGSTOP):
            return None
        self._mend_later(
            f"child {pid}", self._choices.uniform(0.1, 1.0), lambda: send(pid, signal.SIGCONT)
        )
        return "child stopped"

    def _some_child(self) -> int | None:
        worker = self._awake()
        children = sorted(worker.children()) if worker is not None else []
        return self._choices.choice(children) if children else None

    # -- the database and the way there

    def _cut_connections(self) -> str | None:
        """All connections of all clients and workers, by the server."""
        with contextlib.suppress(Exception):  # the database may be down by another fault
            if self._shop.desk.kind == "postgres":
                self._shop.desk.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            else:
                mine = self._shop.desk.sql("SELECT connection_id()")[0][0]
                rows = self._shop.desk.sql(f"SELECT id FROM {PROCESSES} WHERE user = '{PLAIN}'")
                for (number,) in rows:
                    if number != mine:
                        with contextlib.suppress(Exception):  # it has gone by itself
                            self._shop.desk.sql(f"KILL {number}")
            return "connections cut"
        return None

    def _cut_commit(self) -> str | None:
        """The next COMMIT is done, and nobody hears of it; or it does not arrive."""
        assert self._wire is not None
        cuts = self._wire.cuts
        before = self._choices.random() < 0.3
        self._wire.cut_at("COMMIT", before=before)
        deadline = time.monotonic() + _AIM
        while self._wire.cuts == cuts:
            if time.monotonic() > deadline:
                self._wire.spare()
                return None
            time.sleep(0.002)
        return "COMMIT lost on its way" if before else "reply to COMMIT lost"

    def _cut_wire(self) -> str:
        assert self._wire is not None
        self._wire.drop_all()
        return "database's network cut"

    def _slow_wire(self) -> str | None:
        return self._slow("database", self._wire)

    def _mute_wire(self) -> str | None:
        return self._mute("database", self._wire)

    def _kill_database(self) -> str | None:
        if "server" in self._broken:
            return None
        server = self._server
        assert server is not None

        def start() -> None:
            server.start()
            self.kills.append(Kill("database", time.monotonic()))

        server.kill()
        self._shop.desk.hang_up()  # its connection died with the server
        self._mend_later("server", self._choices.uniform(0.0, 3.0), start)
        return "database killed"

    # -- Redis and the way there

    def _kill_redis(self) -> str | None:
        return self._redis_fault("Redis killed", 2.0, lambda r: r.kill(), lambda r: r.start())

    def _stop_redis(self) -> str | None:
        return self._redis_fault("Redis stopped", 1.5, lambda r: r.pause(), lambda r: r.resume())

    def _redis_fault(
        self, name: str, most: float, fault: Callable[[Redis], Any], mend: Callable[[Redis], Any]
    ) -> str | None:
        redis = self._redis
        assert redis is not None
        if "Redis" in self._broken:
            return None
        fault(redis)
        self._mend_later("Redis", self._choices.uniform(0.1, most), lambda: mend(redis))
        return name

    def _flush_redis(self) -> str | None:
        assert self._redis is not None
        if "Redis" in self._broken:
            return None
        self._redis.flush()
        return "Redis flushed"

    def _cut_bell(self) -> str:
        assert self._bell_wire is not None
        self._bell_wire.drop_all()
        return "Redis' network cut"

    def _slow_bell(self) -> str | None:
        return self._slow("Redis'", self._bell_wire)

    def _mute_bell(self) -> str | None:
        return self._mute("Redis'", self._bell_wire)

    def _slow(self, whose: str, wire: Proxy | None) -> str | None:
        assert wire is not None
        if f"{whose} wire" in self._broken:
            return None
        wire.delay(self._choices.uniform(0.02, 0.3))
        self._mend_later(f"{whose} wire", self._choices.uniform(0.5, 2.0), lambda: wire.delay(0))
        return f"{whose} network slow"

    def _mute(self, whose: str, wire: Proxy | None) -> str | None:
        """Replies are swallowed while connections stay open; what they were for ends by a cut."""
        assert wire is not None
        if f"{whose} wire" in self._broken:
            return None

        def speak() -> None:
            wire.speak()
            wire.drop_all()

        wire.silence()
        self._mend_later(f"{whose} wire", self._choices.uniform(0.5, 4.0), speak)
        return f"{whose} network mute"


def _state(pid: int) -> str | None:
    """The state of a process, by the kernel's letter; None if it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
