"""``hammerflow queue``: list, pause and resume on each database."""

from __future__ import annotations

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


def test_an_unknown_queue_cannot_be_resumed(run: Run, embedded_shop: Hammerflow) -> None:
    assert embedded_shop.jobs() == []

    ended = run("queue", "resume", "nothing")

    assert ended.code == 1
    assert "there is no queue 'nothing'" in ended.err


def test_a_queue_needs_a_name_that_can_be_one(run: Run, embedded_shop: Hammerflow) -> None:
    assert embedded_shop.jobs() == []

    ended = run("queue", "pause", "")

    assert ended.code == 2
    assert "1 to 255 printable characters" in ended.err
