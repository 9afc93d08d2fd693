"""``hammerflow queue`` and ``monitor`` on each database."""

from __future__ import annotations

import os
import pty
import subprocess
import termios

import pytest

from hammerflow import Hammerflow, JobState
from hammerflow.ids import name_id
from hammerflow.jobs.outcome import Completed
from hammerflow.testing import drain
from tests.cli.conftest import HAMMERFLOW, WORKER, Run, claim, environment, settle
from tests.stores.kit import desk_at


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


def test_stats_show_ages_and_rates(run: Run, shop: Hammerflow) -> None:
    for _ in range(6):
        shop.tasks["shop.add"].delay(1, 2)
    settle(shop, claim(shop)[:1], Completed(None))
    shop.tasks["shop.add"].options(queue="mail").delay(1, 2)
    beat = {"ended": {"default": 30}, "seconds": 5.0, "children": []}
    assert shop.store.workers.beat(WORKER, beat)
    with desk_at(shop.settings.database) as desk:
        desk.sql(f"UPDATE {{jobs}} SET created_at = {desk.shift('created_at', 90)}")

    default, mail = run("queue", "stats", "--json").json
    head, row = run("queue", "stats", "mail").out.splitlines()

    assert (default["running"], default["ready"], default["oldest"]) == (5, 0, None)
    assert (default["enqueued_per_second"], default["ended_per_second"]) == (0.1, 6.0)
    assert (mail["ready"], mail["at_least"]) == (1, []) and 90 <= mail["oldest"] < 900
    assert head.split()[0] == "QUEUE" and row.split()[:2] == ["mail", "1"]
    (wait,) = shop.store.queue_stats.waits()
    assert wait.waited >= 90 and 0 <= wait.ran < 900


def test_a_count_that_is_cut_is_a_lower_bound(run: Run, shop: Hammerflow) -> None:
    add = shop.tasks["shop.add"]
    for queue, delay in (("a", 0), ("a", 0), ("b", 0), ("a", 60), ("b", 60)):
        add.options(queue=queue, delay=delay).delay(1, 2)

    a, b, *_ = shop.store.queue_stats.depths(bound=2)
    whole, *_ = shop.store.queue_stats.depths()

    assert (a.ready, b.ready) == (2, 1)
    assert a.scheduled + b.scheduled == 2
    assert "scheduled" in a.at_least and "scheduled" in b.at_least
    assert (whole.ready, whole.scheduled, whole.at_least) == (2, 1, ())
    assert shop.store.queue_stats.ready(name_id("a"), bound=1) == 1


def test_health_names_what_keeps_jobs_from_running(run: Run, shop: Hammerflow) -> None:
    add = shop.tasks["shop.add"]
    add.delay(1, 2)
    assert run("queue", "health").code == 0
    add.options(queue="mail").delay(1, 2)
    shop.store.queues.pause("mail", by="ann@here")
    with desk_at(shop.settings.database) as desk:
        desk.sql(f"UPDATE {{jobs}} SET created_at = {desk.shift('created_at', 90)}")

    ended = run("queue", "health", "--json")
    slow, paused = ended.json
    shop.store.workers.leave(WORKER)
    alone = run("queue", "health", "default")

    assert ended.code == 1
    assert (slow["status"], paused["status"]) == ("warn", "fail")
    assert "the oldest ready job has waited for 9" in slow["says"]
    assert paused["says"].endswith("by ann@here") and "queue resume mail" in paused["advice"]
    assert alone.code == 1 and "no live worker serves it" in alone.out


def test_clear_cancels_the_ready_jobs_of_a_queue(run: Run, shop: Hammerflow) -> None:
    add = shop.tasks["shop.add"]
    ready = [add.delay(1, 2), add.options(priority=4).delay(1, 2)]
    kept = [add.apply_async(args=(1, 2), countdown=60), add.options(queue="mail").delay(1, 2)]

    dry, refused = run("queue", "clear", "default", "--dry-run"), run("queue", "clear", "default")
    states = [one.state for one in ready]
    done = run("queue", "clear", "default", "--yes", "--reason", "a mistake")

    assert dry.out == "this would cancel 2 ready jobs of queue default\n"
    assert refused.code == 2 and "give --yes" in refused.err
    assert states == [JobState.READY] * 2
    assert done.out == "cancelled 2 jobs of queue default\n"
    assert [one.job().reason for one in ready] == ["a mistake"] * 2
    assert [one.state for one in kept] == [JobState.SCHEDULED, JobState.READY]


def test_the_monitor_prints_lines_where_nobody_sees_a_screen(
    run: Run, embedded_shop: Hammerflow
) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    settle(embedded_shop, claim(embedded_shop), Completed(None))
    embedded_shop.tasks["shop.add"].delay(1, 2)

    plain = run("monitor", "--count", "2", "--interval", "0.1")
    (found,) = [run("monitor", "--count", "1", "--json").json]

    assert len(plain.out.splitlines()) == 2
    assert "1 ready, 0 running, in 0.033/s, out 0, waited 0." in plain.out
    assert found["queues"][0]["ready"] == 1 and found["workers"][0]["host"] == "here"
    assert len(found["waited"]) == len(found["ran"]) == 2


