"""Deadlocks: workers and clients at the same few workflows; the server counts who met whom."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Completed, Outcome, Retrying
from hammerflow.jobs.status import WorkflowState
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.store import Store
from hammerflow.worker.supervisor.settler import Settler
from tests.stores.kit import BAD, Desk, desk_at, failed
from tests.stores.test_workflow_races import POLICIES, weave
from tests.stores.workflow_kit import VALUE, Sketch, brood, check_flows, flow_state
from tests.support.servers import MariaDB, Postgres, Server

__all__ = ["lock_order"]

_SECONDS = 25.0
_FLOWS = 6  # workflows that go on at a time
_HELD = 10  # jobs of a worker, beyond which it claims no more
_COUNTS = {
    "postgres": "SELECT 0, deadlocks FROM pg_stat_database WHERE datname = current_database()",
    "mysql": "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'",
}


def lock_order(folder: Path, _: int) -> str:
    """Settles as workers make them, cancels and retries of several workflows, for 25 s; the same
    with workflows inside others and late dependents."""
    said = []
    for kind in (Postgres, MariaDB):
        with kind() as server:
            said.append(_on(server))
    return "; ".join(said)


def _on(server: Server) -> str:
    with desk_at(server.create_database("deadlocks")) as desk:
        desk.store.schema.migrate()
        said = []
        for is_nested, what in ((False, ""), (True, " with nested workflows and late dependents")):
            crowd = _Crowd(desk, is_nested=is_nested)
            before = _deadlocks(desk)
            crowd.run(_SECONDS)
            count = _deadlocks(desk) - before
            units = crowd.done.total()
            said.append(f"{count} deadlocks in {units} units{what}")
            assert count == 0 or desk.kind != "postgres", f"{said}: {dict(crowd.done)}"
        return f"{desk.kind}: {', '.join(said)}"


def _deadlocks(desk: Desk) -> int:
    time.sleep(1.2)  # PostgreSQL's sessions report their counts once a second
    desk.hang_up()
    return int(desk.sql(_COUNTS[desk.kind])[0][1])


class _Crowd:
    """Two workers and three clients, each with a store of its own."""

    def __init__(self, desk: Desk, *, is_nested: bool) -> None:
        self._desk = desk
        self._inside = 0.3 if is_nested else 0.0
        verbs = _WITH_DEPENDENTS if is_nested else _VERBS
        self._verbs = [verb for verb, weight in verbs for _ in range(weight)]
        self._seed = random.SystemRandom().getrandbits(32)
        self._sketches: list[Sketch] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self._failures: list[BaseException] = []

    def run(self, seconds: float) -> None:
        """Let them work; raise what went wrong."""
        self._refill(random.Random(self._seed))
        bodies = [lambda n=n: self._work(n) for n in (1, 2)]
        bodies += [lambda n=n: self._play(n) for n in (3, 4, 5)]
        threads = [threading.Thread(target=self._guard, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        self._stop.wait(seconds)
        self._stop.set()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        check_flows(self._desk)

    def _guard(self, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - raised by run()
            self._failures.append(error)
            self._stop.set()

    def _refill(self, pick: random.Random) -> None:
        with self._lock:
            over = WorkflowState.CANCELLING
            self._sketches = [s for s in self._sketches if flow_state(self._desk, s.id) <= over]
            while len(self._sketches) < _FLOWS:
                sketch = weave(pick, pick.choice(POLICIES), inside=self._inside)
                sketch.put(self._desk)
                self._sketches.append(sketch)

    def _work(self, number: int) -> None:
        pick = random.Random(self._seed + number)
        store = self._desk.another()
        status = DatabaseStatus(store.database)
        settler = Settler(store, status, lambda _: self.done.update(["settle"]), lambda _: None)
        settler.start()
        while not self._stop.is_set():
            while len(settler.held(number)) > _HELD and not self._stop.wait(0.002):
                pass
            jobs = self._desk.claim(pick.randint(1, 9), worker=number, store=store)
            if not jobs:
                self._refill(pick)
            pick.shuffle(jobs)
            settler.put(number, [(job, _outcome(pick, job)) for job in jobs])
        assert settler.stop(30)
        store.close()

    def _play(self, number: int) -> None:
        pick = random.Random(self._seed + number)
        store = self._desk.another()
        while not self._stop.wait(pick.random() * 0.02):
            with self._lock:
                sketch = pick.choice(self._sketches)
            verb = pick.choice(self._verbs)
            try:
                verb(self._desk, store, sketch, pick)
            except JobNotFound:
                raise
            except HammerflowError:
                self.done[f"refused {verb.__name__}"] += 1
            else:
                self.done[verb.__name__] += 1
        store.close()


def _outcome(pick: random.Random, job: Claimed) -> Outcome:
    luck = pick.random()
    if luck < 0.15:
        return failed()
    if luck < 0.2:
        return Retrying(0.0, BAD)
    if luck < 0.25 and job.depth < 2:
        return brood(job, 2, wait_for_children=pick.random() < 0.5)
    return Completed(VALUE)


def _cancel_job(desk: Desk, store: Store, sketch: Sketch, pick: random.Random) -> None:
    store.jobs.cancel(pick.choice(sketch.plan.jobs).id, "by hand")


def _cancel(desk: Desk, store: Store, sketch: Sketch, pick: random.Random) -> None:
    store.workflows.cancel(pick.choice(sketch.plan.workflows).id, "by hand")


def _retry_job(desk: Desk, store: Store, sketch: Sketch, pick: random.Random) -> None:
    store.jobs.replay(pick.choice(sketch.plan.jobs).id)


def _rerun(desk: Desk, store: Store, sketch: Sketch, pick: random.Random) -> None:
    store.workflows.rerun(sketch.id, only=None, downstream=pick.random() < 0.3, by="me")


def _resume(desk: Desk, store: Store, sketch: Sketch, pick: random.Random) -> None:
    store.workflows.resume(pick.choice(sketch.plan.workflows).id, "me")


def _depend(desk: Desk, store: Store, sketch: Sketch, pick: random.Random) -> None:
    parts: list[Any] = [*pick.sample(sketch.plan.jobs, 2), pick.choice(sketch.plan.workflows)]
    store.jobs.insert([desk.job(depends=[part.id for part in parts])])


_VERBS = ((_cancel_job, 4), (_cancel, 2), (_retry_job, 6), (_rerun, 3), (_resume, 2))
_WITH_DEPENDENTS = (*_VERBS, (_depend, 3))
