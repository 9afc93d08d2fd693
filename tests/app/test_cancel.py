"""Cancels of trees as an app asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow, JobState, Workflow, WorkflowStatus
from hammerflow.testing import drain


@pytest.fixture
def grow(app: Hammerflow, note: Any) -> Any:
    """A spawner of a job, a workflow and a batch, all for later."""

    @app.spawner
    def grow() -> Iterator[Any]:
        later = note.options(delay=3600)
        yield later.s(1)
        flow = Workflow("flow", failure_policy="continue_on_failure")
        yield flow.add(later.s(2), name="a").then(note.si(3), name="b")
        yield app.batch([later.s(4), later.s(5)])

    return grow


def test_a_tree_with_workflows_is_cancelled(app: Hammerflow, grow: Any, note: Any) -> None:
    other = note.options(delay=3600).delay(6)
    result = grow.delay()
    drain(app)
    assert result.cancel() is JobState.COMPLETED
    assert len([job for job in app.jobs() if not job.state.is_final]) == 6

    assert result.cancel("enough", tree=True) is JobState.COMPLETED

    assert [job.id for job in app.jobs() if not job.state.is_final] == [other.id]
    assert {each.row().state.status for each in app.workflows()} == {WorkflowStatus.CANCELLED}
    assert {child.job().reason for child in result.children()} == {"enough"}


def test_a_tree_is_cancelled_in_a_coroutine(app: Hammerflow, grow: Any) -> None:
    result = grow.delay()
    assert asyncio.run(result.acancel("no", tree=True)) is JobState.CANCELLED
    assert drain(app) == 0
    with pytest.raises(ConfigError, match="tree must be"):
        result.cancel(tree="yes")
