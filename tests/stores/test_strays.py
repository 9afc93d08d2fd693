"""Clocks of clients that are apart: the order of a lane is that of the database's clock."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable
from itertools import count

import pytest

from hammerflow.ids import name_id, new_id
from hammerflow.stores.claiming.claims import Claims, ScanThresholds
from tests.stores.kit import Desk, failed

HOUR = 3600
#: How many rounds of jobs are ready all the time, and how many later a job may come.
DEPTH, TOLERANCE = 8, 5
#: Each claim reads the queue from its start, and searches.
_EACH_TIME = ScanThresholds(bookmark=0.0, longest=0.0, stray=0.0)


def made(seconds: float) -> Callable[[], bytes]:
    """Makes ids as a client does whose clock is ahead by so many seconds."""
    shift = round(seconds * 1000) << 80
    return lambda: (int.from_bytes(new_id()) + shift).to_bytes(16)


def given() -> bytes:
    """An id that a user makes up, which carries no clock."""
    return uuid.uuid4().bytes


def given_low() -> bytes:
    """One that is before all ids that carry a clock."""
    return bytes(1) + given()[1:]


class Line:
    """A queue with a steady backlog: as many jobs come in as are claimed."""

    def __init__(self, desk: Desk, *clients: Callable[[], bytes]) -> None:
        self._claims = Claims(desk.store.database, desk.store.names.outbox, _EACH_TIME)
        self._desk, self._clients = desk, clients
        self.round = 0
        self.came: dict[bytes, tuple[int, int]] = {}
        self.left: dict[bytes, int] = {}
        for _ in range(DEPTH):
            self.insert()

    def insert(self) -> None:
        self.round += 1
        for number, client in enumerate(self._clients):
            job = self._desk.job(id=client())
            self._desk.put(job)
            self.came[job.id] = (self.round, number)

    def claim(self, limit: int | None = None) -> list[bytes]:
        found = self._claims.claim(
            1, queue="q", task_ids=[name_id("t")], limit=limit or len(self._clients)
        )
        for job in found:
            assert job.id not in self.left
            self.left[job.id] = self.round
        return [job.id for job in found]

    def delays(self) -> set[tuple[int, int]]:
        """(client, rounds) that its jobs waited longer than their turn."""
        return {
            (number, self.left.get(id_, self.round) - came - DEPTH)
            for id_, (came, number) in self.came.items()
            if came <= self.round - DEPTH - TOLERANCE - 1
        }


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([made(HOUR)], id="ahead"),
        pytest.param([made(-HOUR)], id="behind"),
        pytest.param([made(HOUR), made(2 * HOUR), made(-HOUR), made(30)], id="all apart"),
        pytest.param([given], id="no clock"),
        pytest.param([given_low], id="no clock, before all"),
        pytest.param([made(HOUR), given, given], id="ahead and no clock"),
    ],
)
def test_jobs_wait_their_turn_whatever_clock_their_ids_carry(
    desk: Desk, others: list[Callable[[], bytes]]
) -> None:
    line = Line(desk, made(0), *others)
    for _ in range(25):
        line.insert()
        assert len(line.claim()) == 1 + len(others)
    late = {(who, by) for who, by in line.delays() if by > TOLERANCE}
    assert not late


def test_a_stray_that_returns_is_claimed_again_while_the_backlog_lasts(desk: Desk) -> None:
    line = Line(desk, made(0))
    stray = desk.job(id=made(HOUR)())
    desk.put(stray)
    (held,) = (job for job in desk.claim(100) if job.id == stray.id)
    desk.settle((held, failed()))
    desk.store.jobs.replay(stray.id)
    for _ in range(DEPTH):
        line.insert()
    for _ in count():
        line.insert()
        if stray.id in line.claim(1):
            break
        assert line.round < 5 * DEPTH


def test_a_better_priority_goes_first_and_a_paused_queue_rests(desk: Desk) -> None:
    line = Line(desk, made(0))
    strays = [desk.job(id=made(HOUR)()) for _ in range(3)]
    desk.put(*strays)
    for _ in range(DEPTH):
        line.insert()
        line.claim()
    line.insert()
    desk.put(urgent := desk.job(priority=4))
    assert line.claim(1) == [urgent.id]
    desk.store.queues.pause("q", by="me", reason="")
    assert line.claim(1) == []
    desk.store.queues.resume("q")
    for _ in count():
        line.insert()
        line.claim(2)
        if all(job.id in line.left for job in strays):
            break
        assert line.round < 5 * DEPTH


def test_a_thousand_strays_that_are_not_due_hide_no_older_one(desk: Desk) -> None:
    line = Line(desk, made(0))
    desk.put(hidden := desk.job(id=made(2 * HOUR)()))
    for _ in range(DEPTH):
        line.insert()
    ahead = made(HOUR)
    desk.put(*(desk.job(id=ahead()) for _ in range(2_500)))
    for _ in count():
        line.insert()
        if hidden.id in line.claim():
            break
        assert line.round < 5 * DEPTH


CLIENT = """
import sys, time
right = time.time_ns
time.time_ns = lambda: right() + 3600 * 10**9
from hammerflow import Hammerflow, chain

app = Hammerflow("shop", database=sys.argv[1])

@app.task(name="t", queue="q")
def t() -> None: ...

t.delay()
app.enqueue_many([t.s(), t.s()])
with app.transaction():
    t.delay()
app.enqueue(chain(t.s(), t.si()))
app.enqueue(app.batch(t.s() for _ in range(3)))
"""


def test_every_way_to_enqueue_is_served_with_a_clock_that_is_ahead(desk: Desk) -> None:
    line = Line(desk, made(0))
    subprocess.run([sys.executable, "-c", CLIENT, desk.url], check=True, timeout=60)
    strays = set(desk.ids("SELECT job_id FROM {ready}")) - set(line.came)
    assert len(strays) == 1 + 2 + 1 + 1 + 3
    for _ in count():
        line.insert()
        line.claim(2)
        if strays <= set(line.left):
            break
        assert line.round < 10 * DEPTH
