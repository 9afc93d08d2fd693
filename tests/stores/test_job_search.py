"""Jobs are found by trace and correlation id along indexes, whatever the ids are."""

from __future__ import annotations

from typing import Any

import pytest

from hammerflow.admin.job_filter import JobFilter, filter_page
from hammerflow.canvas.options import to_json
from hammerflow.codec.codec import Codec
from tests.stores.kit import Desk
from tests.stores.workflow_kit import Sketch

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
CODEC = Codec()


def find(desk: Desk, limit: int = 100, **wanted: Any) -> list[bytes]:
    """The ids of matching jobs, page by page."""
    chosen = {name: wanted.pop(name, None) for name in ("state", "queue", "task")}
    found: list[bytes] = []
    mark = None
    while True:
        page = filter_page(desk.store, CODEC, JobFilter(**wanted), chosen, limit, mark)
        found += [job.id.bytes for job in page.rows]
        if (mark := page.next) is None:
            return found


@pytest.mark.parametrize(
    "text", [PARENT, f'{PARENT} {{"id":"order-7","baggage":"{"b" * 3_000}"}}', TRACE]
)
def test_a_trace_is_found_in_every_form_of_a_row(desk: Desk, text: str) -> None:
    wanted = [desk.job(trace=text) for _ in range(3)]
    others = [desk.job(trace=PARENT.replace("0af7", "0af8")), desk.job(trace="0af"), desk.job()]
    desk.put(*wanted, *others)
    ids = [job.id for job in reversed(wanted)]
    assert find(desk, trace_id=TRACE) == ids
    assert find(desk, trace_id=TRACE, limit=1) == ids
    assert find(desk, trace_id=TRACE, queue="q", task="t") == ids
    assert find(desk, trace_id=TRACE, queue="other") == []


@pytest.mark.parametrize(
    "given", ["or", "order-7", "50%_\\", 'a"b', "größe", "x" * 1_000, "\U0001f600"]
)
def test_an_id_that_a_user_gave_is_found_as_it_is(desk: Desk, given: str) -> None:
    traced = desk.job(trace=given)
    correlated = desk.job(headers=to_json({"a": 1, "correlation_id": given, "b": 2}))
    near = [
        desk.job(trace=other, headers=to_json({"correlation_id": other, "id": given}))
        for other in (f"{given}x", f"x{given}", given[:-1] + "~", given.upper() + "!")
    ]
    desk.put(traced, correlated, *near)
    assert find(desk, trace_id=given) == [traced.id]
    assert find(desk, correlation_id=given) == [correlated.id]
    assert find(desk, correlation_id="nobody") == []


@pytest.mark.parametrize("option", ["trace_id", "correlation_id"])
@pytest.mark.parametrize("given", ["order-7", 'a"b', "größe", "x" * 1_000, "\U0001f600"])
def test_what_a_workflow_was_given_finds_its_jobs(desk: Desk, option: str, given: str) -> None:
    def flow(**options: Any) -> bytes:
        sketch = Sketch()
        job = sketch.job()
        rows = sketch.rows_of()
        rows.workflows[0] = rows.workflows[0]._replace(options=to_json(options))
        sketch.put(desk)
        return job.id

    other = "trace_id" if option == "correlation_id" else "correlation_id"
    wanted = flow(description=f'"{option}":"no"', **{option: given, "metadata": {"a": 1}})
    flow(**{option: f"{given}x"})
    flow(**{option: given[:-1] + "~"})
    flow(**{other: given, "metadata": {"note": given}})
    flow()
    members, page = desk.store.search.members, {"before": b"\xff" * 16, "limit": 10}
    assert members(option, given, **page) == [wanted]
    assert members(option, "nobody", **page) == []
    if option == "correlation_id":  # jobs carry the id of their trace themselves
        assert find(desk, correlation_id=given, queue="q", task="t") == [wanted]
