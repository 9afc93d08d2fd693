"""Limits with many keys: what one claim gives, and how little it does for that."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from hammerflow.ids import name_id
from hammerflow.jobs.limit import RATE, Limit, key_id, lock_of
from hammerflow.stores.store import Store
from tests.stores.gates import Gate, Running
from tests.stores.kit import Desk, desk_at

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


@pytest.mark.parametrize("is_near", [True, False])
def test_a_claim_leaves_keys_of_which_another_one_has_claimed_since_it_began(
    migrated_database: Callable[[str], str], is_near: bool
) -> None:
    """PostgreSQL stops the claim where it has begun, but has taken no lock."""
    with (
        desk_at(migrated_database("postgres")) as desk,
        contextlib.closing(desk.another()) as other,
    ):
        desk.store.limits.declare({"t": Limit(None, 1)})
        put(desk, range(MANY)), put(desk, range(MANY))
        if is_near:
            desk.end(*desk.claim(5, thorough=False))  # sees that there are many lanes
        gate = Gate(desk, "leases", "BEFORE INSERT", stops_one=True)
        with gate.shut():
            claiming = Running(lambda: desk.claim(MANY, thorough=False))
            gate.wait_for_one()
            better = put(desk, range(5, 105), priority=3)
            assert {job.id for job in desk.claim(100, worker=2, store=other)} == {*better}
        assert not {*better} & {job.id for job in claiming()}
        assert max(each.running for each in desk.store.limits.list()) == 1
        found = [job.id for _ in range(3) for job in desk.claim(MANY, thorough=False)]
        assert len({*found}) == len(found)
        assert max(each.running for each in desk.store.limits.list()) == 1


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


@pytest.mark.parametrize("database", ["postgres", "mariadb"])
@pytest.mark.parametrize("is_near", [True, False])
def test_keys_whose_lock_another_claim_holds_are_passed_over(
    migrated_database: Callable[[str], str], database: str, is_near: bool
) -> None:
    with desk_at(migrated_database(database)) as desk:
        desk.store.limits.declare({"t": Limit(None, 1_000)})
        put(desk, range(MANY)), put(desk, range(MANY))
        lock = max(lock_of(key_id(name_id("t"), str(key))) for key in range(MANY))
        held = {key for key in range(MANY) if lock_of(key_id(name_id("t"), str(key))) == lock}
        if is_near:
            desk.claim(2, thorough=False)  # sees that there are many lanes
        with desk.store.database.transaction() as tx:
            assert tx.rows("limit_locks_take", ids=[lock]) == [(lock,)]
            jobs = [job for _ in range(3) for job in desk.claim(MANY, thorough=False)]
        assert len(jobs) > MANY // 2
        assert not held & {int(desk.store.limits.keys(job.id)[0] or "") for job in jobs}
        rest = [job for _ in range(4) for job in desk.claim(MANY)]
        assert len(jobs) + len(rest) == 2 * MANY - 2 * is_near


def test_claims_at_the_same_time_share_the_places_of_many_keys(desk: Desk) -> None:
    desk.store.limits.declare({"t": Limit(None, 1)})
    put(desk, range(MANY)), put(desk, range(MANY)), put(desk, range(MANY))
    stores = [desk.another() for _ in range(3)]
    start = threading.Barrier(len(stores))
    found: list[bytes] = []

    def claim(store: Store) -> None:
        start.wait()
        for _ in range(10):
            found.extend(job.id for job in desk.claim(20, store=store, thorough=False))

    for racing in [Running(partial(claim, store)) for store in stores]:
        racing()
    for store in stores:
        store.close()
    found += [job.id for _ in range(3) for job in desk.claim(MANY)]
    assert len(found) == len({*found}) == MANY
    assert {each.running for each in desk.store.limits.list()} == {1}
