"""Nothing that a row holds reaches a terminal as anything but text."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from hammerflow import Hammerflow
from hammerflow.jobs.outcome import Failed, Failure, Parked
from tests.cli.conftest import Run, claim, settle, spawn_album

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\x7f\r\u2028\ufeff\nFORGED"
#: The columns in which a key or JSON is kept; what is in the JSON is hostile.
EXACT = {"id", "job_id", "ukey", "unique_key", "why", "kind", "trace_id"}
TIME = re.compile(r"\b20\d\d-\d\d-\d\d\S*")
ISO = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d[,:]?")


def poison(path: str) -> int:
    """Put the hostile text into every text of every row; how many columns there were."""
    connection, count = sqlite3.connect(path), 0
    with connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if kind != "TEXT" or column in EXACT:
                    continue
                is_text = f"{column} IS NOT NULL AND {column} NOT LIKE '{{%'"
                written = f"UPDATE {table} SET {column} = {column} || ? WHERE {is_text}"
                count += connection.execute(written, [HOSTILE]).rowcount > 0
                inside = f"json_set({column}, '$.x', ?)"
                is_json = f"{column} LIKE '{{%'"
                connection.execute(
                    f"UPDATE {table} SET {column} = {inside} WHERE {is_json}", [HOSTILE]
                )
    connection.close()
    return count


@pytest.fixture
def poisoned(embedded_shop: Hammerflow, tmp_path: Path) -> dict[str, str]:
    """A database whose rows are hostile; the ids of a job, a spawner and a workflow."""
    app, add = embedded_shop, embedded_shop.tasks["shop.add"]
    root = spawn_album(app, 2)
    failure = Failure("failed", "shop.Odd", "odd", "Traceback:\n  line 1\n  line 2")
    (first, *_) = claim(app, "shop.resize")
    settle(app, [first], Failed(failure))
    chain = app.enqueue(add.s(1, 2) | add.s(3))  # type: ignore[operator]
    settle(app, claim(app, "shop.add"), Failed(failure))
    job = add.apply_async(args=("a", 2), headers={"who": "me"})
    app.store.jobs.progress([(job.id.bytes, 0.5, "half")])
    settle(app, claim(app, "shop.add"), Parked("undecodable", failure))
    app.store.queues.pause("default", by="ann@here", reason="why not")
    workflow = chain.job().workflow_id
    app.close()
    assert poison(app.settings.url.database) > 12
    ids = {"job": job.id, "failed": chain.job().id, "root": root, "workflow": workflow}
    return {name: str(id_) for name, id_ in ids.items()}


def commands(ids: dict[str, str]) -> list[list[str]]:
    root, workflow, job = ids["root"], ids["workflow"], ids["job"]
    return [
        ["doctor"],
        ["job", "list"],
        *[
            ["job", "show", ids[name], "--include-dependencies"]
            for name in ("job", "failed", "root")
        ],
        ["queue", "list"],
        ["queue", "stats"],
        ["queue", "health"],
        ["monitor", "--count", "1"],
        ["worker", "list"],
        ["worker", "show", "7"],
        *[["explain", ids[name]] for name in ("job", "failed", "root")],
        ["spawn", "list"],
        ["spawn", "list", "--detailed"],
        *[["spawn", "tree", root, "--format", form] for form in ("text", "json", "mermaid", "dot")],
        ["spawn", "stats", "--detailed"],
        ["spawn", "monitor", "--count", "1"],
        ["spawn", "lineage", root],
        ["spawn", "pending"],
        ["workflow", "list"],
        ["workflow", "show", workflow],
        ["workflow", "dependencies", ids["failed"]],
        *[["workflow", "graph", workflow, "--format", form] for form in ("text", "dot", "mermaid")],
        ["workflow", "status", workflow],
        ["job", "cancel", job],
        ["workflow", "retry", workflow],
    ]


def test_no_command_prints_what_a_terminal_obeys(run: Run, poisoned: dict[str, str]) -> None:
    for command in commands(poisoned):
        ended = run(*command)

        assert ended.code in (0, 1), command
        odd = {sign for sign in ended.out + ended.err if not sign.isprintable()} - {"\n"}
        assert odd == set(), (command, ended)
        assert ended.out or ended.err, command
        assert "\nFORGED" not in ended.out + ended.err, (command, ended)
        assert "unexpected" not in ended.err, command


def test_all_times_have_one_form_and_json_is_ascii(run: Run, poisoned: dict[str, str]) -> None:
    for command in commands(poisoned):
        plain, as_json = run(*command), run(*command, "--json")

        for text in (as_json.out, as_json.err):
            assert text.isascii() and text.replace("\n", "").isprintable(), command
        if as_json.out:
            json.loads(as_json.out)
        for text in (plain.out, plain.err, as_json.out, as_json.err):
            for found in TIME.findall(text.replace('"', " ").replace("\\", " ")):
                assert ISO.fullmatch(found), (command, found)
