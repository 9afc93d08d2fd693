"""``hammerflow schedule``: when a cron expression is due."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow, UniqueKey
from hammerflow.stores.schedules import Schedules
from hammerflow.testing import drain
from tests.cli.conftest import Ended, Run
from tests.support.waiting import until


def test_it_says_when_a_cron_expression_is_due(run: Run) -> None:
    asked = ("schedule", "next", "30 2 * * *", "--tz", "Europe/Berlin", "--count", "2")
    after = ("--after", "2024-03-30 12:00")

    assert run(*asked, *after).out.splitlines() == [
        "every day at 02:30 (Europe/Berlin)",
        "2024-03-31T03:00:00.000+02:00",
        "2024-04-01T02:30:00.000+02:00",
    ]
    assert run(*asked, *after, "--json").json == {
        "cron": "30 2 * * *",
        "tz": "Europe/Berlin",
        "description": "every day at 02:30",
        "ticks": ["2024-03-31T01:00:00.000+00:00", "2024-04-01T00:30:00.000+00:00"],
    }


def test_time_has_an_end(run: Run) -> None:
    asked = run("schedule", "next", "0 0 29 2 *", "--after", "9998-12-31")
    assert asked.out == "on the 29th of February at 00:00 (UTC)\n"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("0 0 31 2 *",), "can never occur"),
        (("@daily", "--tz", "Mars/Base"), '"Europe/Berlin"'),
        (("@daily", "--after", "soon"), "a time since 1970"),
        (("@daily", "--after", "9999-12-31", "--tz", "Asia/Tokyo"), "a time since 1970"),
        (("@daily", "--count", "0"), "--count"),
    ],
)
def test_what_is_wrong_is_said(run: Run, wrong: tuple[str, ...], says: str) -> None:
    failed = run("schedule", "next", *wrong)
    assert failed.code in (1, 2)
    assert says in failed.err


def test_an_operator_makes_and_changes_a_schedule(run: Run, embedded_shop: Hammerflow) -> None:
    def did(*args: str) -> Ended:
        ended = run("-A", "shop:app", "schedule", *args)
        assert ended.code == 0, ended.err
        return ended

    assert "there are no schedules" in did("list").out
    made = did("create", "nightly", "shop.add", "--args", "[1, 2]", "--cron", "0 2 * * *",
               "--tz", "Europe/Berlin", "--overlap", "skip", "--jitter", "5m")  # fmt: skip
    assert "every day at 02:00 (Europe/Berlin)" in made.out
    (listed,) = did("list", "--json").json
    assert (listed["name"], listed["state"]) == ("nightly", "active")
    changed = did("update", "nightly", "--misfire", "skip", "--json").json
    assert changed["next_at"] == listed["next_at"] and changed["edit"]["misfire"] == "skip"
    assert "every 90 seconds" in did("update", "nightly", "--every", "90s").out
    runs = did("next", "nightly", "--count", "2", "--json").json["runs"]
    assert [run_["starts_at"] >= run_["tick"] for run_ in runs] == [True, True]
    assert "  starts " in did("next", "nightly").out
    assert did("pause", "nightly", "--reason", "holidays", "--json").json["reason"] == "holidays"
    assert "holidays" in did("list").out
    assert did("resume", "nightly", "--json").json["paused_at"] is None
    job_id = did("run", "nightly", "--json").json["id"]
    assert str(embedded_shop.job(job_id).state) == "ready"
    assert did("show", "nightly", "--json").json["last_run"] == job_id
    assert "would delete 1 schedule" in did("delete", "nightly", "--dry-run").out
    assert run("-A", "shop:app", "cron", "delete", "nightly", "--yes").code == 0
    assert did("list", "--json").json == []


def test_an_operator_changes_the_call(run: Run, embedded_shop: Hammerflow) -> None:
    """As schedule create takes it, over a call of the code or of an operator."""

    def did(*args: str) -> Ended:
        ended = run("-A", "shop:app", "schedule", *args)
        assert ended.code == 0, ended.err
        return ended

    did("create", "nightly", "shop.add", "--args", "[1, 2]", "--cron", "@daily", "--queue", "night",
        "--priority", "high")  # fmt: skip
    shown = did("show", "nightly", "--json").json
    assert (shown["call"], shown["queue"], shown["priority"]) == ("shop.add(1, 2)", "night", 3)
    changed = did("update", "nightly", "--args", "[3]", "--kwargs", '{"y": 4}', "--json").json
    assert changed["call"] == "shop.add(3, y=4)" and changed["next_at"] == shown["next_at"]
    changed = did("update", "nightly", "--queue", "day", "--priority", "background", "--json").json
    assert changed["call"] == "shop.add(3, y=4)"
    assert (changed["queue"], changed["priority"]) == ("day", 0)
    assert "day" in did("show", "nightly").out
    job = embedded_shop.job(did("run", "nightly", "--json").json["id"])
    assert (job.queue, job.priority) == ("day", 0)
    args = embedded_shop.store.jobs.args(job.id.bytes) or b""
    assert embedded_shop.codec.decode_call(args) == ((3,), {"y": 4})


def test_a_schedule_enqueues_a_workflow_file(run: Run, shop: Hammerflow, tmp_path: Path) -> None:
    def file(name: str, *calls: str) -> str:
        jobs = [{"name": call, "task": "add", "args": [1, 2]} for call in calls]
        (tmp_path / name).write_text(json.dumps({"name": name[:-5], "jobs": jobs}))
        return str(tmp_path / name)

    def did(*args: str) -> Ended:
        ended = run("-A", "shop:app", "schedule", *args)
        assert ended.code == 0, ended.err
        return ended

    def run_now() -> dict[str, Any]:
        drain(shop)
        flow = shop.workflow_result(did("run", "etl", "--json").json["id"])
        drain(shop)
        results: dict[str, Any] = flow.get(timeout=0)
        return results

    did("create", "etl", "--file", file("etl.json", "a", "b"), "--cron", "@daily")
    assert "etl" in did("show", "etl", "--json").json["call"]
    assert run_now() == {"a": 3, "b": 3}
    did("update", "etl", "--file", file("more.json", "a", "b", "c"))
    assert run_now() == {"a": 3, "b": 3, "c": 3}
    did("create", "nightly", "shop.add", "--args", "[1, 2]", "--cron", "@daily")
    did("update", "nightly", "--args", "[3, 4]")
    changed = did("update", "nightly", "--file", file("one.json", "a"), "--json").json
    assert "one" in changed["call"] and changed["edit"]["tasks"] == ["shop.add"]


@pytest.mark.parametrize("verb", ["create", "update"])
def test_help_shows_no_default_that_is_none(run: Run, verb: str) -> None:
    assert "None" not in run("schedule", verb, "--help").out


def test_a_name_that_is_not_known_yet_is_pointed_out(run: Run, embedded_shop: Hammerflow) -> None:
    made = ("-A", "shop:app", "schedule", "create")
    call = ("shop.add", "--args", "[1, 2]", "--cron", "@daily")
    typo = run(*made, "a", *call, "--queue", "defautl", "--after", "extract")
    assert typo.code == 0
    assert "queue 'defautl' is new: see that a worker serves it" in typo.err
    assert "there is no schedule 'extract' yet: until there is, runs are skipped" in typo.err
    assert run(*made, "b", *call, "--queue", "default", "--after", "a").err == ""
    assert "queue 'mial' is new" in run("schedule", "update", "b", "--queue", "mial").err
    assert "no schedule 'c' yet" in run("schedule", "update", "b", "--after", "c").err
    assert run("schedule", "update", "b", "--queue", "default").err == ""


@pytest.mark.parametrize("what", [("task", "shop.add"), ("queue", "default"), ("app", "")])
def test_a_run_by_hand_waits_for_a_pause(run: Run, shop: Hammerflow, what: tuple[str, str]) -> None:
    """The schedule's own pause does not hold it."""
    kind, name = what
    make = ("shop.add", "--args", "[1, 2]", "--cron", "@daily", "--paused")
    assert run("-A", "shop:app", "schedule", "create", "s", *make).code == 0
    shop.pause(**({kind: name} if name else {}))

    ran = run("-A", "shop:app", "schedule", "run", "s")

    label = f"{kind} {name}" if name else "the app"
    assert ran.code == 0 and f"1 job waits while {label} is paused" in ran.err
    assert drain(shop) == 0
    shop.resume(**({kind: name} if name else {}))
    assert drain(shop) == 1


