"""Weighted turns of queues."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow
from hammerflow.jobs.priority_rule import STRICT
from hammerflow.worker import WorkerOptions, read_queues
from hammerflow.worker.supervisor.claimer import Claimer
from hammerflow.worker.supervisor.queue_caps import QueueCaps
from hammerflow.worker.supervisor.queue_order import QueueOrder
from tests.acceptance.kit import Shop
from tests.support.waiting import until


@pytest.mark.parametrize("rooms", [[1], [4], [1, 7, 2], [1000, 1], [3, 3, 3, 40]])
def test_shares_follow_the_weights_whatever_the_room(rooms: list[int]) -> None:
    weights = {"high": 5, "low": 2, "default": 1}
    order, given = QueueOrder(weights), Counter[str]()

    for number in range(1, 400):
        room = rooms[number % len(rooms)]
        shares = order.shares(room, "claimer")[:-3]
        order.note("claimer", room, dict(shares), ())
        given.update(dict(shares))

        assert sum(dict(shares).values()) == room and len(dict(shares)) == len(shares)
        for name, weight in weights.items():
            assert abs(given[name] - given.total() * weight / 8) <= 2


def test_what_a_queue_cannot_fill_goes_to_the_others_heaviest_first() -> None:
    order = QueueOrder({"a": 1, "b": 3, "c": 2})

    assert order.shares(12, "claimer")[-3:] == [("b", 12), ("c", 12), ("a", 12)]


def test_sync_and_async_jobs_are_shared_apart() -> None:
    order = QueueOrder({"a": 1, "b": 1})

    firsts = []
    for _ in range(10):
        first = {claimer: order.shares(1, claimer)[0][0] for claimer in ("sync", "async")}
        for claimer, queue in first.items():
            order.note(claimer, 1, {queue: 1}, ())
        firsts.append((first["sync"], first["async"]))

    assert Counter(first for first, _ in firsts) == Counter(first for _, first in firsts)


def test_without_weights_queues_take_turns_and_one_claim_may_fill_the_room() -> None:
    order = QueueOrder(None)
    order.add(["a", "b", "c"])

    turns = [order.shares(9, "claimer") for _ in range(3)]

    assert {names[0] for names in turns} == {("a", 9), ("b", 9), ("c", 9)}
    assert all(sorted(names) == [("a", 9), ("b", 9), ("c", 9)] for names in turns)


def test_of_many_queues_those_with_jobs_take_turns(migrated_url: str) -> None:
    app = Hammerflow("shop", database=migrated_url)
    task = app.task(name="note")(print)
    order = QueueOrder(None)
    order.add(f"q{number}" for number in range(30))
    nothing: Any = None
    claimer = Claimer(
        store=app.store, queue_order=order, name="claimer", worker_id=lambda: 1, poll=1.0,
        is_full=lambda: False, is_quiet=lambda: True, burst=False, rule=STRICT, pool=nothing,
        group=nothing, caps=nothing, database_status=nothing,
    )  # fmt: skip

    assert [*claimer._turns(5)] == []
    for queue in ("q3", "q17", "q21", "elsewhere"):
        task.options(queue=queue).delay()
    order.set_paused({"q21"})
    firsts = Counter(next(claimer._turns(5)) for _ in range(6))
    assert firsts == {("q3", 5): 3, ("q17", 5): 3}
    assert sorted(claimer._turns(5)) == [("q17", 5), ("q3", 5)]
    app.close()


def test_a_paused_queue_has_no_turn_and_is_owed_nothing() -> None:
    order = QueueOrder({"a": 1, "b": 1})

    assert not order.set_paused({"a", "elsewhere"})
    for _ in range(100):
        assert order.shares(5, "claimer") == [("b", 5)]
        order.note("claimer", 5, {"b": 5}, ())
    assert order.set_paused(set()), "a was resumed"
    starts = Counter[str]()
    for _ in range(20):
        given = dict(order.shares(1, "claimer")[:-2])
        order.note("claimer", 1, given, ())
        starts.update(given)
    assert starts == {"a": 10, "b": 10}


def test_a_queue_whose_jobs_were_passed_over_gets_its_share_later() -> None:
    order = QueueOrder({"a": 2, "b": 1})

    order.note("claimer", 9, {"a": 1, "b": 8}, ())

    assert order.shares(9, "claimer")[:-2] == [("a", 9)]
    order.note("claimer", 9, {"a": 9}, ())
    assert dict(order.shares(9, "claimer")[:-2]) == {"a": 8, "b": 1}


def test_an_empty_queue_is_owed_nothing_and_the_others_share_by_weight() -> None:
    order, given = QueueOrder({"a": 1, "b": 3, "c": 2}), Counter[str]()

    for _ in range(60):
        left = 6
        found = Counter[str]()
        for name, share in order.shares(6, "claimer"):
            if name != "c":
                found[name] += (count := min(share, left))
                left -= count
        order.note("claimer", 6, found, {"c"})
        given += found

    assert given == {"a": 90, "b": 270}
    assert dict(order.shares(6, "claimer")[:-3]) == {"a": 1, "b": 3, "c": 2}


def test_a_cap_counts_what_is_held() -> None:
    held = {"mail": 1, "other": 9}
    caps = QueueCaps({"mail": 3}, lambda queue: held[queue])

    for count, room in ((1, 2), (3, 0), (4, 0)):
        held["mail"] = count
        with caps.room_of("mail", 5) as found:
            assert found == room
    with caps.room_of("other", 5) as found:
        assert found == 5
    shared = QueueCaps({"mail": 3}, lambda queue: held[queue], {"other": lambda: 11})
    with shared.room_of("other", 5) as found:
        assert found == 2


@pytest.mark.slow
def test_shares_of_starts_hold_with_unequal_jobs_and_an_empty_queue_gives_its_share(
    sqlite_shop: Shop,
) -> None:
    shop = sqlite_shop
    slow = shop.send_all("note", [("slow", 0.15)] * 30, queue="default")
    fast = shop.send_all("note", [("fast", 0.005)] * 300, queue="high")
    capped = shop.send_all("hold", [("gate",)] * 3, queue="capped")
    arguments = ("-Q", "high:5,default:1,capped:1", "--queue-caps", "capped:1")
    with shop.worker(*arguments, children=4):
        kinds: list[str] = []

        def has_started_most() -> bool:
            kinds[:] = [run.args[0] for run in shop.ledger.runs()]
            return kinds.count("fast") >= 140

        until("most were started", has_started_most, timeout=60)
        share = kinds.count("fast") / (len(kinds) - kinds.count("gate"))
        assert kinds.count("gate") == 1
        assert abs(share - 5 / 6) < 0.1 * 5 / 6, Counter(kinds)
        for result in (*slow, *fast):
            result.wait(timeout=60)
        assert [run.args[0] for run in shop.ledger.runs()].count("gate") == 1
        shop.open("gate")
        shop.wait_until_quiet()
    shop.check([*slow, *fast, *capped], most_attempts=1)


def test_a_worker_with_weighted_priorities_starves_none(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    background = shop.send_all("note", [("background",)] * 3, priority=0)
    critical = shop.send_all("note", [("critical",)] * 120, priority=4)
    worker = shop.worker("--burst", "--priorities", "weighted", children=1, priorities="strict")
    assert worker.process.wait(timeout=60) == 0
    starts = [run.args[0] for run in shop.ledger.runs()]
    assert 0 < starts[:90].count("background") <= 10
    shop.check([*background, *critical], most_attempts=1)


def test_only_an_open_order_takes_new_queues() -> None:
    assert QueueOrder(None).add({"new"})
    assert not QueueOrder({"a": 1}).add({"new"})
    assert QueueOrder({"a": 1}).names == ["a"]


def test_queues_are_read_with_their_weights() -> None:
    assert read_queues("high:5, default:1,other") == {"high": 5, "default": 1, "other": 1}
    assert read_queues("tenant:7:2") == {"tenant:7": 2}


@pytest.mark.parametrize("text", ["", "a:", ":3", "a:0", "a:-1", "a:x", "a:1.5", "a:1001", "a,,b"])
def test_senseless_queues_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="name:weight"):
        WorkerOptions(app="shop:app", queues=text)


@pytest.mark.parametrize(
    "options",
    [
        {"children": 0}, {"children": 10**20}, {"children": True}, {"children": 1.5},
        {"async_slots": 0}, {"max_jobs_per_child": 0}, {"max_memory_per_child": "many"},
        {"grace": -1}, {"grace": float("nan")}, {"grace": float("inf")}, {"grace": None},
        {"poll": 0}, {"poll": float("nan")}, {"log_level": "loud"}, {"burst": "yes"},
        {"queues": 5}, {"queues": {"": 1}}, {"queues": {"a": "x"}}, {"queues": {"a": float("nan")}},
        {"queue_caps": "mail:0"}, {"queue_caps": 3}, {"queue_caps": "b:1", "queues": "a"},
        {"priorities": "fair"}, {"priorities": 1},
        {"queues": "a,a"}, {"queues": f"a:{'9' * 5000}"}, {"queues": "x" * 256},
    ],
)  # fmt: skip
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        WorkerOptions(app="shop:app", **options)


def test_options_are_kept_in_their_stored_form() -> None:
    options = WorkerOptions(app="shop:app", queues="high:5,default", grace=timedelta(seconds=3))  # type: ignore[arg-type]

    assert options.weights == {"high": 5, "default": 1}
    assert options.grace == 3.0
    assert WorkerOptions(**json.loads(json.dumps(asdict(options)))) == options
