"""Limits with many keys: what one claim gives, and how little it does for that."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hammerflow.ids import name_id
from hammerflow.jobs.limit import RATE, Limit, key_id
from tests.stores.gates import Running, waiting_for_locks
from tests.stores.kit import Desk, desk_at
from tests.support.waiting import until

#: More lanes than a claim reads at a time.
MANY = 300
#: Statements of a claim of jobs of many keys.
MOST = {"postgres": 1, "mysql": 7, "sqlite": 6}


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


def test_a_claim_leaves_keys_of_which_another_one_has_claimed_since_it_began(
    migrated_database: Callable[[str], str],
) -> None:
    """It waits for a key that a client is writing, after it has counted what all keys run."""
    lanes = {str(k): key_id(name_id("t"), str(k)) for k in range(MANY + 1)}
    *keys, last = sorted(lanes, key=lanes.__getitem__)
    with (
        desk_at(migrated_database("postgres")) as desk,
        contextlib.closing(desk.another()) as other,
    ):

        def put_each(names: Sequence[str], **more: Any) -> list[bytes]:
            jobs = [desk.job(limit_id=lanes[key], limit_key=key, **more) for key in names]
            return desk.put(*jobs)

        desk.store.limits.declare({"t": Limit(None, 1)})
        put_each(keys), put_each(keys)
        desk.end(*desk.claim(MANY))  # all keys but the last one are written
        desk.end(*desk.claim(5, thorough=False))
        new = put_each([last])
        with pytest.raises(_Undone), desk.store.database.transaction() as tx:
            tx.many("limit_keys_insert", [(lanes[last], name_id("t"), last)])
            claiming = Running(lambda: desk.claim(MANY, thorough=False))
            until("the claim waits", lambda: waiting_for_locks(desk) == 1)
            better = put_each(keys[5:105], priority=3)
            assert {job.id for job in desk.claim(100, worker=2, store=other)} == {*better}
            raise _Undone
        found = [job.id for job in claiming()]
        assert len(found) == MANY - 104 and {*new} <= {*found}
        assert max(each.running for each in desk.store.limits.list()) == 1


class _Undone(Exception):
    """Ends a transaction without its writes."""


def test_each_of_many_keys_has_a_rate_of_its_own(desk: Desk) -> None:
    desk.store.limits.declare({"t": Limit(RATE("1/h burst 2", "rate"), None)})
    first, second = put(desk, range(MANY)), put(desk, range(MANY))
    put(desk, range(MANY))
    claimed = [job.id for _ in range(5) for job in desk.claim(MANY // 2, thorough=False)]
    assert sorted(claimed) == first + second
    desk.sql("UPDATE {limit_keys} SET tat = tat - 3600")
    assert len([job for _ in range(4) for job in desk.claim(MANY // 2)]) == MANY


def _counted(method: Any, counts: Counter[str]) -> Any:
    def count(tx: Any, name: str, *args: Any, **values: Any) -> Any:
        counts[name] += 1
        return method(tx, name, *args, **values)

    return count
