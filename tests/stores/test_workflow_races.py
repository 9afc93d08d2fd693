"""Workflows under fire: threads that settle overlapping barriers, and a settle that is killed."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Completed, Outcome
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.connections.error_codes import ErrorCode, ErrorKind
from tests.stores.gates import Gate, Running, blocked, running
from tests.stores.kit import Desk, desk_at, failed
from tests.stores.workflow_kit import VALUE, Sketch, brood, check_flows, flow_state
from tests.support.waiting import until

POLICIES = ("continue_on_failure", "fail_fast", "manual")


def weave(pick: random.Random, policy: str, *, inside: float = 0.3) -> Sketch:
    """A workflow of layers in which each node waits for several of the layer before."""
    w = Sketch(policy)
    inner = w.flow(w.top, pick.choice(POLICIES)) if inside else None
    layer: list[Any] = [w.job(flow=inner if pick.random() < inside else None) for _ in range(8)]
    for _ in range(3):
        layer = [w.job(*pick.sample(layer, 3)) for _ in range(6)]
    return w


def outcome(pick: random.Random, job: Claimed, *, bad: float) -> Outcome:
    if pick.random() < bad:
        return failed()
    if pick.random() < 0.1 and job.depth < 2:
        return brood(job, 2, wait_for_children=pick.random() < 0.5)
    return Completed(VALUE)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [0.0, 0.05])
def test_four_threads_settle_what_overlaps(desk: Desk, bad: float, record_property: Any) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure
    pick = random.Random(seed)
    sketches = [weave(pick, POLICIES[n % 3] if bad else POLICIES[0]) for n in range(12)]
    for sketch in sketches:
        sketch.put(desk)
    faults = count_faults(desk)
    errors: list[Exception] = []
    settled: Counter[str] = Counter()

    def worker(number: int) -> None:
        own = random.Random(seed + number)
        try:
            idle = 0
            while idle < 3:
                jobs = desk.claim(own.randint(1, 9), worker=number)
                own.shuffle(jobs)
                idle = 0 if jobs else idle + 1
                if jobs:
                    batch = [(job, outcome(own, job, bad=bad)) for job in jobs]
                    assert desk.settle(*batch, worker=number).stale == set()
                    settled["units"] += 1
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    while any(flow_state(desk, s.id) <= WorkflowState.CANCELLING for s in sketches):
        threads = [threading.Thread(target=worker, args=(n,)) for n in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        check_flows(desk)
        for sketch in sketches:  # what is paused goes on
            for flow in sketch.plan.workflows:
                if flow_state(desk, flow.id) is WorkflowState.PAUSED:
                    desk.store.workflows.resume(flow.id, "me")
    check_flows(desk)
    print(f"{desk.kind}: {faults['retry']} retries of {settled['units']} settles")  # noqa: T201
    record_property("retries", faults["retry"])
    assert faults["retry"] <= settled["units"]


def count_faults(desk: Desk) -> Counter[str]:
    """How often a unit of the desk's store is told to run again."""
    counts: Counter[str] = Counter()
    database: Any = desk.store.workflows._database
    judge = database.dialect.meaning

    def counting(error: BaseException) -> ErrorCode:
        code: ErrorCode = judge(error)
        counts["retry"] += code.kind is ErrorKind.CONTENTION
        return code

    database.dialect.meaning = counting
    return counts


