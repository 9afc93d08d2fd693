"""Pauses of queues, tasks and the whole app on the command line."""

from __future__ import annotations

import pytest

from hammerflow import Hammerflow
from tests.cli.conftest import Run, claim


@pytest.mark.parametrize("thing", [("queue", "default"), ("task", "shop.add"), ("app",)])
def test_nothing_is_claimed_between_pause_and_resume(
    run: Run, embedded_shop: Hammerflow, thing: tuple[str, ...]
) -> None:
    kind, *name = thing
    job = embedded_shop.tasks["shop.add"].delay(1, 2)

    paused = run(kind, "pause", *name, "--reason", "upgrade")
    pauses = run("app", "pauses")
    (listed,) = run("app", "pauses", "--json").json
    shown = run("job", "show", str(job.id)).out
    doctor = run("doctor").out
    before = claim(embedded_shop)
    resumed = run(kind, "resume", *name)
    after = claim(embedded_shop)

    what = " ".join(thing) if name else "the app"
    assert paused.out.startswith(f"{what} is paused") and resumed.out == f"{what} is open\n"
    assert (listed["kind"], listed["name"], listed["reason"]) == (kind, *(name or [""]), "upgrade")
    assert "@" in listed["paused_by"] and f"{listed['paused_by']}: upgrade" in pauses.out
    assert f"hammerflow {kind} resume" in shown and "(upgrade)" in shown
    assert f"hammerflow {kind} resume" in doctor
    assert (len(before), len(after)) == (0, 1)
    assert run("app", "pauses").out == "nothing is paused\n"


def test_the_list_of_tasks_has_workers_and_pauses(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.add"].delay(1, 2)
    run("task", "pause", "shop.paint", "--new", "--reason", "dry")

    rows = {row["name"]: row for row in run("task", "list", "--json").json}
    head, *_ = run("task", "list").out.splitlines()

    assert head.split() == ["TASK", "WORKERS", "PAUSED"]
    assert rows["shop.add"]["paused_at"] is None and rows["shop.add"]["workers"] == 1
    assert rows["shop.paint"]["reason"] == "dry" and rows["shop.paint"]["paused_at"]


def test_resuming_the_app_names_what_is_still_paused(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    run("queue", "pause", "default")
    run("app", "pause")

    resumed = run("app", "resume")

    assert resumed.out == "the app is open\nstill paused: queue default\n"
    assert [each["name"] for each in run("app", "resume", "--json").json["still_paused"]] == [
        "default"
    ]
    assert claim(embedded_shop) == []


def test_a_typo_pauses_no_task(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)

    ended = run("task", "pause", "shop.ad")

    assert ended.code == 1
    assert "there is no task 'shop.ad': did you mean shop.add" in ended.err
    assert "give --new" in ended.err and embedded_shop.pauses() == []
