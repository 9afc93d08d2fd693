"""Commands on workflows with more jobs than are counted in the time of a view."""

from __future__ import annotations

import pytest

from hammerflow import Hammerflow
from tests.cli.conftest import Run


@pytest.fixture
def batch(shop: Hammerflow, monkeypatch: pytest.MonkeyPatch) -> str:
    """A batch of which a view counts 4 of 10 calls."""
    monkeypatch.setattr("hammerflow.admin.workflows.COUNT_SECONDS", 0.0)
    monkeypatch.setattr("hammerflow.stores.workflows._FIRST_COUNTED", 4)
    calls = [shop.tasks["shop.add"].s(i, i) for i in range(10)]
    return str(shop.batch(calls, name="night").enqueue().id)


def test_views_say_that_they_have_not_counted_all(run: Run, batch: str) -> None:
    for command in (("batch", "show"), ("workflow", "show")):
        shown = run(*command, batch)
        assert "0 of 4 ended" in shown.out
        assert "only its oldest 4 jobs are counted" in shown.err and "--exact" in shown.err
        stats = run(*command, batch, "--json").json["stats"]
        assert (stats["total"], stats["is_whole"]) == (4, False)
    assert "of its oldest jobs, 0 of 4 ended" in run("workflow", "status", batch).out


def test_all_are_counted_where_that_is_asked_for(run: Run, batch: str) -> None:
    for command in (("batch", "show"), ("workflow", "show")):
        shown = run(*command, batch, "--exact")
        assert "0 of 10 ended" in shown.out and "counted" not in shown.err
        assert run(*command, batch, "--exact", "--json").json["stats"]["is_whole"] is True
