"""``hammerflow archive``: what is kept for how long, and what is removed."""

from __future__ import annotations

from uuid import UUID

import pytest

from hammerflow import Hammerflow
from hammerflow.errors import JobNotFound
from hammerflow.jobs.outcome import Completed
from tests.cli.conftest import Run, claim, settle, spawn_album


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

    assert (counted, removed) == ("2 jobs would be removed\n", {"removed": 2, "archived": 0})
    assert [job["state"] for job in run("job", "list", "--json").json] == ["running"]
    stats = run("archive", "stats", "--json").json
    assert stats["bytes"] > 0 and bool(stats["tables"]) == (shop.store.dialect != "sqlite")
    assert "size" in run("archive", "stats").out


@pytest.fixture
def archived(run: Run, shop: Hammerflow) -> list[str]:
    """The ids of a job, and of a spawner with two children and a fan-in, all archived."""
    alone = str(shop.tasks["shop.add"].delay(2**70, 2).id)
    settle(shop, claim(shop), Completed(b"M\x03"))
    root = spawn_album(shop, 2)
    while claimed := claim(shop):
        settle(shop, claimed, Completed(b"M\x01"))
    shop.store.retention.keep_queue("default", {"completed": "archive after 0s"})
    assert run("archive", "run", "--dry-run").out.splitlines()[1] == "5 jobs would be archived"
    assert run("archive", "run", "--yes", "--json").json == {"removed": 0, "archived": 5}
    return [alone, root]


def test_an_archived_job_is_found_and_comes_back(
    run: Run, shop: Hammerflow, archived: list[str]
) -> None:
    alone, root = archived
    listed = run("archive", "list", "--json").json
    shown = run("archive", "show", alone[:23], "--json").json
    missing = run("job", "show", alone)

    assert {each["id"] for each in listed} > {alone, root} and len(listed) == 5
    assert shown["args"] == [2**70, 2] and shown["result"] == 3 and shown["group_jobs"] == 1
    assert f"hammerflow archive restore {alone}" in run("archive", "show", alone).out
    assert missing.code != 0 and f"archive restore {alone} brings it back" in missing.err
    with pytest.raises(JobNotFound, match=f"archive restore {alone} brings it back"):
        shop.result(alone).get(timeout=5)
    assert run("archive", "restore", alone, root).out == "restored 5 jobs\n"
    assert run("job", "show", alone, "--json").json["args"] == [2**70, 2]
    assert run("archive", "run", "--yes", "--json").json["archived"] == 0
    assert run("archive", "stats", "--json").json["archive"] == {
        "archived": 5, "restored": 5, "purged": 0, "now": 0,
    }  # fmt: skip


def test_filters_list_restore_and_purge(run: Run, archived: list[str]) -> None:
    csv = run("archive", "list", "--task", "shop.resize", "--csv").out.splitlines()
    assert len(csv) == 3 and csv[0].startswith("id,state,task,queue,ended_at,size")
    assert run("archive", "list", "--since", "1h", "--limit", "2").out.count("completed") == 2
    assert run("archive", "list", "--until", "1h").out == "no matching jobs in the archive\n"
    asked = run("archive", "restore", "--task", "shop.resize")
    assert asked.code != 0 and "restore 4 jobs: give --yes" in asked.err
    dry = run("archive", "purge", "--task", "shop.resize", "--dry-run", "--json").json
    assert dry == {"matching": 0}  # not the whole tree
    assert run("archive", "purge", "--task", "shop.add", "--yes").out == ("purged 1 archived job\n")
    assert run("archive", "restore", "--task", "shop.resize", "--yes").out == "restored 4 jobs\n"
    assert run("archive", "restore", "--all", "--dry-run", "--json").json == {"matching": 0}


def test_a_policy_may_archive(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.add"].delay(1, 2)
    changed = run("archive", "policy", "--queue", "default", "--failed", "archive after 30d")
    assert "archive after 30d" in changed.out
    bad = run("archive", "policy", "--queue", "default", "--failed", "archive")
    assert bad.code != 0 and '"archive after 7d"' in bad.err


def test_what_is_in_a_damaged_pack_is_named(
    run: Run, shop: Hammerflow, archived: list[str]
) -> None:
    ids = sorted(each["id"] for each in run("archive", "list", "--json").json)
    packs = shop.store.database.rows("archived_of", ids=[UUID(id_).bytes for id_ in ids])
    shop.store.database.run("archive_packs_delete", ids=sorted({row[1] for row in packs}))

    checked = run("maintenance", "check", "--json")
    exported = run("archive", "export")
    restored = run("archive", "restore", "--all", "--yes", "--json")
    purged = run("archive", "purge", "--damaged", "--yes")

    assert checked.code == 1 and "archived_unreadable" in checked.out
    assert (exported.code, exported.out) == (1, "") and all(id_ in exported.err for id_ in ids)
    assert (restored.code, restored.json) == (1, {"restored": 0, "refused": [], "damaged": ids})
    assert purged.out == "purged 5 archived jobs\n"
    assert run("maintenance", "check").code == 0
