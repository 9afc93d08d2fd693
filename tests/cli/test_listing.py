"""Lists come whole or say where they go on; jobs are retried and cancelled by filters."""

from __future__ import annotations

import json

import pytest

from hammerflow import Hammerflow
from hammerflow.cli import paging
from hammerflow.ids import new_id
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.outcome import Failed, Failure
from hammerflow.results.result import Result
from tests.cli.conftest import Run, claim, settle, spawn_album
from tests.stores.kit import spawned

COUNT = 120
FAILURE = Failure("failed", "builtins.ValueError", "no", "")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a list of a hundred rows has several pages."""
    monkeypatch.setattr(paging, "_PAGE", 25)


def _fail(app: Hammerflow, count: int) -> None:
    app.enqueue_many(app.tasks["shop.add"].s(1, n) for n in range(count))
    settle(app, claim(app), Failed(FAILURE))


def test_a_list_for_programs_is_whole(run: Run, shop: Hammerflow) -> None:
    _fail(shop, COUNT)

    whole = run("job", "list", "--state", "failed", "--json")
    lines = run("job", "list", "--json-lines")

    ids = [job["id"] for job in whole.json]
    assert (len(set(ids)), whole.err) == (COUNT, "")
    assert [json.loads(line)["id"] for line in lines.out.splitlines()] == ids


@pytest.mark.parametrize("dependency", [[], ["--dependency-status", "none"]])
def test_a_list_that_is_cut_says_where_it_goes_on(
    run: Run, embedded_shop: Hammerflow, dependency: list[str]
) -> None:
    _fail(embedded_shop, COUNT)
    pages: list[list[str]] = []
    mark: list[str] = []

    while True:
        page = run("job", "list", *dependency, "--json", "--limit", 50, *mark)
        pages.append([job["id"] for job in page.json])
        if not page.err:
            break
        mark = ["--before", json.loads(page.err)["next"]]
    text = run("job", "list", *dependency)

    assert [len(page) for page in pages] == [50, 50, 20]
    assert len({id_ for page in pages for id_ in page}) == COUNT
    assert len(text.out.splitlines()) == 51
    assert f"add --before {pages[0][-1]}" in text.err


def test_a_list_that_fits_exactly_is_not_called_cut(run: Run, embedded_shop: Hammerflow) -> None:
    _fail(embedded_shop, 50)

    assert run("job", "list").err == run("job", "list", "--json", "--limit", 50).err == ""
    assert run("job", "list", "--json", "--state", "ready").json == []


def test_other_lists_say_that_they_are_cut(run: Run, embedded_shop: Hammerflow) -> None:
    for _ in range(3):
        spawn_album(embedded_shop, 2)
        (embedded_shop.tasks["shop.resize"].s(1) | embedded_shop.tasks["shop.resize"].s()).delay()

    for command in ("spawn list", "spawn pending", "workflow list"):
        text = run(*command.split(), "--limit", 2)
        found = run(*command.split(), "--limit", 2, "--json")
        assert "note: there " in text.err, command
        assert "note" in json.loads(found.err), command
        assert len(found.json) == 2
        whole = run(*command.split(), "--json")
        assert (len(whole.json), whole.err) == (3, ""), command


def test_an_interrupted_list_can_be_read(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail(embedded_shop, 3)
    retry, seen = Result.retry, []

    def retried(self: Result[object]) -> None:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(self)
        retry(self)

    monkeypatch.setattr(Result, "retry", retried)
    ended = run("job", "retry", "--state", "failed", "--json", "--yes")

    assert (ended.code, len(ended.json)) == (130, 2)


def test_jobs_are_retried_by_a_filter(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.resize"].delay(1)
    _fail(shop, COUNT)

    given = ("job", "retry", "--state", "failed", "--task", "shop.add")
    counted = run(*given, "--dry-run", "--json")
    unasked = run(*given)
    ended = run(*given, "--json-lines", "--yes")

    assert counted.json == {"matching": COUNT}
    assert (unasked.code, f"this would retry {COUNT} jobs: give --yes" in unasked.err) == (2, True)

    assert ended.code == 0
    assert len(ended.out.splitlines()) == COUNT
    states = [job.state for job in shop.jobs(limit=1_000, task="shop.add")]
    assert states == ["ready"] * COUNT
    assert [job.state for job in shop.jobs(task="shop.resize")] == ["failed"]


def test_jobs_are_cancelled_by_a_filter(run: Run, embedded_shop: Hammerflow) -> None:
    add = embedded_shop.tasks["shop.add"]
    add.delay(0, 0)
    claim(embedded_shop)
    add.options(queue="mail").delay(1, 1)
    for n in range(30):
        add.delay(1, n)

    counted = run("job", "cancel", "--queue", "default", "--dry-run")
    ended = run("job", "cancel", "--queue", "default", "--yes")
    again = run("job", "cancel", "--queue", "default", "--state", "ready", "--yes")

    assert counted.out == "this would cancel 31 jobs\n"
    assert (ended.code, ended.out.splitlines()) == (
        0, ["30 jobs: cancelled", "1 job: running, its worker was told to stop it"],
    )  # fmt: skip
    assert [job.state for job in embedded_shop.jobs(queue="mail")] == ["ready"]
    assert again.out == "no matching jobs\n"


@pytest.mark.parametrize(
    "command",
    [
        "job retry", "job retry --queue default", "job cancel", "job retry --state completed",
        "job cancel --state failed", "job retry 01a2b3c4 --state failed",
        "job cancel 01a2b3c4 --queue default",
    ],
)  # fmt: skip
def test_a_filter_is_not_left_open(run: Run, embedded_shop: Hammerflow, command: str) -> None:
    assert embedded_shop.jobs() == []

    assert run(*command.split()).code == 2


def test_a_tree_is_cancelled(run: Run, embedded_shop: Hammerflow) -> None:
    root = embedded_shop.tasks["shop.add"].delay(1, 2)
    (parent,) = claim(embedded_shop)
    kids = [
        NewJob(new_id(), "shop.add", "default", 2, b"M\x92", parent_id=parent.id, spawn_index=n)
        for n in range(3)
    ]
    settle(embedded_shop, [parent], spawned(*kids))

    counted = run("job", "cancel", root.id, "--tree", "--dry-run", "--json")
    unasked = run("job", "cancel", root.id, "--tree")
    ended = run("job", "cancel", root.id, "--tree", "--yes")

    assert counted.json == {"matching": 3}
    assert (unasked.code, "this would cancel 3 jobs: give --yes" in unasked.err) == (2, True)
    assert (ended.code, ended.out) == (0, "3 jobs: cancelled\n")
    assert [child.state for child in root.children()] == ["cancelled"] * 3
    again = run("job", "cancel", root.id, "--tree")
    assert (again.code, again.out) == (
        0,
        f"{root.id}  completed, and all jobs below it have ended\n",
    )
    assert run("job", "cancel", "--tree", "--queue", "default").code == 2
    assert run("job", "cancel", root.id, "--dry-run").code == 2
