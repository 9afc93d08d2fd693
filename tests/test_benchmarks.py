"""The benchmarks run, print a JSON line for each figure, and draw; how fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import plot
from benchmarks.__main__ import FIGURES
from benchmarks.peers.catalogue import PEERS

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.slow
@pytest.mark.timeout(110)
@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_prints_json_lines(figure: str, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    command = [sys.executable, "-m", "benchmarks", figure, "--database", "sqlite", "--jobs", "200"]

    run = subprocess.run(
        [*command, "--no-redis", "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    printed = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert printed == [json.loads(line) for line in file.read_text().splitlines()]
    assert printed
    for row in printed:
        assert row["database"] == "sqlite"
        assert row["figure"]


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_the_filling_of_an_empty_database_says_what_it_has_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.filling", f"sqlite:///{tmp_path / 'filled.db'}"]

    run = subprocess.run(
        [*command, "--jobs", "300", "--live", "60", "--day", "200"],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    assert "300 ended, 60 live" in run.stdout


def test_the_plot_is_well_formed_and_has_a_bar_for_each_measured_rate(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    good = _row("peer: hammerflow, <PostgreSQL>", drain_jobs_s=5_000, enqueue_jobs_s=2_000)
    bad = _row("peer: Other & Redis", failed="could not be installed")
    file.write_text("".join(json.dumps(row) + "\n" for row in (bad, _row("idle"), good)))

    drawn = ElementTree.fromstring(plot.draw(plot.read(file)))

    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert len(list(drawn.iter(f"{SVG}rect"))) == 2
    assert texts.count("failed") == 4  # all of the bad one's, and the good one's latency
    assert "hammerflow, <PostgreSQL>" in texts
    assert "5,000" in texts


def test_the_plot_that_is_kept_is_well_formed_and_shows_the_peers() -> None:
    drawn = ElementTree.parse(ROOT / "benchmarks" / "peers.svg")

    texts = {text.text for text in drawn.iter(f"{SVG}text")}
    assert len(texts & {peer.title for peer in PEERS}) >= 10


def test_the_table_says_what_failed(tmp_path: Path) -> None:
    bad = _row("peer: Other & Redis", failed="could not be installed", durable="no")

    assert "failed: could not be installed" in plot.table([bad])


def _row(figure: str, **facts: Any) -> dict[str, Any]:
    return {"figure": figure, "jobs": 10, "at": "2026-01-01", "cores": 2, "python": "3", **facts}