def test_ticks_of_a_unique_task_say_who_holds_the_key(run: Run, shop: Hammerflow) -> None:
    policies = {"reject": None, "return_existing": None, "replace": None, "debounce": 60,
                "throttle": 60}  # fmt: skip
    schedules = shop.store.schedules
    for number, (policy, within) in enumerate(policies.items()):
        unique = UniqueKey(on_conflict=policy, within=within)
        call = shop.signature("shop.add", [number, 2], unique=unique)
        plain = shop.schedules.definition(policy, timedelta(seconds=1), call, {})
        schedules.create(policy, plain, by="test")

    until("three ticks of each", lambda: _least_ticks(schedules, policies) >= 3)

    for policy in policies:
        shown = run("-A", "shop:app", "schedule", "show", policy, "--json").json
        ticks = shown["ticks"][::-1][:3]
        assert [tick["outcome"] for tick in ticks] == ["enqueued", "duplicate", "duplicate"]
        assert len({tick["run"] for tick in ticks}) == 1  # the job that holds the key
        assert shown["last_outcome"] == "duplicate"
    assert "duplicate" in run("schedule", "show", "reject").out
    assert len(run("job", "list", "--json").json) == len(policies)


def _least_ticks(schedules: Schedules, names: Iterable[str]) -> int:
    schedules.make(60.0, lambda _: None)
    return min(len(schedules.ticks(name, 9)) for name in names)


