"""Weighted turns of queues."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from hammerflow import ConfigError
from hammerflow.worker import WorkerOptions, read_queues
from hammerflow.worker.supervisor.queue_order import QueueOrder


def test_turns_follow_the_weights_and_are_spread() -> None:
    order = QueueOrder({"high": 5, "default": 1})

    firsts = [order.order()[0] for _ in range(60)]

    assert Counter(firsts) == {"high": 50, "default": 10}
    assert all("default" in firsts[i : i + 6] for i in range(0, 60, 6))


def test_the_room_that_is_left_goes_to_the_others_heaviest_first() -> None:
    order = QueueOrder({"a": 1, "b": 3, "c": 2})

    for _ in range(6):
        first, *rest = order.order()
        assert {first, *rest} == {"a", "b", "c"}
        weights = {"a": 1, "b": 3, "c": 2}
        assert sorted(rest, key=lambda name: -weights[name]) == rest


def test_a_paused_queue_has_no_turn() -> None:
    order = QueueOrder({"a": 1, "b": 1})

    assert not order.set_paused({"a", "elsewhere"})
    assert order.order() == ["b"]
    assert order.set_paused(set()), "a was resumed"
    assert set(order.order()) == {"a", "b"}


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
