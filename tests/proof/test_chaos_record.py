"""What runs of chaos record, what is summed, and which runs are of which tick."""

from __future__ import annotations

import json
from datetime import datetime

from tests.acceptance.ledger import Run
from tests.proof.chaos.flow_checks import runs_by_tick
from tests.proof.chaos.record import Kill, recoveries
from tests.proof.chaos.sum import table


def _run(job: str, pid: int, began: float, ended: float | None) -> Run:
    return Run(job, 1, 1, pid, "note", None, began, ended)


def test_recovery_counts_only_jobs_whose_body_the_kill_hit() -> None:
    runs = [
        _run("a", 7, 1.0, None),  # hit
        _run("b", 7, 0.5, 0.9),  # had ended
        _run("c", 8, 1.0, None),  # another child
        _run("a", 9, 2.5, 3.0),
        _run("c", 9, 4.0, 5.0),
    ]
    kills = [Kill("child", 2.0, frozenset({7})), Kill("database", 3.0), Kill("database", 9.0)]
    assert recoveries(kills, runs) == {"child": [0.5], "supervisor": [], "database": [1.0]}


def test_lines_are_summed_and_a_broken_run_has_no_bound() -> None:
    line = {
        "database": "sqlite", "seconds": 10.0, "jobs": 300, "faults": {"child killed": 4},
        "phases": {"claimed": 3, "body": 1},
        "lost": 2, "refused": 1, "overlaps": 0, "children": 9, "broken": [],
        "recovery": {"child": [0.1, 0.3], "supervisor": [], "database": []},
    }  # fmt: skip
    text = table([line, line])
    assert "| jobs in the database | 600 (nothing broken: rate below 5.0e-03 by 3/n) |" in text
    assert "| child killed | 8 |" in text
    assert "| hit: claimed | 6 |" in text
    assert "| recovery, child, p50 / p99 | 0.30 s / 0.30 s of 4 |" in text
    broken = table([line, {**line, "broken": ["I1 what was acknowledged is there"]}])
    assert "| invariants broken | I1 what was acknowledged is there: 1 runs |" in broken
    assert "3/n" not in broken


def test_a_run_by_hand_close_to_a_tick_is_none_of_its_runs() -> None:
    tick = "2026-11-28T06:00:01+00:00"
    hands = ["2026-11-28T06:00:00.999700+00:00", "2026-11-28T06:00:01.000300+00:00"]
    rows = [
        (bytes([number]) * 16, None, json.dumps({"schedule": "once", "tick": at}))
        for number, at in enumerate([tick, *hands])
    ]
    found = runs_by_tick(rows)
    assert found["once", datetime.fromisoformat(tick).timestamp()] == {bytes(16)}
    assert len(found) == 3
