"""Limits with many keys: what one claim gives, and how little it does for that."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from hammerflow.ids import name_id
from hammerflow.jobs.limit import Limit, key_id
from tests.stores.kit import Desk

#: More lanes than a claim reads at a time.
MANY = 300
#: Statements of a claim of jobs of many keys.
MOST = {"postgres": 2, "mysql": 7, "sqlite": 6}


def put(desk: Desk, keys: range, **more: Any) -> list[bytes]:
    """A job for each of these keys."""
    jobs = [desk.job(limit_id=key_id(name_id("t"), str(k)), limit_key=str(k), **more) for k in keys]
    return desk.put(*jobs)


def test_one_claim_gives_jobs_of_more_keys_than_it_reads_at_a_time(desk: Desk) -> None:
    desk.store.limits.declare({"t": Limit(None, 1)})
    first, second = put(desk, range(2 * MANY)), put(desk, range(2 * MANY))
    claimed = desk.claim(2 * MANY)
    assert sorted(job.id for job in claimed) == first
    assert desk.claim(2 * MANY) == []
    for job in claimed:
        desk.end(job)
    assert sorted(job.id for job in desk.claim(2 * MANY)) == second


def test_a_better_priority_comes_first_though_many_keys_wait(desk: Desk) -> None:
    desk.store.limits.declare({"t": Limit(None, 1)})
    put(desk, range(MANY), priority=2)
    desk.claim(5, thorough=False)
    low = put(desk, range(MANY, MANY + 1), priority=1)
    high = put(desk, range(MANY, MANY + 2), priority=3)
    highest = put(desk, range(MANY + 2, MANY + 3), priority=4)
    assert [job.id for job in desk.claim(1, thorough=False)] == highest
    assert sorted(job.id for job in desk.claim(2, thorough=False)) == high
    rest = [job.id for job in desk.claim(MANY, thorough=False)]
    assert len(rest) == MANY - 5  # the key of the low one runs
    assert not {*low} & {*rest}


def test_a_claim_of_many_keys_takes_few_statements(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.store.limits.declare({"t": Limit(None, 1_000)})
    for _ in range(4):
        put(desk, range(MANY))
    counts: Counter[str] = Counter()
    tx_type: Any = desk.store.database.dialect.tx_type  # type: ignore[attr-defined]
    for verb in ("rows", "run", "many"):
        monkeypatch.setattr(tx_type, verb, _counted(getattr(tx_type, verb), counts))
    desk.claim(100, thorough=False)  # meets the keys, and sees how many jobs each has
    rounds = []
    for _ in range(4):
        counts.clear()
        assert len(desk.claim(100, thorough=False)) == 100
        rounds.append(counts.total() - counts["limits_known"] - counts["unlaned"])
    assert min(rounds) <= MOST[desk.store.dialect], counts


def _counted(method: Any, counts: Counter[str]) -> Any:
    def count(tx: Any, name: str, *args: Any, **values: Any) -> Any:
        counts[name] += 1
        return method(tx, name, *args, **values)

    return count
