"""Jobs whose rows somebody has deleted: what takes their results is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hammerflow import Hammerflow, chord, group
from hammerflow.testing import drain
from tests.stores.kit import Desk, desk_at


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


@pytest.mark.parametrize("tables", [("done",), ("done", "jobs")])
def test_a_fan_in_is_told_of_members_that_were_deleted(
    desk: Desk, tables: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    app = Hammerflow("shop", database=desk.url)

    @app.task(name="t", queue="q")
    def one(n: int) -> int:
        return n

    @app.task(name="then", queue="q")
    def then(found: list[int | None]) -> list[int | None]:
        return found

    result = app.enqueue(chord(group(one.s(n) for n in range(3)), then.s()))
    members = desk.claim()
    desk.end(*members)
    for table in tables:
        column = "id" if table == "jobs" else "job_id"
        desk.sql(f"DELETE FROM {{{table}}} WHERE {column} = {desk.id(members[1].id)}")
    drain(app)
    assert result.get(timeout=5) == [1, None, 1]
    app.close()
    (line,) = (text for text in caplog.messages if "deleted by hand" in text)
    assert line.startswith("None is passed for the results of 1 job without rows, ")
