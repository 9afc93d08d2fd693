"""Long cascades: thousands of jobs on as many levels end in one transaction, in few statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow.jobs.job import Rule
from hammerflow.jobs.status import WorkflowState
from tests.stores.kit import Desk, desk_at, failed
from tests.stores.workflow_kit import Sketch, check_flows, flow_state, run, settle, states

DEPTH = 2_000


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A desk whose workflows are recounted at the end of each test."""
    with desk_at(migrated_url) as desk:
        yield desk
        check_flows(desk)


@pytest.fixture
def statements(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the statements that follow, by name."""
    counts: Counter[str] = Counter()
    kind = desk.store.database.unit(type)

    def counted(name: str) -> Any:
        original = getattr(kind, name)

        def run(tx: Any, statement: str, *args: Any, **values: Any) -> Any:
            counts[statement] += 1
            return original(tx, statement, *args, **values)

        return run

    for name in ("rows", "run", "many"):
        monkeypatch.setattr(kind, name, counted(name))
    return counts


def test_a_chain_of_thousands_is_skipped_in_few_statements(
    desk: Desk, statements: Counter[str]
) -> None:
    w = Sketch()
    chain = [w.job()]
    for _ in range(DEPTH):
        chain.append(w.job(chain[-1]))
    w.put(desk)
    (first,) = desk.claim(1)
    statements.clear()

    desk.settle((first, failed()))

    assert statements.total() < DEPTH / 10, statements
    assert states(desk, *chain) == "fail" + " skip" * DEPTH
    assert flow_state(desk, w.id) is WorkflowState.FAILED
    assert desk.store.jobs.cause(chain[-1].id) == chain[0].id


def test_a_cascade_stops_where_jobs_run_or_wait_for_others(desk: Desk) -> None:
    w = Sketch()
    first, slow = w.job(), w.job()
    left, right = [w.job(first)], [w.job(first)]
    for n in range(300):
        cross = [right[-1]] if n % 7 == 0 else []
        left.append(w.job(left[-1], *cross))
        right.append(w.job(right[-1], unique_key=f"k{n}"))
    meeting = w.job(left[-1], slow)
    behind = [w.job(meeting)]
    for _ in range(50):
        behind.append(w.job(behind[-1]))
    inner = w.flow(w.top, "fail_fast")
    inside = [w.job(right[-1], flow=inner)]
    for _ in range(50):
        inside.append(w.job(inside[-1], flow=inner))
    after = w.job(inner, rule=Rule.ENDED)
    chosen = w.job(right[-1], rule=Rule.FAILED, when="true")
    w.put(desk)

    settle(desk, failed(), first)

    assert set(states(desk, *left, *right).split()) == {"skip"}
    assert states(desk, meeting, behind[0], behind[-1]) == "wait wait wait"
    assert set(states(desk, *inside).split()) == {"skip"}
    assert states(desk, after, chosen) == "read read"
    check_flows(desk)
    run(desk, slow)
    assert states(desk, meeting, behind[0], behind[-1]) == "skip skip skip"
    assert flow_state(desk, w.id) is WorkflowState.RUNNING
    again = Sketch()
    again.job(unique_key="k7")
    again.put(desk)  # the key was released


def test_a_cascade_goes_through_many_levels_of_ends_and_starts(desk: Desk) -> None:
    """A job without workflow at its end, which becomes ready."""
    first = desk.job()
    desk.put(first)
    line = [first]
    for _ in range(20):
        line.append(desk.job(depends=[line[-1].id]))
        desk.put(line[-1])
    last = desk.job(depends=[line[-1].id], rule=int(Rule.ENDED))
    desk.put(last)
    (claimed,) = desk.claim(1)

    desk.settle((claimed, failed()))

    assert [desk.state(job.id) for job in line[1:]] == ["skipped"] * 20
    assert desk.state(last.id) == "ready"
