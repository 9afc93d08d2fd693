"""A spawner that is killed at random moments has all its children, each once, or none."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import Any

import pytest

from hammerflow import Result
from tests.acceptance.kit import Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_children_come_once_and_in_order(shop: Shop) -> None:
    with shop.worker():
        parent = shop.send("fan_out", 2_000)
        _check_family(shop, parent, 2_000)
    shop.check([parent])


def test_a_spawner_whose_child_is_killed(shop: Shop) -> None:
    with shop.worker(poison_limit=1000):
        parent = shop.send("fan_out", 2_000, 0.005)

        kills = _kill_again_and_again(shop, parent, most=12, within=0.4)

        _check_family(shop, parent, 2_000)
        assert 1 <= shop.kinds(parent).count("lost") <= kills
    shop.check([parent])


def test_a_streaming_spawner_whose_child_is_killed(shop: Shop) -> None:
    with shop.worker(poison_limit=1000):
        parent = shop.send("fan_out", 20_000)

        kills = _kill_again_and_again(shop, parent, most=6, within=1.5)

        _check_family(shop, parent, 20_000)
        assert 1 <= shop.kinds(parent).count("lost") <= kills
    shop.check([parent])


def test_spawners_whose_supervisor_is_killed(shop: Shop) -> None:
    """One whose children travel with its outcome, and one that streams them."""
    brief: dict[str, Any] = {"lease": 1.5, "sweep": 0.2, "poison_limit": 1000}
    parents = {count: shop.send("fan_out", count, 0.005) for count in (2_000, 8_000)}
    for run in range(1, 4):
        worker = shop.worker(**brief)
        for parent in parents.values():
            until("a run", lambda: len(_runs(shop, parent)) >= run or parent.ready())  # noqa: B023
        time.sleep(random.uniform(0, 0.6))
        worker.kill()
        until("the family is gone", lambda: not worker.family(), timeout=5)  # noqa: B023
    with shop.worker(**brief):
        for count, parent in parents.items():
            _check_family(shop, parent, count)
    shop.check(parents.values())


def _kill_again_and_again(shop: Shop, parent: Result[Any], *, most: int, within: float) -> int:
    """Kill the process of the spawner's body in each of its runs, so many seconds after its
    beginning at most, until it has ended; how often."""
    kills = 0
    while kills < most:
        until("the next run", lambda: len(_runs(shop, parent)) > kills or parent.ready())  # noqa: B023
        run = _runs(shop, parent)[-1]
        moment = random.uniform(0, within if kills else 0.08)  # the first one hits the body
        time.sleep(max(0.0, run.began + moment - time.monotonic()))
        if parent.ready():
            break
        kills += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(run.pid, signal.SIGKILL)
    return kills


def _runs(shop: Shop, parent: Result[Any]) -> list[Any]:
    return shop.ledger.runs(parent.id.hex)


def _check_family(shop: Shop, parent: Result[Any], count: int) -> None:
    """Children 0..count-1 and one fan-in, which took all their results in order."""
    parent.wait(timeout=60)
    children = parent.children()
    rows = f"SELECT spawn_index FROM {{jobs}} WHERE parent_id = {shop.desk.id(parent.id.bytes)}"
    assert sorted(row[0] for row in shop.desk.sql(rows)) == list(range(count + 1))
    assert len(children) == count + 1
    assert children[count].get(timeout=60) == [count, True]
    shop.wait_until_quiet()
    # A kill may have hit the fan-in too, waiting or running: each run has a lease of its own.
    leases = [run.lease for run in shop.ledger.runs(children[count].id.hex)]
    assert leases == sorted(set(leases))
    assert leases
