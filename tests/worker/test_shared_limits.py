"""Limits over the children of two workers, through the death of both kinds of processes."""

from __future__ import annotations

import itertools
import os
import signal

import pytest

from hammerflow.jobs.limit import Limit
from tests.acceptance.kit import Shop

pytestmark = pytest.mark.slow


def test_limits_hold_through_crashes(shop: Shop) -> None:
    with shop.worker(children=2), shop.worker(children=2) as other:
        sent = [shop.send("turns", 10, 0.02)]
        sent += shop.send_all("turn", (("a", n, 0.02) for n in range(10)))
        sent += shop.send_all("paced", ((n,) for n in range(15)))
        shop.wait_for_run(sent[2])
        for pid in other.children():
            os.kill(pid, signal.SIGKILL)
        shop.wait_for_run(sent[10])
        shop.wait_until_quiet()
    shop.check(sent)
    limits = shop.client.store.limits.list()
    assert not any(limit.running or limit.waiting for limit in limits)


def test_the_next_job_starts_as_soon_as_a_place_is_free(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    shop.client.store.limits.give("task", shop.call("turn").task, Limit(None, 1), by="test")
    with shop.worker(children=3):
        sent = shop.send_all("turn", (("a", n, 0.05) for n in range(12)))
        shop.wait_until_quiet()
    runs = sorted((shop.ledger.runs(result.id.hex)[0] for result in sent), key=lambda r: r.began)
    assert [run.job for run in runs] == [result.id.hex for result in sent]
    gaps = [after.began - (before.ended or 0) for before, after in itertools.pairwise(runs)]
    assert min(gaps) > 0 and sorted(gaps)[len(gaps) // 2] < 0.3
    assert {shop.job(result).attempt for result in sent} == {1}
