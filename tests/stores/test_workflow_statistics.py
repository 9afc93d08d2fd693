"""Statistics of workflows: each figure is what the table of workflows says of its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from hammerflow import Hammerflow
from hammerflow.admin.statistics import workflow_summary_json
from hammerflow.errors import ConfigError
from hammerflow.jobs.outcome import Completed
from hammerflow.stores.statistics import workflow_statistics
from hammerflow.stores.statistics.statistics import DAY, HOUR, MINUTE, Window
from tests.stores.kit import Desk, desk_at, failed
from tests.stores.test_statistics import begin, count_all
from tests.stores.workflow_kit import Sketch, run, settle


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


def end(desk: Desk, name: str, ago: float, *, took: float = 10.0, is_bad: bool = False) -> bytes:
    """A workflow of two nodes that ended ``ago`` seconds ago; the second is the slow one."""
    sketch = Sketch("fail_fast")
    first = sketch.job()
    second = sketch.job(first)
    sketch.put(desk)
    run(desk, first)
    settle(desk, failed() if is_bad else Completed(None), second)
    own = f"id = {desk.id(sketch.id)}"
    desk.sql(f"UPDATE {{workflows}} SET name = '{name}' WHERE {own}")
    for column, of, back in (("ended_at", "ended_at", ago), ("created_at", "ended_at", took)):
        desk.sql(f"UPDATE {{workflows}} SET {column} = {desk.shift(of, back)} WHERE {own}")
    for number, (job, back) in enumerate(((first, 2.0), (second, 5.0))):
        desk.sql(f"UPDATE {{nodes}} SET name = 'node{number}' WHERE job_id = {desk.id(job.id)}")
        desk.sql(
            f"UPDATE {{done}} SET started_at = {desk.shift('finished_at', back)}"
            f" WHERE job_id = {desk.id(job.id)}"
        )
    return sketch.id


def figures(desk: Desk, span: int, begin: int) -> Counter[tuple[str, str]]:
    window = Window(begin // span * span, int(desk.store.clock()) // span * span + span, span)
    found: Counter[tuple[str, str]] = Counter()
    for counts in desk.store.statistics.of_workflows(window):
        found[counts.name, counts.status] += counts.runs
    return found


def test_runs_are_counted_by_name_and_status_and_folded(desk: Desk) -> None:
    start = begin(desk, 30 * 60)
    for ago, is_bad in ((HOUR * 26, False), (HOUR * 26 + 70, True), (HOUR * 3, False), (300, True)):
        end(desk, "nightly", ago, is_bad=is_bad)
    end(desk, "hourly", 300)
    count_all(desk)
    expected = Counter({
        ("nightly", "completed"): 2, ("nightly", "failed"): 2, ("hourly", "completed"): 1,
    })  # fmt: skip
    for span in (MINUTE, HOUR, DAY):
        assert figures(desk, span, start) == expected, span
    # Who counts a minute again replaces it.
    desk.sql(f"UPDATE {{statistics_progress}} SET final_to = {start}, counted_to = {start}")
    count_all(desk)
    assert figures(desk, MINUTE, start) == expected


def test_a_summary_has_the_ratio_the_times_and_the_slowest_node(desk: Desk) -> None:
    begin(desk, 120)
    for took in (10.0, 10.0, 10.0, 40.0):
        end(desk, "nightly", 600, took=took, is_bad=took > 30)
    end(desk, "other", 700)
    count_all(desk)
    with closing(Hammerflow("shop", database=desk.url)) as app:
        [nightly, other] = app.stats.workflows()
        [alone] = app.stats.workflows(name="other", last=timedelta(hours=2))
        points = app.stats.workflows_over_time(name="nightly")
        everything = app.stats.workflows_over_time(last=2 * HOUR)
        with pytest.raises(ConfigError, match="last"):
            app.stats.workflows(last=0)
    found = workflow_summary_json(nightly)
    assert (found["name"], found["completed"], found["failed"], found["cancelled"]) == (
        "nightly", 3, 1, 0
    )  # fmt: skip
    assert found["success_ratio"] == 0.75
    assert found["took_p50"] == pytest.approx(10, rel=0.1)
    assert found["took_p95"] == pytest.approx(40, rel=0.1)
    assert (found["slowest_node"], found["slowest_node_seconds"]) == (
        "node1", pytest.approx(5, abs=0.01)
    )  # fmt: skip
    assert other.name == "other"
    assert (alone.name, alone.runs["completed"], alone.at) == ("other", 1, None)
    assert [sum(point.runs.values()) for point in points if point.success_ratio] == [4]
    assert len(points) == 25 and points[-1].at and points[-1].at <= datetime.now(UTC)
    assert sum(sum(point.runs.values()) for point in everything) == 5
    assert len(everything) == 121


def test_rare_names_are_counted_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow_statistics, "_NAMES", 1)
    start = begin(desk, 60)
    for name in ("often", "often", "once", "never again"):
        end(desk, name, 600)
    count_all(desk)
    assert figures(desk, MINUTE, start) == {("often", "completed"): 2, ("", "completed"): 2}


def test_names_that_differ_in_case_or_at_their_end_are_told_apart(desk: Desk) -> None:
    start = begin(desk, 60)
    for name in ("Nightly", "nightly", "nightly "):
        end(desk, name, 600)
    count_all(desk)
    assert len(figures(desk, MINUTE, start)) == 3
