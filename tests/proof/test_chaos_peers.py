"""The chaos that other job queues are put to: what it counts, and one short run of our own row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proof.chaos.peers.catalogue import CONTENDERS
from tests.proof.chaos.peers.faults import Kill, schedule
from tests.proof.chaos.peers.figures import Book, figures, table

ROOT = Path(__file__).parents[2]


def _book(path: Path, text: str) -> Book:
    (path / "ledger").write_text("".join(f"{line.strip()}\n" for line in text.split(";")))
    book = Book(path / "ledger")
    assert book.read()
    return book


def test_what_is_lost_what_is_stuck_and_what_ran_twice(tmp_path: Path) -> None:
    book = _book(
        tmp_path,
        """start probe-0 7 0.5; end probe-0 7 0.6;
        acknowledged done 1 1.0; start done 7 1.1; end done 7 1.2;
        acknowledged twice 1 1.0; start twice 7 2.0; end twice 7 2.1; start twice 8 3.0;
        end twice 8 3.5; acknowledged lost 1 1.0; start lost 7 4.0; acknowledged stuck 1 1.0;
        refused unsure 1 1.0; start unsure 8 4.0; end unsure 8 4.1; refused never 1 1.0""",
    )

    found = figures(book, [], unfinished={"stuck"})

    assert {key: found[key] for key in ("acknowledged", "lost", "stuck", "doubled")} == {
        "acknowledged": 4, "lost": 1, "stuck": 1, "doubled": 1,
    }  # fmt: skip
    assert (found["refused"], found["refused_but_ran"], found["starts"]) == (2, 1, 5)
    assert found["wait_most"] == pytest.approx(1.1)


def test_recovery_is_of_jobs_whose_body_was_cut(tmp_path: Path) -> None:
    book = _book(
        tmp_path,
        """acknowledged a 1 0.0; start a 7 1.0; start b 7 0.5; end b 7 0.9; start a 8 2.5;
        end a 8 2.6; acknowledged c 1 0.0; start c 8 4.0; start d 9 6.5; end d 9 6.6""",
    )
    kills = [
        Kill("child", 2.0, frozenset({7})),
        Kill("worker", 5.0, frozenset({8, 9})),
        Kill("database", 6.0),
    ]

    found = figures(book, kills, unfinished=set())

    assert found["recovery"] == {"child": [0.5], "worker": [], "database": [0.5]}
    assert (found["cut"], found["never"], found["lost"]) == (2, 1, 1)


def test_the_ledger_is_read_by_whole_lines(tmp_path: Path) -> None:
    book = _book(tmp_path, "start a 7 1.0")
    with open(book.path, "a", encoding="utf-8") as file:
        file.write("end a 7 ")
        file.flush()
        assert not book.read()
        file.write("2.0\n")
    assert book.read()
    assert book.runs[0].ended == 2.0


def test_a_seed_is_a_schedule() -> None:
    faults = schedule(3, 60.0)

    assert faults == schedule(3, 60.0) != schedule(4, 60.0)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    verbs = [fault.verb for fault in faults]
    assert [verbs.count(verb) for verb in ("child", "worker", "stop", "servers")] == [29, 3, 5, 1]
    assert verbs.count("continue") == 5
    assert verbs.index("servers") < verbs.index("servers back")


def test_each_contender_has_its_program() -> None:
    folder = ROOT / "tests" / "proof" / "chaos" / "peers"
    assert {f"with_{contender.module}.py" for contender in CONTENDERS} == {
        path.name for path in folder.glob("with_*.py")
    }


@pytest.mark.slow
@pytest.mark.usefixtures("postgres_url", "redis_url")  # left out where servers are
def test_our_own_row_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    # Seed 9 kills the worker at last, when the servers are long back: most often bodies run then.
    command = [
        sys.executable,
        "-m",
        "tests.proof.chaos.peers",
        "--peer",
        "hammerflow",
        "--seed",
        "9",
    ]

    run = subprocess.run(
        [*command, "--seconds", "8", "--rate", "30", "--lease", "2", "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout + run.stderr
    line = json.loads(file.read_text())
    assert (line["lost"], line["stuck"]) == (0, 0)
    assert line["acknowledged"] + line["refused"] == 240
    assert line["faults"]["worker killed"] == line["faults"]["servers killed"] == 1
    assert line["faults"]["child killed"] >= 1
    assert line["starts"] >= line["acknowledged"]
    assert table([line]) in run.stdout
