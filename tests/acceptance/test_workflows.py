"""Workflows on real workers, whatever is killed while they run: each join fires once."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hammerflow import JobFailed, Workflow, WorkflowResult, WorkflowStatus, chord
from tests.acceptance.kit import Shop

pytestmark = pytest.mark.slow

_REGIONS = 6


def test_results_flow_along_the_edges_and_conditions_choose_the_path(shop: Shop) -> None:
    work = (
        Workflow("etl", timeout=60)
        .add(shop.call("echo", {"rows": 3, "valid": True}), name="extract")
        .add(shop.call("note", "good"), name="load", after="extract", when="valid && rows > 2")
        .add(shop.call("note", "bad"), name="quarantine", after="extract", when="!valid")
        .add(
            shop.call("gather"),
            name="report",
            after=["load", "quarantine"],
            after_skipped="run",
        )
    )
    with shop.worker():
        result = shop.client.enqueue(work)

        assert result.get(timeout=20) == {
            "extract": {"rows": 3, "valid": True},
            "load": "good",
            "quarantine": None,
            "report": {"load": "good", "quarantine": None},
        }
        assert result.status() is WorkflowStatus.COMPLETED
        assert result.stats().skipped == 1
    shop.check()


def test_a_workflow_that_takes_too_long_is_ended(shop: Shop) -> None:
    with shop.worker(sweep=0.2):
        work = Workflow("slow", timeout=1.0)
        work.add(shop.call("hold", "never"), name="held").then(shop.call("note"), name="after")
        result = shop.client.enqueue(work)

        assert result.wait(timeout=20) is WorkflowStatus.FAILED
        assert result.row().reason == "timed out"
        assert result.stats().cancelled == 2
    shop.check()


def test_chords_survive_kills_of_children_and_of_supervisors(shop: Shop) -> None:
    with _killing(shop) as stop:
        chords = [
            shop.client.enqueue(
                chord([shop.call("note", i, 0.002) for i in range(60)], shop.call("total"))
            )
            for _ in range(8)
        ]
        values = [result.get(timeout=60) for result in chords]
        stop()
        shop.wait_until_quiet()

    assert values == [[60, True]] * 8
    bodies = shop.ledger.counts(r.id.hex for r in chords)
    assert sum(bodies.values()) == 8  # each body ran; more than once only after a loss
    shop.check()
    assert shop.desk.count("barriers") == 0


def test_nested_workflows_and_spawners_survive_kills(shop: Shop) -> None:
    with _killing(shop) as stop:
        results = [_enqueue_nested(shop, n) for n in range(5)]
        for result in results:
            assert result.wait(timeout=60) is WorkflowStatus.COMPLETED
        stop()
        shop.wait_until_quiet()

    for n, result in enumerate(results):
        found = result.get(timeout=5)
        assert found["regions"] == {f"r{i}": n + i for i in range(_REGIONS)}
        assert found["sum"] == {"regions": found["regions"], "images": None}
        stats = result.stats()
        assert (stats.completed, stats.total) == (stats.total, 1 + _REGIONS + 1 + 20 + 1 + 1)
    shop.check()
    assert shop.desk.count("barriers") == 0


def test_failures_beside_kills_follow_the_policy(shop: Shop) -> None:
    with _killing(shop) as stop:
        results = []
        for policy in ("fail_fast", "continue_on_failure"):
            for _ in range(4):
                work = Workflow(policy, policy)
                for i in range(10):
                    work.add(shop.call("note", i, 0.01), name=f"a{i}")
                work.add(shop.call("fails", 99).set(max_attempts=1), name="bad", after="a0")
                work.add(shop.call("total").set(max_attempts=1), name="never", after="bad")
                work.add(shop.call("note", "b"), name="b", after=["a1", "a2"])
                results.append((policy, shop.client.enqueue(work)))
        for _, result in results:
            assert result.wait(timeout=60) is WorkflowStatus.FAILED
        stop()
        shop.wait_until_quiet()

    for policy, result in results:
        states = {m.name: m.state for m in result.members()}
        assert states["bad"] == "failed"
        assert states["never"] == ("cancelled" if policy == "fail_fast" else "skipped")
        if policy == "continue_on_failure":
            assert [states[n] for n in ("b", "a9")] == ["completed", "completed"]
        with pytest.raises(JobFailed) as caught:  # of its own, or because it was killed
            result.get(timeout=1)
        assert "node 'bad'" in caught.value.__notes__[0]
    assert shop.desk.count("barriers") == 0
    shop.desk.check()


def _enqueue_nested(shop: Shop, n: int) -> WorkflowResult:
    regions = Workflow("regions")
    regions.add_parallel(shop.call("note", n + i, 0.005) for i in range(_REGIONS))
    for i, node in enumerate(regions.nodes):
        node.name = f"r{i}"
    work = (
        Workflow("nested")
        .add(shop.call("note", n), name="split")
        .add(regions, name="regions", after="split")
        .add(shop.call("fan_out", 20), name="images", after="split", wait_for_children=True)
        .add(shop.call("gather"), name="sum", after=["regions", "images"])
    )
    result: WorkflowResult = shop.client.enqueue(work)
    return result


@contextmanager
def _killing(shop: Shop) -> Iterator[object]:
    """Two workers, of which children and supervisors are killed until told to stop.

    A killed supervisor is replaced; each kill comes after some progress, so work goes on.
    """
    ended = threading.Event()
    workers = [shop.worker(poison_limit=1000), shop.worker(poison_limit=1000)]
    random_ = random.Random(7)

    def reap() -> None:
        for kill in itertools.count():
            if ended.wait(0.25):
                return
            at = kill % 2
            if kill % 7 == 6:
                workers[at].kill()
                workers[at] = shop.worker(poison_limit=1000)
                continue
            children = sorted(workers[at].children())
            if children:
                with_pid = random_.choice(children)
                try:
                    os.kill(with_pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    thread = threading.Thread(target=reap)
    thread.start()
    try:
        yield lambda: (ended.set(), thread.join())
    finally:
        ended.set()
        thread.join()
        for worker in workers:
            worker.end()
