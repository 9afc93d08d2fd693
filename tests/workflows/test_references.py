"""References: their JSON is stored with jobs, and each kind gives what a body expects."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hammerflow.workflows.references import (
    ChildrenRef,
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
                                 FailedJobs([A, C]), ChildrenRef([]),
                                 ChildrenRef([(3, NAMED), (5, ONE)])])  # fmt: skip
def test_json_is_an_exact_copy(ref: InputRef) -> None:
    assert input_from_json(json.loads(json.dumps(ref.to_json()))) == ref


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
    assert ResultRef([TWO, ResultRef([ONE]), NAMED]).resolve(read) == [
        2, [1], {"x": 1, "all": [1, [1, 3]]},
    ]  # fmt: skip
    assert len(reads) == 3  # one query for a whole list, however deep, and one for the range


def test_a_result_that_is_gone_is_none() -> None:
    assert ONE.resolve(lambda _: []) is None
