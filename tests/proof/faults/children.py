"""Children: hundreds of them, and kills of every process of workers that run async jobs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

from hammerflow import JobState
from tests.acceptance.kit import Worker
from tests.proof.faults.shops import shop_on
from tests.support.servers import Postgres
from tests.support.waiting import until

__all__ = ["six_hundred", "struck_at_random"]

_SECONDS = 40.0


def six_hundred(folder: Path, _: int) -> str:
    """A worker with 600 children, which die together, and then a reload and a drain."""
    with shop_on(f"sqlite:///{folder / 'shop.db'}", folder) as shop:
        worker = shop.worker(children=600, wait=False)
        began = time.monotonic()
        until("600 of a kind", lambda: len(worker.children()) == 1200, 120)
        took = time.monotonic() - began
        held = shop.send_all("hold_async", [("gate", n) for n in range(300)])
        for pid in worker.children():
            os.kill(pid, signal.SIGKILL)
        shop.open("gate")
        assert [result.get(timeout=120) for result in held] == list(range(300))
        until("all are back", lambda: len(worker.children()) == 1200, 120)
        worker.signal(signal.SIGHUP)
        worker.wait_for_log("imported the app", 2, 120)
        until("all are new", lambda: len(worker.children()) == 1200, 120)
        assert worker.stop(60) == 0, worker.log
        assert not worker.complaints(), worker.log
        shop.check(held)
    return f"600 children of each kind after {took:.1f} s; all killed, replaced, and drained"


def struck_at_random(kind: str, folder: Path, _: int) -> str:
    """SIGKILL and SIGSTOP of any process of two workers at random moments, with async jobs."""
    seed = random.randrange(1_000_000)
    chance, strokes = random.Random(seed), 0
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{folder / 'shop.db'}"
        if kind == "postgres":
            url = stack.enter_context(Postgres()).create_database("shop")
        shop = stack.enter_context(shop_on(url, folder))
        workers = [shop.worker() for _ in range(2)]
        until_ = time.monotonic() + _SECONDS
        jobs = shop.send_all("neighbour", [(chance.uniform(1.0, 8.0),) for _ in range(3_000)])
        while time.monotonic() < until_:
            time.sleep(chance.uniform(0.1, 1.5))
            at = chance.randrange(2)
            _strike(workers[at], chance)
            strokes += 1
            if workers[at].process.poll() is not None:
                workers[at] = shop.worker()
        done = until(
            "all have ended",
            lambda: all(result.state is JobState.COMPLETED for result in jobs) and time.monotonic(),
            900,
            step=0.5,
        )
        shop.check(jobs, may_overlap=True)
        for worker in workers:
            assert worker.stop(60) == 0, worker.log
            assert not worker.complaints(), worker.log
        attempts = max(shop.job(result).attempt for result in jobs)
        suspected = shop.desk.sql("SELECT count(*) FROM {errors} WHERE kind = 'suspected'")[0][0]
    return (
        f"{strokes} strokes (seed {seed}): {len(jobs)} async jobs completed, the last "
        f"{done - until_:.0f} s after them; {suspected} suspicions, at most {attempts} attempts"
    )


def _strike(worker: Worker, chance: random.Random) -> None:
    """Kill a process of a worker's family, or stop it for a while; of each kind equally often."""
    children = worker.children()
    servers = {p for p, parent in worker.family().items() if parent == worker.pid}
    kinds = [sorted(kind) for kind in (children, servers, {worker.pid}) if kind]
    pid = chance.choice(chance.choice([kinds[0], *kinds]))
    with contextlib.suppress(ProcessLookupError):
        if chance.random() < 0.6:
            os.kill(pid, signal.SIGKILL)
            if pid == worker.pid:
                worker.process.wait()
        else:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(chance.choice([0.1, 1.0, 5.0]))
            os.kill(pid, signal.SIGCONT)
