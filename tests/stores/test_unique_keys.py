"""Unique keys whose time is over, taken by several at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from hammerflow.jobs.job import NewJob
from hammerflow.jobs.unique import HeldKey
from hammerflow.stores.transitions.insert import insert_jobs
from hammerflow.stores.transitions.unit import Unit
from tests.stores.gates import blocked, running
from tests.stores.kit import Desk, desk_at
from tests.support.waiting import until

KEYS = "abcdefgh"


@pytest.fixture(params=["postgres", "mariadb"])
def served(
    request: pytest.FixtureRequest, migrated_database: Callable[[str], str]
) -> Iterator[Desk]:
    """A desk on a server."""
    with desk_at(migrated_database(request.param)) as desk:
        yield desk


def call(desk: Desk, key: str) -> NewJob:
    """A call whose key is held for an hour."""
    return desk.job(unique=HeldKey(key, "return_existing", False, 3600.0, None))


def over(desk: Desk) -> set[bytes]:
    """Jobs that hold all keys, whose time is over."""
    ids = desk.put(*(call(desk, key) for key in KEYS))
    desk.sql(f"UPDATE {{unique_keys}} SET until = {desk.shift('until', 7200)}")
    return set(ids)


def holders(desk: Desk) -> dict[str, bytes]:
    rows = desk.sql("SELECT ukey, job_id FROM {unique_keys}")
    return {
        key.decode() if isinstance(key, bytes) else key: getattr(job, "bytes", job)
        for key, job in rows
    }


def test_lists_in_opposite_order_take_over_each_key_once(desk: Desk) -> None:
    for _ in range(3):
        old = over(desk)
        start = threading.Barrier(4)

        def insert(keys: str, start: threading.Barrier = start) -> list[tuple[str, bytes]]:
            jobs = [call(desk, key) for key in keys]
            start.wait(20)
            return list(zip(keys, desk.store.jobs.insert(jobs).ids, strict=True))

        with (
            running(lambda: insert(KEYS)) as one,
            running(lambda: insert(KEYS[::-1])) as two,
            running(lambda: insert(KEYS[4:] + KEYS[:4])) as three,
        ):
            told = {*insert(KEYS[::-1]), *one(), *two(), *three()}
        assert told == set(holders(desk).items())
        assert not old & {job for _, job in told}
        desk.sql("DELETE FROM {unique_keys}")
    assert desk.count("jobs") == 3 * 2 * len(KEYS)
    desk.check()


def test_a_key_is_taken_over_by_one_of_two(served: Desk) -> None:
    """The second one has read that the key is free, and waits for the first."""
    over(served)
    first, second = call(served, "a"), call(served, "a")

    def work(unit: Unit) -> None:
        insert_jobs(unit, [first])
        with running(lambda: served.store.jobs.insert([second])) as other:
            others.append(other)
            until("the second one waits", lambda: blocked(served), step=0.15)

    others: list[object] = []
    served.store.jobs._names.ensure([first], None)
    served.store.jobs._run(work)
    (other,) = others
    assert other().ids == [first.id]
    assert holders(served)["a"] == first.id
    assert served.count("jobs") == len(KEYS) + 1


def test_a_key_that_has_been_taken_over_meanwhile_is_left(desk: Desk) -> None:
    over(desk)
    old = holders(desk)["a"]
    (first,) = desk.put(call(desk, "a"))
    late = {"ukey": "a", "holder": old, "job_id": desk.job().id, "within": 9.0, "max_wait": None}
    assert desk.store.database.unit(lambda tx: tx.run("unique_take_over", **late)) == 0
    assert holders(desk)["a"] == first != old


def test_a_deadlock_of_two_that_take_over_keys_is_untangled(served: Desk) -> None:
    """As chunks of spawners' children may: each has one key and wants the other's."""
    over(served)
    meet = threading.Barrier(2)
    tries: list[int] = []

    def crosswise(*keys: str) -> Sequence[tuple[str, bytes]]:
        met: list[int] = []

        def work(unit: Unit) -> list[bytes]:
            tries.append(1)
            first = insert_jobs(unit, [call(served, keys[0])])[0]
            if not met:
                met.append(1)
                meet.wait(20)
            return [*first, *insert_jobs(unit, [call(served, keys[1])])[0]]

        return list(zip(keys, served.store.jobs._run(work), strict=True))

    served.store.jobs._names.ensure([call(served, "a")], None)
    with running(lambda: crosswise("a", "b")) as other:
        told = {*crosswise("b", "a"), *other()}
    assert len(tries) >= 3
    assert told == {(key, job) for key, job in holders(served).items() if key in "ab"}
    assert served.count("jobs") == len(KEYS) + 2
    served.check()
