"""References: their JSON is stored with jobs, and each kind gives what a body expects."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hammerflow.workflows.references import (
    CHILDREN,
    FailedJobs,
    InputRef,
    JobRange,
    ResultRef,
    input_from_json,
)

A, B, C = (bytes([n]) * 16 for n in (1, 2, 3))
ONE, TWO = ResultRef(A), ResultRef(B)
RANGE = ResultRef(JobRange(A, C, B))
NAMED = ResultRef({"x": ONE, "all": ResultRef([ONE, RANGE])})


@pytest.mark.parametrize("ref", [ONE, ResultRef([]), ResultRef([ONE, TWO]), RANGE, NAMED,
                                 FailedJobs([A, C]), CHILDREN])  # fmt: skip
def test_json_is_an_exact_copy(ref: InputRef) -> None:
    text = json.dumps(ref if ref == CHILDREN else ref.to_json())  # type: ignore[union-attr]

    assert input_from_json(json.loads(text)) == ref


def test_ids_come_in_order_and_ranges_from_the_database() -> None:
    assert NAMED.ids(lambda jobs: [jobs.first, B, jobs.last]) == [A, A, A, B, C]


def test_a_reference_gives_one_result_a_list_or_a_dict() -> None:
    reads = []

    def read(ref: ResultRef) -> Iterator[int]:
        reads.append(ref)
        yield from (key[0] for key in ref.ids(lambda jobs: [jobs.first, jobs.last]))

    assert ONE.resolve(read) == 1
    assert RANGE.resolve(read) == [1, 3]
    assert NAMED.resolve(read) == {"x": 1, "all": [1, [1, 3]]}
    reads.clear()
    assert ResultRef([ONE, TWO]).resolve(read) == [1, 2]
    assert len(reads) == 1  # one query for the whole list


def test_a_result_that_is_gone_is_none() -> None:
    assert ONE.resolve(lambda _: []) is None
