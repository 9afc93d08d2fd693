"""``hammerflow archive``: what is kept for how long, and what is removed."""

from __future__ import annotations

import pytest

from hammerflow import Hammerflow
from hammerflow.jobs.outcome import Completed
from tests.cli.conftest import Run, claim, settle


def test_a_queue_gets_lifetimes_and_loses_them(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    embedded_shop.store.retention.keep_tasks({"shop.add": {"completed": 5400.0, "failed": None}})

    run("archive", "policy", "--queue", "default", "--completed", "12h", "--failed", "never")
    changed = run("archive", "policy", "--queue", "default", "--completed", "7d", "--json").json
    listed = run("archive", "policy")
    reset = run("archive", "policy", "--queue", "default", "--reset", "--json").json

    assert changed[0]["lifetimes"] == {"completed": 7 * 86_400.0, "failed": None}
    assert [line.split() for line in listed.out.splitlines()] == [
        ["OF", "NAME", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"],
        ["settings", "7d", "30d", "7d", "7d"],
        ["queue", "default", "7d", "never"],
        ["task", "shop.add", "1h30m", "never"],
    ]
    assert reset[0]["lifetimes"] == {}


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("archive policy --completed 1d", "--queue NAME"),
        ("archive policy --queue default --completed soon", "--completed must be a duration"),
        ("archive policy --queue default --completed 1d --reset", "not both"),
        ("archive policy --queue defautl --completed 1d", "did you mean default?"),
        ("archive run", "remove 1 ended job: give --yes"),
    ],
)
def test_what_is_unclear_is_refused(
    run: Run, embedded_shop: Hammerflow, command: str, advice: str
) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    settle(embedded_shop, claim(embedded_shop), Completed(b"M\x01"))
    embedded_shop.store.retention.keep_queue("default", {"completed": 0.0})

    ended = run(*command.split())

    assert ended.code != 0 and advice in ended.err
    assert run("job", "list", "--json").json != []


def test_a_run_removes_what_is_due(run: Run, shop: Hammerflow) -> None:
    for _ in range(3):
        shop.tasks["shop.add"].delay(1, 2)
    settle(shop, claim(shop)[:2], Completed(b"M\x01"))
    shop.store.retention.keep_queue("default", {"completed": 0.0})

    counted = run("archive", "run", "--dry-run").out
    removed = run("archive", "run", "--yes", "--json").json

    assert (counted, removed) == ("2 jobs would be removed\n", {"removed": 2})
    assert [job["state"] for job in run("job", "list", "--json").json] == ["running"]
    stats = run("archive", "stats", "--json").json
    assert stats["bytes"] > 0 and bool(stats["tables"]) == (shop.store.dialect != "sqlite")
    assert "size" in run("archive", "stats").out
