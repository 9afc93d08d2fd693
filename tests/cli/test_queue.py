"""``hammerflow queue``: list, pause and resume on each database."""

from __future__ import annotations

import pytest

from hammerflow import Hammerflow
from tests.cli.conftest import Run, claim


def test_the_list_counts_jobs(run: Run, shop: Hammerflow) -> None:
    add = shop.tasks["shop.add"]
    add.delay(1, 2)
    assert len(claim(shop)) == 1
    for _ in range(2):
        add.delay(1, 2)
    add.apply_async(args=(1, 2), countdown=60)

    (queue,) = run("queue", "list", "--json").json
    head, row = run("queue", "list").out.splitlines()

    assert (queue["name"], queue["ready"], queue["running"]) == ("default", 2, 1)
    assert head.split() == ["QUEUE", "READY", "RUNNING", "SCHEDULED", "WAITING", "PARKED", "PAUSED"]
    assert row.split() == ["default", "2", "1", "1", "0", "0"]


def test_a_paused_queue_is_not_claimed_from(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.add"].delay(1, 2)

    paused = run("queue", "pause", "default", "--reason", "upgrade")
    listed = run("queue", "list")
    claimed_before = claim(shop)
    resumed = run("queue", "resume", "default", "--json")
    claimed_after = claim(shop)

    assert paused.out == "queue default is paused\n"
    assert "upgrade" in listed.out
    assert resumed.json == {"queue": "default", "paused": False}
    assert (len(claimed_before), len(claimed_after)) == (0, 1)


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("queue pause mial", "give --new"),
        ("queue resume mial", "did you mean mail?"),
        ("-A shop:app job enqueue shop.add --args [1,2] --queue mial", "give --new-queue"),
    ],
)
def test_a_typo_makes_no_queue(
    run: Run, embedded_shop: Hammerflow, command: str, advice: str
) -> None:
    embedded_shop.tasks["shop.add"].options(queue="mail").delay(1, 2)

    ended = run(*command.split())

    assert ended.code == 1
    assert "there is no queue 'mial': did you mean mail?" in ended.err
    assert advice in ended.err
    assert embedded_shop.store.queues.names() == {"default", "mail"}
    assert len(embedded_shop.jobs()) == 1


@pytest.mark.parametrize(
    "command", ["job list", "spawn list", "spawn stats", "spawn monitor --count 1"]
)
def test_a_filter_by_an_unknown_queue_is_named(
    run: Run, embedded_shop: Hammerflow, command: str
) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)

    assert "there is no queue 'mial'" in run(*command.split(), "--queue", "mial").err
    assert run(*command.split(), "--queue", "default").err == ""


def test_a_queue_can_be_paused_before_it_exists(run: Run, embedded_shop: Hammerflow) -> None:
    assert embedded_shop.jobs() == []

    assert run("queue", "pause", "mail", "--new").code == 0
    add = ("job", "enqueue", "shop.add", "--args", "[1,2]", "--queue")
    assert run("-A", "shop:app", *add, "other", "--new-queue").code == 0

    assert embedded_shop.store.queues.paused() == {"mail"}
    assert embedded_shop.store.queues.names() == {"default", "mail", "other"}


def test_a_queue_needs_a_name_that_can_be_one(run: Run, embedded_shop: Hammerflow) -> None:
    assert embedded_shop.jobs() == []

    ended = run("queue", "pause", "")

    assert ended.code == 2
    assert "1 to 255 printable characters" in ended.err