SETTLER = """
import os, pickle, signal, sys
from tests.stores.kit import Desk
from hammerflow.jobs.outcome import Completed
url, statement, when = sys.argv[1:4]
desk = Desk(url)
jobs = pickle.load(sys.stdin.buffer)
database = desk.store.workflows._database
unit = type(database).unit.__get__(database)

class Fatal:
    def __init__(self, tx): self.__dict__["tx"] = tx
    def __getattr__(self, name):
        inner = getattr(self.tx, name)
        if name not in ("rows", "run", "many"):
            return inner
        def call(statement_, *args, **values):
            if statement_ == statement and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = inner(statement_, *args, **values)
            if statement_ == statement:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        return call

database.unit = lambda work, **more: unit(lambda tx: work(Fatal(tx)), **more)
commit = database.dialect.commit
def ending(tx):
    if statement == "commit" and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    commit(tx)
    if statement == "commit":
        os.kill(os.getpid(), signal.SIGKILL)
database.dialect.commit = ending
desk.settle(*((job, Completed(b"M\\x01")) for job in jobs))
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "statement", ["waiting_lock", "waiting_delete", "ready_insert_later", "commit"]
)
def test_a_join_fires_once_when_its_settle_is_killed(desk: Desk, statement: str, when: str) -> None:
    w = Sketch()
    arms = [w.job() for _ in range(3)]
    last = w.job(*arms)
    w.put(desk)
    jobs = desk.claim()
    desk.end(jobs[0])
    kill_in_settle(desk, jobs[1:], statement, when)
    committed = (statement, when) == ("commit", "after")
    assert desk.state(last.id) == ("ready" if committed else "waiting")
    desk.store.workers.sweep(lease=300, poison_limit=10)  # worker 1 was never registered
    again = [job for job in desk.claim() if job.id != last.id]
    assert len(again) == (0 if committed else 2)
    desk.end(*again)
    assert desk.end(*jobs[1:]).stale == {job.id for job in jobs[1:]}
    if committed:
        desk.store.workers.sweep(lease=300, poison_limit=10)  # it was claimed with the others
    (join,) = desk.claim()
    assert (join.id, desk.claim()) == (last.id, [])
    desk.end(join)
    assert flow_state(desk, w.id) is WorkflowState.COMPLETED
    check_flows(desk)


def kill_in_settle(desk: Desk, jobs: list[Claimed], statement: str, when: str) -> None:
    """Settle in a process that is killed at a statement."""
    found = subprocess.run(
        [sys.executable, "-c", SETTLER, desk.url, statement, when],
        input=pickle.dumps(jobs),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        cwd=os.getcwd(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == -signal.SIGKILL, found.stderr.decode()


# -- two connections, PostgreSQL's triggers as gates


@pytest.fixture
def gated(migrated_database: Callable[[str], str], servers: None) -> Iterator[Desk]:
    """A desk on PostgreSQL, recounted at the end."""
    with desk_at(migrated_database("postgres")) as desk:
        yield desk
        check_flows(desk)


def test_a_failure_waits_for_a_spawner_that_is_being_settled(gated: Desk) -> None:
    w = Sketch("fail_fast")
    spawner, bad = w.job(), w.job()
    w.put(gated)
    jobs = {job.id: job for job in gated.claim()}
    other = gated.another()
    gate = Gate(gated, "spawns", "INSERT")
    with gate.shut(), running(
        lambda: gated.settle((jobs[spawner.id], brood(jobs[spawner.id], 2)))
    ) as spawned:  # fmt: skip
        gate.wait_for_one()
        with running(lambda: other.jobs.settle(1, [(jobs[bad.id], failed())])) as halted:
            wait_or_pass(gated, halted)
    assert spawned().stale == halted().stale == set()
    other.close()
    assert gated.claim() == []
    assert flow_state(gated, w.id) is WorkflowState.FAILED


def test_a_retry_and_a_settle_do_not_overwrite_each_other(gated: Desk) -> None:
    w = Sketch()
    bad, good = w.job(), w.job()
    after = w.job(bad, good)
    w.job(queue="slow")  # so that the workflow does not end, which would take its lock
    w.put(gated)
    jobs = {job.id: job for job in gated.claim()}
    gated.settle((jobs[bad.id], failed()))
    other = gated.another()
    gate = Gate(gated, "ready", "INSERT")
    with gate.shut(), running(lambda: gated.store.jobs.replay(bad.id)) as retried:
        gate.wait_for_one()
        with running(lambda: other.jobs.settle(1, [(jobs[good.id], Completed(VALUE))])) as ended:
            wait_or_pass(gated, ended)
    assert (retried(), ended().stale) == ({"q"}, set())
    other.close()
    assert gated.one("pending, failed", "waiting", after.id) == (1, 0)
    gated.end(*gated.claim())
    assert gated.state(after.id) == "ready"


def wait_or_pass(desk: Desk, second: Running) -> None:
    """Return when the second statement waits for its lock, or has passed where it should not."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    until("a lock or an end", lambda: second.is_over or desk.sql(query)[0][0] >= 2)


def test_a_batch_locks_its_workflows_in_the_order_of_their_ids(desk: Desk) -> None:
    if desk.kind == "sqlite":
        return  # one writer: nothing is locked row by row
    second, first = sorted((Sketch(), Sketch()), key=lambda sketch: sketch.id)
    for sketch in (first, second):
        sketch.job()
        sketch.put(desk)
    of = {job.workflow_id: job for job in desk.claim()}
    pairs = [(of[first.id], Completed(VALUE)), (of[second.id], failed())]
    free = f"SELECT id FROM {{workflows}} WHERE id = {desk.id(second.id)} FOR UPDATE SKIP LOCKED"
    with contextlib.closing(desk.another()) as client:
        with client.transaction() as tx:
            assert tx.rows("workflows_lock", ids=[first.id])
            settling = Running(lambda: desk.settle(*pairs))
            until("it waits for the first", lambda: blocked(desk))
            assert desk.sql(free), "it has locked the second before the first"
        assert settling().stale == set()