def test_the_monitor_shows_late_schedules_first(run: Run, embedded_shop: Hammerflow) -> None:
    call, schedules = embedded_shop.signature("shop.add", [1, 2]), embedded_shop.store.schedules
    for name in ("night", "late"):
        plain = embedded_shop.schedules.definition(name, "@daily", call, {})
        schedules.create(name, plain, by="test")
    late = embedded_shop.store.clock() - 60
    embedded_shop.store.database.unit(
        lambda tx: tx.connection.execute(
            "UPDATE hammerflow_schedules SET next_at = ?, look_at = ? WHERE name = 'late'",
            (late, late),
        )
    )

    found = run("monitor", "--count", "1", "--json").json

    assert [schedule["name"] for schedule in found["schedules"]] == ["late", "night"]
    assert 59 < found["schedules"][0]["late"] < 120 and found["schedules"][1]["late"] == 0
    assert "1 schedule late" in run("monitor", "--count", "1").out


def test_a_q_ends_the_monitor_and_leaves_the_terminal_as_it_was(embedded_shop: Hammerflow) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    ours, theirs = pty.openpty()
    command = [*HAMMERFLOW, "monitor", "--interval", "60"]
    environ = {**environment(), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as shown:
        before = termios.tcgetattr(ours)
        seen = b""
        while b"workers" not in seen:
            seen += os.read(ours, 65536)
        os.write(ours, b"xq")
        while b"\x1b[?1049l" not in seen:
            seen += os.read(ours, 65536)
        assert shown.wait(60) == 0

    assert b"queues" in seen and b"default" in seen
    assert termios.tcgetattr(ours) == before


def count_as_of_two_minutes_ago(shop: Hammerflow) -> None:
    """Count what has ended, in a minute that is over."""
    with desk_at(shop.settings.database) as desk:
        minute = int(desk.store.clock() // 60) * 60
        desk.store.database.run("statistics_begin", begin=minute - 600)
        for column in ("started_at", "finished_at"):
            desk.sql(f"UPDATE {{done}} SET {column} = {desk.shift(column, 120)}")
        while desk.store.statistics.count_next():
            pass


def test_statistics_are_of_the_last_hours(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.add"].delay(1, 2)
    settle(shop, claim(shop), Completed(None))
    count_as_of_two_minutes_ago(shop)

    (task,) = run("task", "stats", "shop.add", "--json").json
    (queue,) = run("queue", "stats", "--hours", "1", "--json").json
    table = run("task", "stats").out.splitlines()
    nothing = run("task", "stats", "--queue", "default", "--hours", "0")

    assert (task["task"], task["completed"], queue["completed"]) == ("shop.add", 1, 1)
    assert task["run_p50"] is not None
    assert table[0].split()[:4] == ["TASK", "ENQUEUED", "COMPLETED", "FAILED"]
    assert nothing.out.startswith("no job of that time is counted")


def test_statistics_of_many_queues_come_in_pages(run: Run, shop: Hammerflow) -> None:
    for queue in ("a", "b", "c"):
        shop.tasks["shop.add"].options(queue=queue).delay(1, 2)
        drain(shop)
    count_as_of_two_minutes_ago(shop)

    def names(*options: str) -> list[str]:
        found = run("queue", "stats", "--hours", "1", "--json", *options).json
        return [row["queue"] for row in found]

    assert {*names()} >= {"a", "b", "c"}
    assert names("--limit", "1", "--after", "a") == ["b"]
    page = run("queue", "stats", "--hours", "1", "--limit", "1", "--after", "a")
    assert "there are more queues: add --after b" in page.err
    refused = run("queue", "stats", "--limit", "1")
    assert refused.code == 2 and "--limit and --after are for --hours" in refused.err


def test_health_tells_what_only_a_person_can_change(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.add"].delay(1, 2)
    with desk_at(shop.settings.database) as desk:
        desk.store.workers.register(
            WORKER + 1, host="here", pid=1, info={"is_open": True}, tasks=["shop.add"],
            queues=["default"],
        )  # fmt: skip

        def health() -> tuple[int, str, str]:
            done = run("queue", "health", "default", "--json")
            return done.code, done.json[0]["status"], done.json[0]["says"]

        said = [health()]
        run("limit", "set", "task:shop.add", "--max", "0")
        said.append(health())
        run("limit", "remove", "task:shop.add")
        run("task", "pause", "shop.add")
        said.append(health())

    assert [each[:2] for each in said] == [(0, "ok"), (1, "fail"), (1, "fail")]
    assert "its limit task:shop.add allows no job to run" in said[1][2]
    assert "its task shop.add has been paused since" in said[2][2]