def test_the_list_is_filtered_and_paged(run: Run, embedded_shop: Hammerflow) -> None:
    make = ("-A", "shop:app", "schedule", "create")
    sum_, image = ("shop.add", "--args", "[1, 2]"), ("shop.resize", "--args", "[1]")
    assert run(*make, "a", *sum_, "--cron", "@daily", "--paused").code == 0
    assert run(*make, "b", *image, "--cron", "@daily", "--queue", "images").code == 0
    assert run(*make, "c", *sum_, "--cron", "@daily").code == 0

    def listed(*chosen: str) -> list[str]:
        return [row["name"] for row in run("schedule", "list", *chosen, "--json").json]

    assert listed() == ["a", "b", "c"] and listed("--task", "shop.add") == ["a", "c"]
    assert listed("--queue", "images") == ["b"] and listed("--state", "paused") == ["a"]
    assert listed("--state", "aside") == [] and listed("--after", "a") == ["b", "c"]
    first = run("schedule", "list", "--limit", "2")
    assert "more schedules: add --after b" in first.err and "resize" in first.out
    assert run("schedule", "list", "--task", "none").out == "no matching schedules\n"


def test_a_schedule_cannot_come_after_itself(run: Run, embedded_shop: Hammerflow) -> None:
    """Also by way of others, and by a change at run time."""
    make = ("shop.add", "--args", "[1, 2]", "--cron", "@daily")
    for name, *more in (("a",), ("b", "--after", "a"), ("c", "--after", "b")):
        assert run("-A", "shop:app", "schedule", "create", name, *make, *more).code == 0
    refused = run("-A", "shop:app", "schedule", "update", "a", "--after", "c")
    assert refused.code == 1
    assert "schedule a: it cannot come after itself (c after b after ...)" in refused.err
    assert run("-A", "shop:app", "schedule", "update", "b", "--no-after").code == 0
    assert run("-A", "shop:app", "schedule", "update", "a", "--after", "c").code == 0
    both = run("-A", "shop:app", "schedule", "update", "a", "--after", "b", "--no-after")
    assert both.code == 2 and "not both" in both.err


START = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("show", "none"), "there is no schedule 'none'"),
        (("next", "none"), "there is no schedule 'none'"),
        (("create", "x", "shop.add", "--args", "[1, 2]"), "say when"),
        (("create", "x", "shop.ad", "--cron", "@daily"), "did you mean"),
        (("create", "x", "shop.add", "--cron", "@daily"), "missing"),
        (("create", "x", "shop.add", "--args", "[1, 2]", "--every", "0.5s"), "1 second or more"),
        (("create", "x", "shop.add", "--cron", "@daily", "--every", "5m"), "not both"),
        (("update", "x"), "say what to change"),
        (("update", "x", "--reset", "--misfire", "skip"), "say what to change"),
        (("update", "made", "--args", "[1]"), "missing"),
        (("update", "made", "--args", "1"), "JSON list"),
        (("update", "made", "--args", "[1, []]"), "y must be int, not a list"),
        (("create", "x", "shop.add", "--args", '["a", 1]', "--cron", "@daily"), "x must be int"),
        (("update", "made", "--priority", "5"), "critical"),
        (("update", "made", "--end", "2026-01-01"), "end must be later than start"),
        (("update", "made", "--start", "2027-01-02", "--end", "2027-01-01"), "must be later"),
        (
            ("update", "made", "--start", "2027-01-02 10:00", "--end", "2027-01-02 11:00"),
            "is never due",
        ),
        (
            (
                "create",
                "x",
                "shop.add",
                "--args",
                "[1, 2]",
                "--cron",
                "@daily",
                "--end",
                "2026-01-01",
            ),
            "its end, 2026-01-01T00:00:00.000+00:00, is in the past",
        ),
        (("create", "x", "shop.add", "--args", "[1, 2]", "--cron", "0 0 30 2 *"), "never occur"),
        (("update", "made", "--after", "made"), "cannot come after itself"),
        (("update", "x", "--overlap", "never"), "allow, skip, queue_one, cancel_old"),
    ],
)
def test_a_wrong_command_is_said(
    run: Run, embedded_shop: Hammerflow, wrong: tuple[str, ...], says: str
) -> None:
    embedded_shop.store.schema.migrate()
    work = embedded_shop.signature("shop.add", [1, 2])
    plain = embedded_shop.schedules.definition("made", "@daily", work, {"start": START})
    embedded_shop.store.schedules.create("made", plain, by="test")
    failed = run("-A", "shop:app", "schedule", *wrong)
    assert failed.code in (1, 2) and says in failed.err
