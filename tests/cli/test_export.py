"""Exports: every field of the jobs that filters match, streamed, exact, whole files only."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from hammerflow import Hammerflow
from hammerflow.admin import job_filter
from hammerflow.cli import paging
from hammerflow.jobs.outcome import Completed, Failed, Failure
from tests.cli.conftest import Run, claim, settle

BAD = Failure("failed", "builtins.ValueError", "no good", "Traceback ...")
LARGE = 2**200 + 1


@pytest.fixture
def ended(shop: Hammerflow) -> Hammerflow:
    """Seven completed jobs with large numbers, one that has failed."""
    add = shop.tasks["shop.add"]
    for n in range(7):
        add.delay(LARGE, n)
    settle(shop, claim(shop), Completed(shop.codec.encode(-LARGE)))
    shop.tasks["shop.paint"].delay("=1+1")
    settle(shop, claim(shop), Failed(BAD))
    return shop


def test_jobs_are_exported_page_by_page(
    run: Run, ended: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "_PAGE", 2)
    monkeypatch.setattr(job_filter, "_SCANNED", 4)
    monkeypatch.setattr(job_filter, "_PAGE", 2)
    rows = [
        json.loads(line) for line in run("job", "export", "--task", "shop.add").out.splitlines()
    ]
    assert [row["args"] for row in rows] == [[LARGE, n] for n in reversed(range(7))]
    assert {row["result"] for row in rows} == {-LARGE}
    (bad,) = run("job", "export", "--error", "no good", "--json-lines").out.splitlines()
    assert json.loads(bad)["error"] == {"type": "builtins.ValueError", "message": "no good"}
    assert run("job", "export", "--state", "failed", "--until", "1h").out == ""


def test_csv_goes_to_a_file_once_it_is_whole(
    run: Run, ended: Hammerflow, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run("job", "export", "--format", "csv", "--output", "jobs.csv")
    assert said.out == "8 rows in jobs.csv\n"
    rows = list(csv.DictReader(io.StringIO((folder / "jobs.csv").read_text("utf-8"))))
    assert [json.loads(row["args"]) for row in rows[1:]] == [[LARGE, n] for n in range(6, -1, -1)]
    assert rows[0]["state"] == "failed" and rows[0]["args"] == '["=1+1"]'
    lost = run("job", "export", "--output", "no/such/place")
    assert lost.code == 1 and "no/such/place:" in lost.err

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(ended.store.workflows), "results_of", broken)
    assert run("job", "export", "--output", "jobs.csv").code == 1
    assert len((folder / "jobs.csv").read_text("utf-8").splitlines()) == 9
    assert [path.name for path in folder.iterdir() if ".part" in path.name] == []


def test_the_archive_is_exported(run: Run, ended: Hammerflow) -> None:
    ended.store.retention.keep_queue("default", {"completed": "archive after 0s"})
    run("archive", "run", "--yes")
    lines = run("archive", "export", "--task", "shop.add").out.splitlines()
    assert [json.loads(line)["args"] for line in lines] == [[LARGE, n] for n in range(6, -1, -1)]
    table = run("archive", "export", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {row["result"] for row in rows} == {str(-LARGE)} and len(rows) == 7


def test_a_batch_is_exported_to_a_file(run: Run, shop: Hammerflow, folder: Path) -> None:
    batch = shop.batch([shop.tasks["shop.add"].s(1, n) for n in range(3)], name="b").enqueue()
    settle(shop, claim(shop), Completed(shop.codec.encode(LARGE)))
    run("batch", "export", batch.id, "--output", "b.jsonl")
    rows = [json.loads(line) for line in (folder / "b.jsonl").read_text().splitlines()]
    assert [row["result"] for row in rows] == [LARGE] * 3
