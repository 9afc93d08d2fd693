"""What a child runs is compared with what it was given: no job is left that nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hammerflow import JobFailed, JobState
from tests.acceptance.kit import Shop
from tests.support.waiting import until
from tests.worker.test_groups import BOTH, send_rogue


@BOTH
def test_a_job_that_a_living_child_has_dropped_is_lost_and_runs_again(
    shop: Shop, kind: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    provoked = "cannot report"
    with shop.worker(app="tests.worker.rogue:app", children=1, error=provoked) as worker:
        neighbour = send_rogue(shop, "hold_async", str(gate))
        until("it runs", lambda: neighbour.state is JobState.RUNNING)

        dropped = send_rogue(shop, f"drops{kind}")
        charged = send_rogue(shop, f"drops{kind}", max_attempts=1)

        assert dropped.get(timeout=20) == 2
        assert shop.kinds(dropped) == ["lost"]
        with pytest.raises(JobFailed, match=r"no outcome|ended with|killed by"):
            charged.get(timeout=20)
        gate.touch()
        assert neighbour.get(timeout=10) == "held"
        assert shop.kinds(neighbour) == []
        assert 1 <= worker.log.count("has dropped jobs") <= 2
        assert shop.desk.count("leases") == 0


@BOTH
def test_jobs_that_end_while_their_child_is_asked_are_not_lost(
    sqlite_shop: Shop, kind: str
) -> None:
    shop = sqlite_shop
    with shop.worker(
        app="tests.worker.rogue:app", children=1, preload="tests.worker.impatient"
    ) as worker:
        jobs = [send_rogue(shop, f"retries{kind}", 50) for _ in range(3)]
        jobs += [send_rogue(shop, f"retries{kind}", 1) for _ in range(300)]

        assert [job.get(timeout=30) for job in jobs] == [50] * 3 + [1] * 300

        assert {kind for job in jobs[:3] for kind in shop.kinds(job)} == {"failed"}
        assert worker.log.count("asked") > 50, "it was asked often enough"
        assert "has dropped" not in worker.log


def test_a_body_is_stopped_before_its_job_runs_again(sqlite_shop: Shop) -> None:
    """Somebody has deleted the rows of workers by hand."""
    with sqlite_shop.worker(lease=12) as worker:
        held = sqlite_shop.send("hold", "gate", 7)
        sqlite_shop.wait_for_run(held)
        sqlite_shop.desk.sql("DELETE FROM {workers}")
        sqlite_shop.wait_for_run(held, 2)
        assert "its leases were taken over" in worker.log
        sqlite_shop.open("gate")
        assert held.get(timeout=20) == 7
    assert len(sqlite_shop.ledger.runs(held.id.hex)) == 2
    assert sqlite_shop.job(held).attempt == 1 and sqlite_shop.kinds(held) == []
